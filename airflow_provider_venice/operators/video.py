"""Operators that price, queue, download and generate video."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowException, conf

from airflow_provider_venice.api.model import VideoJob, VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceError, VideoGenerationError
from airflow_provider_venice.hooks.failures import final_failures, told_how_to_collect
from airflow_provider_venice.operators.base import VeniceOperator, VideoRequestOperator
from airflow_provider_venice.operators.delivery import deliver
from airflow_provider_venice.operators.submission import Submission, SubmissionMemory, fingerprint

if TYPE_CHECKING:
    from airflow.sdk import Context


class VeniceQuoteVideoOperator(VideoRequestOperator):
    """
    Price one clip, or a list of them, and fail above a budget. Free; nothing is queued.

    Returns the quote, with ``estimated_cost`` in US dollars. For a list: ``quotes``, in the
    order of the requests, ``total_cost`` and ``currency``; ``max_cost`` then limits the total.

    :param request: a ``VideoRequest``, a mapping of its fields, or a list of these. (templated)
    :param max_cost: most US dollars to spend, in all. (templated)
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the price, or the prices."""
        single = self.request is None or isinstance(self.request, (VideoRequest, Mapping, str))
        with final_failures():
            requests = [self.video_request(request) for request in ([self.request] if single else self.request)]
            quotes = [self._quote(request) for request in requests]
            total = sum((quote.estimated_cost for quote in quotes), Decimal(0))
            self.check_cost(total, "the clip" if single else f"the batch of {len(quotes)} clips")
        if single:
            return quotes[0].to_dict()
        self.log.info("%d clips cost $%s in all", len(quotes), total)
        return {"quotes": [quote.to_dict() for quote in quotes], "total_cost": float(total), "currency": "USD"}

    def _quote(self, request: VideoRequest) -> VideoQuote:
        quote = self.hook.quote(request)
        self.log.info("%s, %s: $%s", request.model, request.duration or "its own length", quote.estimated_cost)
        return quote


class VideoQueueingOperator(VideoRequestOperator):
    """
    What queues a clip, remembers it from one try to the next, and may wait for it in the triggerer.

    :param validate: whether to check the request against the model's published constraints first.
    :param deferrable: whether to wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: fewest seconds between two looks at the job; chosen from the model's run times if ``None``.
    :param timeout: most seconds that one try waits for the clip.
    :param on_clear: what a task does that a user has cleared: ``reattach`` takes up the clip that was
        bought already, ``resubmit`` buys another. A retry always takes up the clip.
    :param on_ambiguous: what to do where a submission may have been accepted, but its answer was lost:
        ``fail`` and let a person look, or ``resubmit`` on the next try, and perhaps pay twice.
    """

    def __init__(
        self,
        *,
        validate: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        timeout: float = 3600,
        on_clear: Literal["reattach", "resubmit"] = "reattach",
        on_ambiguous: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.validate = validate
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.on_clear = on_clear
        self.on_ambiguous = on_ambiguous
        for name, known in (("on_clear", ("reattach", "resubmit")), ("on_ambiguous", ("fail", "resubmit"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give one of {', '.join(known)}")

    def submit(self, context: Context) -> VideoJob:
        """Return the clip that an earlier try has bought, or check, price and queue one."""
        memory = SubmissionMemory(context)
        with final_failures():
            request = self.video_request()
            return self._recalled(memory, request) or self._queued(memory, request)

    def check_before_payment(self) -> None:
        """Check what else must be right before a clip is bought."""

    def _recalled(self, memory: SubmissionMemory, request: VideoRequest) -> VideoJob | None:
        past = memory.recall()
        if past is None:
            return None
        cleared = memory.was_cleared_since(past)
        if past.job is None:
            if not cleared and self.on_ambiguous == "fail":
                raise past.doubt("the try that sent it ended before it could tell")
            self.log.warning(
                "Submitting again, although the submission of %s, %s, may have been accepted: %s",
                past.sent,
                past.price,
                "the task was cleared" if cleared else "on_ambiguous='resubmit'",
            )
            return None
        from airflow_provider_venice.hooks.sealing import unseal

        job = unseal(past.job)
        if past.failure is not None:
            if not cleared and not past.costs_nothing:
                raise VeniceError(f"{past.failure}. Clear the task to buy another clip")
            self.log.info("%s failed; another one is bought", job)
            return None
        if cleared and self.on_clear == "resubmit":
            self.log.warning("The task was cleared: another clip is bought beside %s, bought %s", job, past.price)
            return None
        if past.fingerprint != fingerprint(request):
            self.log.warning("The request is not the one that %s was bought for; it is taken up all the same", job)
        self.log.info(
            "Taking up %s, bought %s at %s; nothing is paid%s",
            job,
            past.price,
            past.sent,
            ". To buy another clip when the task is cleared, set on_clear='resubmit'" if cleared else "",
        )
        return job

    def _queued(self, memory: SubmissionMemory, request: VideoRequest) -> VideoJob:
        """Check and price, then queue; every check comes before the charge, and a note of it, too."""
        from airflow_provider_venice.hooks.sealing import seal

        self.check_before_payment()
        if self.validate:
            model = self.hook.check(request)
            if model.deprecation:
                self.log.warning("Model %s is going to end: %s", model.id, dict(model.deprecation))
        cost = None
        if self.is_priced:
            cost = self.hook.quote(request).estimated_cost
            self.check_cost(cost, "the clip")
        intent = Submission(
            fingerprint=fingerprint(request),
            model=request.model,
            sent_at=time.time(),
            max_tries=memory.max_tries,
            cost=None if cost is None else str(cost),
        )
        memory.remember(intent)
        try:
            job = self.hook.queue(request)
        except VeniceAmbiguousSubmission as error:
            doubt = intent.doubt(str(error.__cause__ or error))
            doubt.can_heal = self.on_ambiguous == "resubmit"
            raise doubt from error
        except VeniceError:
            memory.forget()
            raise
        with told_how_to_collect(job, self.log):
            memory.remember(dataclasses.replace(intent, job=seal(job)))
        return job

    def wait(self, job: VideoJob, context: Context) -> VideoJob:
        """Return the job completed, or leave it to the triggerer and come back by ``execute_complete``."""
        if not self.deferrable:
            with self._remembering_failure(context):
                return self.hook.wait_for_completion(job, self.poll_interval, self.timeout)
        from airflow_provider_venice.triggers.video import VeniceVideoTrigger

        self.defer(
            trigger=VeniceVideoTrigger(
                jobs=[job],
                venice_conn_id=self.venice_conn_id,
                poll_interval=self.poll_interval,
                deadline=time.time() + self.timeout,
            ),
            method_name="execute_complete",
        )

    def completed(self, event: Mapping[str, Any], context: Context) -> VideoJob:
        """Return the job that the trigger saw completed."""
        from airflow_provider_venice.triggers.video import completed_jobs

        with final_failures(), self._remembering_failure(context):
            return completed_jobs(event)[0]

    @contextlib.contextmanager
    def _remembering_failure(self, context: Context) -> Iterator[None]:
        """Keep that the vendor's job has failed: a retry must not wait for it again, nor buy it unasked."""
        try:
            yield
        except VideoGenerationError as error:
            memory = SubmissionMemory(context)
            past = memory.recall()
            if past is not None:
                memory.remember(dataclasses.replace(past, failure=str(error), costs_nothing=error.costs_nothing))
            if not error.costs_nothing:
                raise
            # Not one of ours, which would be final: here a retry is wanted, and buys another clip.
            raise AirflowException(f"{error}. Nothing was paid for it; a retry submits it anew") from error


