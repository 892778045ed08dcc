"""Operators that price, queue, download and generate video."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_venice.api.model import VideoJob, VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.hooks.failures import after_payment, final_failures
from airflow_provider_venice.operators.base import VeniceOperator, VideoRequestOperator
from airflow_provider_venice.operators.delivery import deliver

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
    What queues a clip, and may wait for it in the triggerer.

    :param validate: whether to check the request against the model's published constraints first.
    :param deferrable: whether to wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: fewest seconds between two looks at the job; chosen from the model's run times if ``None``.
    :param timeout: most seconds to wait for the clip.
    """

    def __init__(
        self,
        *,
        validate: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        timeout: float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.validate = validate
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout

    def submit(self) -> VideoJob:
        """Check, price and queue the clip; every check comes before the charge."""
        with final_failures():
            request = self.video_request()
            if self.validate:
                model = self.hook.check(request)
                if model.deprecation:
                    self.log.warning("Model %s is going to end: %s", model.id, dict(model.deprecation))
            if self.is_priced:
                self.check_cost(self.hook.quote(request).estimated_cost, "the clip")
            return self.hook.queue(request)

    def wait(self, job: VideoJob) -> VideoJob:
        """Return the job completed, or leave it to the triggerer and come back by ``execute_complete``."""
        if not self.deferrable:
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

    def completed(self, event: Mapping[str, Any]) -> VideoJob:
        """Return the job that the trigger saw completed."""
        from airflow_provider_venice.triggers.video import completed_jobs

        with after_payment():
            return completed_jobs(event)[0]


class VeniceQueueVideoOperator(VideoQueueingOperator):
    """
    Queue a clip and return the job, for a sensor to wait for and a download task to fetch.

    The clip is charged when it is queued. Where the answer to the submission is lost, the task
    fails for good and says so: sending it again might pay twice.

    :param wait_for_completion: whether to wait here for the clip to be finished.
    """

    def __init__(self, *, wait_for_completion: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue, and return the job as a dictionary; its private link, if it has one, encrypted."""
        from airflow_provider_venice.hooks.sealing import seal

        job = self.submit()
        if not self.wait_for_completion:
            return seal(job)
        with after_payment(job):
            return seal(self.wait(job))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the completed job."""
        from airflow_provider_venice.hooks.sealing import seal

        return seal(self.completed(event))


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

    Returns what :class:`VeniceDownloadVideoOperator` returns. Once the clip is paid for, every
    failure is final, and its message says how to collect the clip: a retry would buy another.

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

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue the clip and wait for it."""
        from airflow_provider_venice import storage

        with final_failures():
            storage.check_target(self.output_path, overwrite=self.overwrite)
        job = self.submit()
        with after_payment(job):
            return self._deliver(self.wait(job), context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Download the clip that the trigger found finished."""
        finished = self.completed(event)
        with after_payment(finished):
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
