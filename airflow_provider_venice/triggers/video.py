"""``VeniceVideoTrigger``: waits for video jobs without holding a worker slot."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_venice import observability
from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import WITH_LIMITER, PollSchedule, refuses_key
from airflow_provider_venice.exceptions import (
    VeniceConnectionError,
    VeniceError,
    VideoTimeoutError,
)
from airflow_provider_venice.hooks.connections import async_settings, reading_again
from airflow_provider_venice.hooks.private_links import encrypt_link
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.triggers.events import describe_outcomes
from airflow_provider_venice.triggers.heartbeat import earliest_event
from airflow_provider_venice.triggers.progress import TriggerProgress

if TYPE_CHECKING:
    from airflow_provider_venice.transport.asynchronous import AsyncTransport

#: Seconds that the last poll of all may take, after the deadline: at least, and at most. Thousands may have the same
#: deadline, and would hold up the loop if they ended at once.
_LAST_POLL = (10.0, 20.0)

#: No random part in the pauses: the rate limiter parts the polls of jobs that were queued together.
_EVEN = 0.5


class VeniceVideoTrigger(BaseTrigger):
    """
    Wait until video jobs have ended, each by itself: one that fails does not hide the others.

    Its row in the database is plain text, so a private link is encrypted before it gets there;
    the trigger has no use for it and hands it on. The one event has ``status`` (``success``,
    ``partial``, ``error``, ``timeout``), ``jobs``, ``failures`` and ``deadline``;
    :mod:`~airflow_provider_venice.triggers.events` reads it.

    :param jobs: the jobs, or their dictionaries.
    :param venice_conn_id: the connection.
    :param poll_interval: fewest seconds between two polls of a job; chosen from the model's run times if ``None``.
    :param deadline: epoch seconds at which to give up; it holds through restarts of the triggerer.
    :param try_number: the try that waits; the event has it. Airflow resumes the next try with the same event where the
        task is cleared while it runs.
    :param hand_over_after: seconds after the end of the first job at which the event comes although others still run,
        with the status ``partial``; only when all have ended if ``None``.
    """

    def __init__(
        self,
        jobs: Sequence[VideoJob | Mapping[str, Any]],
        venice_conn_id: str = VeniceHook.default_conn_name,
        poll_interval: float | None = None,
        deadline: float | None = None,
        try_number: int | None = None,
        hand_over_after: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.jobs = [encrypt_link(VideoJob.of(job)) for job in jobs]
        self.venice_conn_id = venice_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.try_number = try_number
        self.hand_over_after = hand_over_after

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "jobs": self.jobs,
                "venice_conn_id": self.venice_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "try_number": self.try_number,
                "hand_over_after": self.hand_over_after,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        jobs = [VideoJob.of(job) for job in self.jobs]
        earliest = earliest_event()
        self._progress = TriggerProgress(self.task_instance)
        try:
            async with VeniceHook(self.venice_conn_id).async_transport() as transport:
                outcomes = await self._outcomes(transport, jobs)
                # A worker is about to fetch them: without a private link, each is a retrieve, as a poll is.
                inline = [job for job, _ in outcomes if job.is_completed() and job.download_url is None]
                transport.key_state.limiters["retrieve"].pace.expect(len(inline), asyncio.get_running_loop().time())
            event = describe_outcomes(outcomes)
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
            event = describe_outcomes([(job, error) for job in jobs])
        finally:
            self._progress.end()
        await asyncio.sleep(max(0.0, earliest - time.monotonic()))
        yield TriggerEvent({**event, "deadline": self.deadline, "try_number": self.try_number})

    async def _outcomes(
        self, transport: AsyncTransport, jobs: Sequence[VideoJob]
    ) -> list[tuple[VideoJob, Exception | None]]:
        """Return what became of each job; one that is still running at a hand-over, as it was given."""
        waits = [asyncio.create_task(self._wait(transport, job)) for job in jobs]
        try:
            if waits and self.hand_over_after is not None:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if waits:
                await asyncio.wait(waits, timeout=self.hand_over_after)
        finally:
            # Again and again: up to Python 3.11, wait_for swallows a cancellation that comes together with its result.
            while running := [wait for wait in waits if not wait.done()]:
                for wait in running:
                    wait.cancel()
                await asyncio.wait(running, timeout=0.5)
        return [self._outcome(job, wait) for job, wait in zip(jobs, waits, strict=True)]

    def _outcome(
        self, job: VideoJob, wait: asyncio.Task[tuple[VideoJob, VeniceError | None]]
    ) -> tuple[VideoJob, Exception | None]:
        if wait.cancelled():
            return job, None
        error = wait.exception()
        if isinstance(error, Exception):
            # Of this job only: the others are not lost for it.
            self.log.error("The wait for %s broke off", job, exc_info=error)
            return job, error
        return wait.result()

    async def _wait(self, transport: AsyncTransport, job: VideoJob) -> tuple[VideoJob, VeniceError | None]:
        # The loop's clock, as a machine's time may be set: an hour back would stop the polls for an hour.
        offset = asyncio.get_running_loop().time() - time.time()
        schedule = PollSchedule(
            job,
            deadline=None if self.deadline is None else self.deadline + offset,
            queued_at=None if job.queued_at is None else job.queued_at + offset,
            poll_interval=self.poll_interval or transport.settings.poll_interval,
            longest_backoff=transport.settings.retry_max_wait,
            model=transport.key_state.models[job.model],
            min_lateness=WITH_LIMITER,
        )
        try:
            return await self._completed(transport, schedule), None
        except VideoTimeoutError as error:
            # The event follows at once, and says so. Thousands may have the same deadline, and each line of a log holds
            # up the loop until the triggerer's supervisor has taken it.
            return schedule.job, error
        except VeniceError as error:
            self.log.error("%s", error)
            return schedule.job, error

    async def _completed(self, transport: AsyncTransport, schedule: PollSchedule) -> VideoJob:
        """
        Poll until the job is completed.

        :raises VeniceError: what ends the wait otherwise.
        """
        clock = asyncio.get_running_loop().time
        pause, read_after = schedule.first_poll(clock(), _EVEN), 0.0
        async with contextlib.AsyncExitStack() as stack:
            while True:
                await asyncio.sleep(pause)
                try:
                    if transport.key_state.refused_at > read_after:
                        refused_at = transport.key_state.refused_at
                        transport = await self._reconnect(stack, transport, refused_at)
                        read_after = refused_at
                    seen = await self._poll(transport, schedule)
                except VeniceError as error:
                    pause = schedule.on_error(error, clock(), random.random())
                    if refuses_key(error):
                        transport.key_state.refused_at = time.monotonic()
                    self.log.warning("%s; the next poll is in %.0f s", error, pause)
                    continue
                self._progress.see(seen)
                if seen.is_completed():
                    schedule.on_completed(seen, clock())
                    observability.clip_rendered(seen)
                    self.log.info("%s is completed", seen)
                    return seen
                pause = schedule.on_running(seen, clock(), _EVEN)
                if line := schedule.progress_message():
                    self.log.info(line)

    async def _reconnect(
        self, stack: contextlib.AsyncExitStack, transport: AsyncTransport, refused_at: float
    ) -> AsyncTransport:
        """
        Return the transport of the connection as it is now, as its key was refused to one of its waits.

        :param stack: holds a new one until the wait ends.
        :param refused_at: when the key was refused, on the monotonic clock.
        :raises VeniceConnectionError: when the connection cannot be read now.
        """
        from airflow_provider_venice.transport.shared import shared_transport

        with reading_again(self.venice_conn_id):
            settings = await async_settings(self.venice_conn_id, read_after=refused_at)
        if settings == transport.settings:
            return transport
        return await stack.enter_async_context(shared_transport(settings))

    async def _poll(self, transport: AsyncTransport, schedule: PollSchedule) -> VideoJob:
        """Poll once; where the rate limit admits no poll before the deadline, the poll has failed."""
        patience = None
        if schedule.deadline is not None:
            patience = max(0.0, schedule.deadline - asyncio.get_running_loop().time()) + random.uniform(*_LAST_POLL)
        poll = transport.send(calls.retrieve(schedule.job), attempts=1, priority=schedule)
        try:
            return await asyncio.wait_for(poll, patience)
        except asyncio.TimeoutError:
            raise VeniceConnectionError(f"no answer about {schedule.job} came in time", sent=True) from None
        finally:
            observability.polled(schedule.job.model)