class VeniceQueueVideoOperator(VideoQueueingOperator):
    """
    Queue a clip and return the job, for a sensor to wait for and a download task to fetch.

    The clip is charged when it is queued, and remembered: a retry takes up the same one. Where the
    answer to the submission is lost, the task fails for good and says so, unless ``on_ambiguous``
    says otherwise: sending it again might pay twice.

    :param wait_for_completion: whether to wait here for the clip to be finished.
    """

    def __init__(self, *, wait_for_completion: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue, and return the job as a dictionary; its private link, if it has one, encrypted."""
        from airflow_provider_venice.hooks.sealing import seal

        job = self.submit(context)
        if not self.wait_for_completion:
            return seal(job)
        with final_failures(), told_how_to_collect(job, self.log):
            return seal(self.wait(job, context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the completed job."""
        from airflow_provider_venice.hooks.sealing import seal

        return seal(self.completed(event, context))


class VeniceDownloadVideoOperator(VeniceOperator):
    """
    Stream a finished clip to a file, which appears under its name only when it is whole.

    Returns ``path``, ``size`` (bytes), ``sha256``, ``metadata`` and ``job``; the same is the
    extra of the asset event for each asset in ``outlets``. A retry is safe: a file that is
    already there, whole and of the announced size, is the result.

    :param job: the job that a queue task or a sensor returned. (templated)
    :param output_path: a local path or any ``ObjectStoragePath`` or its URL, such as
        ``s3://aws_default@bucket/clip.mp4``. (templated)
    :param overwrite: whether a file that is already there may be replaced.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    """

    template_fields: Sequence[str] = (*VeniceOperator.template_fields, "job", "output_path")

    def __init__(
        self,
        *,
        job: Any,
        output_path: Any,
        overwrite: bool = False,
        delete_media: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.output_path = output_path
        self.overwrite = overwrite
        self.delete_media = delete_media

    def execute(self, context: Context) -> dict[str, Any]:
        """Download, and delete if asked to."""
        with final_failures():
            return deliver(
                self,
                self.hook,
                self.job,
                context,
                output_path=self.output_path,
                overwrite=self.overwrite,
                delete_media=self.delete_media,
            )


class VeniceGenerateVideoOperator(VideoQueueingOperator):
    """
    The whole life of a clip in one task: check, price, queue, wait, download.

    Returns what :class:`VeniceDownloadVideoOperator` returns. The clip is charged when it is queued,
    and remembered: a retry waits for the same one, downloads it, or finds the file that is there.

    :param output_path: a local path or any ``ObjectStoragePath`` or its URL. (templated)
    :param overwrite: whether a file that is already there may be replaced.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    """

    template_fields: Sequence[str] = (*VideoQueueingOperator.template_fields, "output_path")

    def __init__(self, *, output_path: Any, overwrite: bool = False, delete_media: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.overwrite = overwrite
        self.delete_media = delete_media

    def check_before_payment(self) -> None:
        """Refuse an ``output_path`` under which nothing can be stored."""
        from airflow_provider_venice import storage

        storage.check_target(self.output_path, overwrite=self.overwrite)

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue the clip, or take up the one that an earlier try has bought, and wait for it."""
        job = self.submit(context)
        with final_failures(), told_how_to_collect(job, self.log):
            # One that was delivered may be deleted at the vendor by now.
            known = SubmissionMemory(context).delivery(job)
            return self._deliver(job if known else self.wait(job, context), context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Download the clip that the trigger found finished."""
        finished = self.completed(event, context)
        with final_failures(), told_how_to_collect(finished, self.log):
            return self._deliver(finished, context)

    def _deliver(self, job: VideoJob, context: Context) -> dict[str, Any]:
        return deliver(
            self,
            self.hook,
            job,
            context,
            output_path=self.output_path,
            overwrite=self.overwrite,
            delete_media=self.delete_media,
        )
