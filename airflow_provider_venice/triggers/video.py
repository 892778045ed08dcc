"""``VeniceVideoTrigger``: waits for video jobs without holding a worker slot."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import Watch
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceError,
    VideoGenerationError,
    VideoTimeoutError,
)
from airflow_provider_venice.hooks.sealing import seal
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.transport.asynchronous import AsyncTransport

#: Seconds that the last look of all may take, after the deadline.
_LAST_LOOK = 10.0

#: What the server said of a failure, beside the message.
_FAILURE_FIELDS = (
    "status_code",
    "error_type",
    "error_code",
    "details",
    "suggested_prompt",
    "recommended_model",
    "credits_refunded",
)


class VeniceVideoTrigger(BaseTrigger):
    """
    Wait until video jobs have ended, each by itself: one that fails does not hide the others.

    Its row in the database is plain text, so a private link is encrypted before it gets there;
    the trigger has no use for it and hands it on. The one event has ``status`` (``success``,
    ``error``, ``timeout``), ``jobs`` and ``failures``; :func:`completed_jobs` reads it.

    :param jobs: the jobs, or their dictionaries.
    :param venice_conn_id: the connection.
    :param poll_interval: fewest seconds between two looks at a job; chosen from the model's run times if ``None``.
    :param deadline: epoch seconds at which to give up; it holds through restarts of the triggerer.
    """

    def __init__(
        self,
        jobs: Sequence[VideoJob | Mapping[str, Any]],
        venice_conn_id: str = VeniceHook.default_conn_name,
        poll_interval: float | None = None,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.jobs = [seal(VideoJob.of(job)) for job in jobs]
        self.venice_conn_id = venice_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "jobs": self.jobs,
                "venice_conn_id": self.venice_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        jobs = [VideoJob.of(job) for job in self.jobs]
        earliest = time.monotonic() + conf.getint("workers", "min_heartbeat_interval", fallback=5) + 1
        try:
            async with VeniceHook(self.venice_conn_id).async_transport() as transport:
                outcomes = await asyncio.gather(*(self._wait(transport, job) for job in jobs))
            event = _event(outcomes)
        except asyncio.CancelledError:
            # A user has marked or cleared the task, or the triggerer ends, or hands over to another.
            # None of that ends a job, and nothing is deleted or cancelled for it.
            for job in jobs:
                paid = "" if job.estimated_cost is None else f" (${job.estimated_cost})"
                self.log.warning("The wait for %s%s ends here. %s", job, paid, job.how_to_collect)
            raise
        except Exception as error:
            # An exception that leaves a trigger would lose what is known of the jobs.
            self.log.exception("The wait for %d video jobs broke off", len(jobs))
            event = _event([(job, error) for job in jobs])
        # A worker reports the end of the deferred try up to a heartbeat late. A task that is queued
        # again by then is failed by the scheduler (seen on Airflow 3.2).
        await asyncio.sleep(max(0.0, earliest - time.monotonic()))
        yield TriggerEvent(event)

    async def _wait(self, transport: AsyncTransport, job: VideoJob) -> tuple[VideoJob, VeniceError | None]:
        watch = Watch(
            job,
            deadline=self.deadline,
            poll_interval=self.poll_interval or transport.settings.poll_interval,
            longest_backoff=transport.settings.retry_max_wait,
            run_times=transport.account.run_times[job.model],
        )
        pause = watch.first_look(time.time(), random.random())
        while True:
            await asyncio.sleep(pause)
            try:
                try:
                    seen = await self._look(transport, watch)
                except VeniceError as error:
                    if not error.can_heal:
                        raise
                    pause = watch.stumbled(error, time.time(), random.random())
                    self.log.warning("%s; the next look is in %.0f s", error, pause)
                else:
                    if seen.is_completed():
                        watch.ended(seen, time.time())
                        self.log.info("%s is completed", seen)
                        return seen, None
                    pause = watch.saw(seen, time.time(), random.random())
                    if line := watch.news():
                        self.log.info(line)
            except VeniceError as error:
                self.log.error("%s", error)
                return watch.job, error

    async def _look(self, transport: AsyncTransport, watch: Watch) -> VideoJob:
        """Look once; a turn that does not come before the deadline is a look that failed."""
        patience = None if self.deadline is None else max(_LAST_LOOK, self.deadline - time.time())
        look = transport.send(calls.retrieve(watch.job), attempts=1, urgency=watch.likelihood)
        try:
            return await asyncio.wait_for(look, patience)
        except asyncio.TimeoutError:
            raise VeniceConnectionError(f"no answer about {watch.job} came in time", sent=True) from None


def completed_jobs(event: Mapping[str, Any] | None) -> list[VideoJob]:
    """
    Return the jobs of a trigger's event, if all have ended well. The one reader of these events.

    Their private links are still encrypted.

    :param event: what the trigger yielded.
    :raises VideoTimeoutError: when the time was up for some, and no other failed.
    :raises VideoGenerationError: when some failed; it carries what the server said of the first.
    :raises VeniceAPIError: when some could not be looked at, and nobody knows how they stand.
    :raises VeniceError: when it is no event of ours, or the trigger itself broke.
    """
    status = event.get("status") if isinstance(event, Mapping) else None
    if event is None or status not in ("success", "error", "timeout"):
        raise VeniceError(f"the trigger sent an event with the unknown status {status!r}")
    if status == "success":
        return [VideoJob.of(job) for job in event["jobs"]]
    failures = event["failures"]
    message = "; ".join(failure["message"] for failure in failures)
    first = failures[0]
    if status == "timeout":
        raise VideoTimeoutError(message, model=first["model"], queue_id=first["queue_id"])
    if first.get("status_code") is None:
        # The trigger itself broke, which a retry of the task may mend.
        raise VeniceConnectionError(message, sent=True) if first.get("heals") else VeniceError(message)
    fields = {name: first.get(name) for name in _FAILURE_FIELDS}
    ended = [job["queue_id"] for job in event["jobs"] if job.get("status") == "failed"]
    if first["queue_id"] not in ended:
        raise VeniceAPIError(message, **fields)
    raise VideoGenerationError(message, model=first["model"], queue_id=first["queue_id"], **fields)


def _event(outcomes: Sequence[tuple[VideoJob, Exception | None]]) -> dict[str, Any]:
    """Return plain JSON: what became of every job, in the order in which they were given."""
    jobs: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    timeouts = 0
    for job, error in outcomes:
        if error is not None:
            timeouts += isinstance(error, VideoTimeoutError)
            failures.append(_failure(job, error))
            job = dataclasses.replace(
                job,
                status="failed" if isinstance(error, VideoGenerationError) else job.status,
                error=str(error),
                error_code=getattr(error, "error_code", None) or getattr(error, "error_type", None),
            )
        jobs.append(job.to_dict())
    status = "success" if not failures else "timeout" if timeouts == len(failures) else "error"
    return {"status": status, "jobs": jobs, "failures": failures}


def _failure(job: VideoJob, error: Exception) -> dict[str, Any]:
    # Others have attributes of these names as well, which mean something else.
    told = error if isinstance(error, VeniceError) else None
    fields = {name: getattr(told, name, None) for name in _FAILURE_FIELDS}
    fields["heals"] = told is None or told.can_heal
    if fields["details"] is not None:
        fields["details"] = str(fields["details"])
    message = str(error) if isinstance(error, VeniceError) else f"{job}: the wait broke off: {error!r}"
    if not isinstance(error, (VideoGenerationError, VideoTimeoutError)):
        message += f". {job.how_to_collect}"
    return {"model": job.model, "queue_id": job.queue_id, "message": message, **fields}
