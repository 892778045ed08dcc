"""Buying one clip, once: what an earlier try has bought is taken up, and what is in doubt is left to a person."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import tenacity

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
)
from airflow_provider_venice.operators.submission import Submission, SubmissionMemory, fingerprint

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.operators.queueing import VideoQueueingOperator


class Purchase:
    """
    One clip that a task buys, or has bought in an earlier try.

    :param operator: says what to buy, and what to do after a clear and in doubt.
    :param context: the task's context.
    :param position: which of the requests, where the operator has a list of them; from 0.
    """

    def __init__(self, operator: VideoQueueingOperator, context: Context, position: int | None = None) -> None:
        self.operator = operator
        self.position = position
        self.memory = SubmissionMemory(context, position)
        self._context = context

    def __str__(self) -> str:
        return "the clip" if self.position is None else f"request[{self.position}]"

    @property
    def request(self) -> VideoRequest:
        """
        What to buy.

        :raises VeniceRequestError: naming every field that is unknown or wrong.
        """
        if self.position is None:
            return self.operator.video_request()
        try:
            return self.operator.video_request(self.operator.requests[self.position])
        except VeniceRequestError as error:
            raise VeniceRequestError(f"{self}: {error}", fields=error.fields) from error

    def recall(self, *, announce: bool = True) -> VideoJob | None:
        """
        Return the clip that an earlier try has bought; ``None`` when one is to be bought.

        :param announce: whether to tell the log of it.
        :raises VeniceAmbiguousSubmission: when an earlier try may have bought one.
        :raises VeniceError: when it has failed, and nobody has cleared the task since.
        """
        past = self.memory.recall()
        if past is None:
            return None
        log, on_clear = self.operator.log, self.operator.on_clear
        cleared = self.memory.was_cleared_since(past)
        if past.job is None:
            if past.failure is None:
                self._settle_doubt(past, cleared=cleared)
            elif not cleared:
                raise VeniceError(past.failure)
            return None
        from airflow_provider_venice.hooks.sealing import unseal

        job = unseal(past.job)
        if past.failure is not None:
            if not cleared and not past.costs_nothing:
                raise VeniceError(f"{past.failure}. Clear the task to buy another clip")
            if past.costs_nothing or on_clear == "resubmit" or not self._is_there(job):
                log.warning("%s has ended without a video: another clip is bought", job)
                return None
        elif cleared and on_clear == "resubmit":
            log.warning("The task was cleared: another clip is bought beside %s, bought %s", job, past.price)
            return None
        self._compare_request(past, job, cleared=cleared)
        # Settled: the retries from here on are no clears.
        settled = dataclasses.replace(past, failure=None, max_tries=self.memory.max_tries)
        if settled != past:
            self.memory.remember(settled)
        if announce:
            log.info(
                "Taking up %s, bought %s at %s; nothing is paid%s",
                job,
                past.price,
                past.sent,
                ". To buy another clip when the task is cleared, set on_clear='resubmit'" if cleared else "",
            )
        return job

    def buy(self, request: VideoRequest, cost: Decimal | None, max_wait: float | None) -> VideoJob:
        """
        Submit a clip, with a note of it before and after.

        :param request: what to buy.
        :param cost: US dollars, ``None`` where nobody asked.
        :param max_wait: longest wait for the rate limit, in seconds; ``None`` for the connection's setting.
        :raises VeniceAmbiguousSubmission: when it may have been bought, but the answer was lost.
        :raises VeniceError: when Venice refused; nothing was bought.
        """
        send = self.operator.hook.prepare(request)
        intent = Submission(
            fingerprint=fingerprint(request),
            model=request.model,
            sent_at=time.time(),
            max_tries=self.memory.max_tries,
            cost=None if cost is None else str(cost),
        )
        self.memory.remember(intent)
        try:
            job = send(max_wait)
        except VeniceAmbiguousSubmission as error:
            self.memory.remember(dataclasses.replace(intent, doubted=True))
            doubt = intent.doubt(str(error.__cause__ or error))
            doubt.can_heal = self.operator.on_ambiguous == "resubmit"
            raise doubt from error
        except VeniceError:
            self.memory.forget()
            raise
        job = dataclasses.replace(job, request=request.describe(), estimated_cost=None if cost is None else float(cost))
        self._note(intent, job)
        return job

    def refused(self, request: VideoRequest, error: VeniceError) -> None:
        """Remember that Venice does not sell this clip, so that it is not asked again before the task is cleared."""
        self.memory.remember(
            Submission(
                fingerprint=fingerprint(request),
                model=request.model,
                sent_at=time.time(),
                max_tries=self.memory.max_tries,
                failure=str(error),
            )
        )

    def failed(self, error: VideoGenerationError) -> VideoJob | None:
        """
        Remember that the vendor's job has failed: a retry must not wait for it again, nor buy it unasked.

        :return: the job.
        """
        past = self.memory.recall()
        if past is None or past.job is None:
            return None
        self.memory.remember(dataclasses.replace(past, failure=str(error), costs_nothing=error.costs_nothing))
        return VideoJob.of(past.job)

    def _settle_doubt(self, past: Submission, *, cleared: bool) -> None:
        """
        Return only if the clip is to be submitted again.

        :raises VeniceAmbiguousSubmission: when nobody who was told of the doubt has cleared the task.
        """
        if self.operator.on_ambiguous != "resubmit" and not (cleared and past.doubted):
            self.memory.remember(dataclasses.replace(past, doubted=True, max_tries=self.memory.max_tries))
            raise past.doubt("the try that sent it ended before it could tell")
        self.operator.log.warning(
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
            same = past.fingerprint == fingerprint(self.request)
        except VeniceRequestError as error:
            self.operator.log.warning("%s", error)
            same = False
        if same:
            return
        if cleared:
            raise VeniceRequestError(
                f"the request is not the one that {job} was bought for. Set on_clear='resubmit' to buy a clip for the "
                "new request, or restore the old one to take up what was bought"
            )
        self.operator.log.warning("The request is not the one that %s was bought for; it is taken up all the same", job)

    def _is_there(self, job: VideoJob) -> bool:
        """Look once more at a job that was taken for ended: buying another one for it should not rest on one answer."""
        try:
            self.operator.hook.retrieve(job)
        except VideoGenerationError as error:
            self.operator.log.info("%s", error)
            return False
        return True

    def _note(self, intent: Submission, job: VideoJob) -> None:
        """Remember the job that was just paid for; without that note, a retry would be in doubt about it."""
        from airflow_provider_venice.hooks.sealing import seal

        bought = dataclasses.replace(intent, job=seal(job))
        try:
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_exponential(max=10), reraise=True
            ):
                with attempt:
                    self.memory.remember(bought)
        except Exception:
            self.operator.log.error(
                "%s was bought, but could not be noted. Do NOT clear this task, which would buy another clip. %s",
                job,
                job.how_to_collect,
            )
            with contextlib.suppress(Exception):
                self.operator.show([job], self._context)
            raise
