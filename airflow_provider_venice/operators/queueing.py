"""What queueing a clip takes: check, price, note, charge, remember; and waiting for it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import tenacity
from airflow.providers.common.compat.sdk import AirflowException, conf

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import seconds
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
)
from airflow_provider_venice.hooks.failures import final_failures, told_how_to_collect
from airflow_provider_venice.operators.base import VideoRequestOperator
from airflow_provider_venice.operators.submission import JOB_KEY, Submission, SubmissionMemory, fingerprint

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        on_clear: Literal["reattach", "resubmit"] = "reattach",
        on_ambiguous: Literal["fail", "resubmit"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.validate = validate
        self.deferrable = deferrable
        self.poll_interval = None if poll_interval is None else seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.on_clear = on_clear
        self.on_ambiguous = on_ambiguous
        for name, known in (("on_clear", ("reattach", "resubmit")), ("on_ambiguous", ("fail", "resubmit"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give one of {', '.join(known)}")

    def submit(self, context: Context) -> VideoJob:
        """Return the clip that an earlier try has bought, or check, price and queue one."""
        memory = SubmissionMemory(context)
        with final_failures():
            job = self._recalled(memory) or self._queued(memory, context)
        with told_how_to_collect(job, self.log):
            self._show(job, context)
        return job

    @staticmethod
    def _show(job: VideoJob, context: Context) -> None:
        """Push the job: for people, and for VeniceRecoverVideosOperator when the task is killed."""
        from airflow_provider_venice.hooks.sealing import seal

        context["ti"].xcom_push(key=JOB_KEY, value=seal(job))

    def check_before_payment(self) -> None:
        """Check what else must be right before a clip is bought."""

    def record_failure(self, job: VideoJob, error: VideoGenerationError, context: Context) -> None:
        """Record a clip that was bought and did not come."""

    def _recalled(self, memory: SubmissionMemory) -> VideoJob | None:
        past = memory.recall()
        if past is None:
            return None
        cleared = memory.was_cleared_since(past)
        if past.job is None:
            self._settle_doubt(memory, past, cleared=cleared)
            return None
        from airflow_provider_venice.hooks.sealing import unseal

        job = unseal(past.job)
        if past.failure is not None:
            if not cleared and not past.costs_nothing:
                raise VeniceError(f"{past.failure}. Clear the task to buy another clip")
            if past.costs_nothing or self.on_clear == "resubmit" or not self._is_there(job):
                self.log.warning("%s has ended without a video: another clip is bought", job)
                return None
        elif cleared and self.on_clear == "resubmit":
            self.log.warning("The task was cleared: another clip is bought beside %s, bought %s", job, past.price)
            return None
        self._compare_request(past, job, cleared=cleared)
        # Settled: the retries from here on are no clears.
        memory.remember(dataclasses.replace(past, failure=None, max_tries=memory.max_tries))
        self.log.info(
            "Taking up %s, bought %s at %s; nothing is paid%s",
            job,
            past.price,
            past.sent,
            ". To buy another clip when the task is cleared, set on_clear='resubmit'" if cleared else "",
        )
        return job

    def _settle_doubt(self, memory: SubmissionMemory, past: Submission, *, cleared: bool) -> None:
        """
        Return only if the clip is to be submitted again.

        :raises VeniceAmbiguousSubmission: when nobody who was told of the doubt has cleared the task.
        """
        if self.on_ambiguous != "resubmit" and not (cleared and past.doubted):
            memory.remember(dataclasses.replace(past, doubted=True, max_tries=memory.max_tries))
            raise past.doubt("the try that sent it ended before it could tell")
        self.log.warning(
            "Submitting again, although the submission of %s, %s, may have been accepted: %s",
            past.sent,
            past.price,
            "the task was cleared" if cleared else "on_ambiguous='resubmit'",
        )

    def _compare_request(self, past: Submission, job: VideoJob, *, cleared: bool) -> None:
        """
        Tell whether the request is still the one that the job was bought for.

        :raises VeniceRequestError: when a person has cleared the task with another request: the old clip
            under a new name would be as wrong as another bill that nobody wanted.
        """
        try:
            same = past.fingerprint == fingerprint(self.video_request())
        except VeniceRequestError as error:
            self.log.warning("%s", error)
            same = False
        if same:
            return
        if cleared:
            raise VeniceRequestError(
                f"the request is not the one that {job} was bought for. Set on_clear='resubmit' to buy a clip for the "
                "new request, or restore the old one to take up what was bought"
            )
        self.log.warning("The request is not the one that %s was bought for; it is taken up all the same", job)

    def _is_there(self, job: VideoJob) -> bool:
        """Look once more at a job that was taken for ended: buying another one for it should not rest on one answer."""
        try:
            self.hook.retrieve(job)
        except VideoGenerationError as error:
            self.log.info("%s", error)
            return False
        return True

    def _queued(self, memory: SubmissionMemory, context: Context) -> VideoJob:
        """Check and price, then queue; every check comes before the charge, and a note of it, too."""
        request = self.video_request()
        self.check_before_payment()
        if self.validate:
            model = self.hook.check(request)
            if model.deprecation:
                self.log.warning("Model %s is going to end: %s", model.id, dict(model.deprecation))
        cost = None
        if self.budget.needs_price:
            quote = self.hook.quote(request)
            cost = quote.estimated_cost
            self.check_budget(cost, "the clip", quote.balance)
        send = self.hook.prepare(request)
        intent = Submission(
            fingerprint=fingerprint(request),
            model=request.model,
            sent_at=time.time(),
            max_tries=memory.max_tries,
            cost=None if cost is None else str(cost),
        )
        memory.remember(intent)
        try:
            job = send()
        except VeniceAmbiguousSubmission as error:
            memory.remember(dataclasses.replace(intent, doubted=True))
            doubt = intent.doubt(str(error.__cause__ or error))
            doubt.can_heal = self.on_ambiguous == "resubmit"
            raise doubt from error
        except VeniceError:
            memory.forget()
            raise
        job = dataclasses.replace(job, request=request.describe(), estimated_cost=None if cost is None else float(cost))
        self._note(memory, intent, job, context)
        return job

    def _note(self, memory: SubmissionMemory, intent: Submission, job: VideoJob, context: Context) -> None:
        """Remember the job that was just paid for; without that note, a retry would be in doubt about it."""
        from airflow_provider_venice.hooks.sealing import seal

        bought = dataclasses.replace(intent, job=seal(job))
        try:
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_exponential(max=10), reraise=True
            ):
                with attempt:
                    memory.remember(bought)
        except Exception:
            self.log.error(
                "%s was bought, but could not be noted. Do NOT clear this task, which would buy another clip. %s",
                job,
                job.how_to_collect,
            )
            with contextlib.suppress(Exception):
                self._show(job, context)
            raise

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
            if past is not None and past.job is not None:
                memory.remember(dataclasses.replace(past, failure=str(error), costs_nothing=error.costs_nothing))
                self.record_failure(VideoJob.of(past.job), error, context)
            if not error.costs_nothing:
                raise
            # Not one of ours, which would be final: here a retry is wanted, and buys another clip.
            raise AirflowException(f"{error}. Nothing was paid for it; a retry submits it anew") from error
