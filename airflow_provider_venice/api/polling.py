"""When to poll a job next, and when to give up. Arithmetic only; the caller has the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_venice.api.limits import backoff
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.run_times import RunTimes
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceError,
    VeniceRateLimitError,
    VideoGenerationError,
    VideoTimeoutError,
)

#: Seconds between polls while nothing is known of a model's run time.
_BLIND_STEP = 5.0
#: Shortest pause between two polls, in seconds, where the run times that the server reports cannot be right.
_SHORTEST_STEP = 0.05
#: Longest pause between two polls, in seconds: a user who reads the log wants to see progress, and the server's
#: average may be wrong.
_LONGEST_STEP = 60.0
#: Seconds until the poll that confirms the end of a job, and until the one after the key was refused: a connection
#: whose key is being replaced is read again by then.
_CONFIRM_END, _CONFIRM_REFUSAL = 2.0, 5.0
#: For how long a job must be expected to have been finished to be polled, as a share of the model's median run time:
#: where one waits alone and knows nothing of the others who use the key, and where a rate limiter holds back what the
#: key has no room for. With run times of two minutes that are log-normal with sigma 0.25, these make 13 and 22 polls
#: of a job, and find its end about 2 and 1.2 seconds late (tests/api/test_polling.py, on a virtual clock).
ALONE, WITH_LIMITER = 0.003, 0.0003
#: Fewest seconds between two polls of a job, and the same as a share of the model's median run time: the smaller holds.
_FLOOR, _FLOOR_SHARE = 2.0, 1 / 60
#: Seconds after which a job is polled whatever is expected of it: the model's run times may have changed.
_OVERDUE = 600.0
#: Share of the key's limit below which any poll has room.
_IDLE = 0.05
#: How the least lateness grows with the share of the limit that is left, and below which share it grows no more
#: (docs/performance.md).
_SCARCITY, _LAST_ROOM = 1.7, 0.05
#: The median run time that is assumed where nothing is known of a model, in seconds.
_ASSUMED_MEDIAN = 120.0
#: Failed polls of a model in a row after which its other jobs are held back as well.
_FAILING = 3


def seconds(name: str, value: Any) -> float:
    """
    Return a time span in seconds.

    :param name: what it is, for the message.
    :param value: seconds, or a ``timedelta``.
    :raises ValueError: when it is neither, or negative.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf:
        raise ValueError(f"{name} is {value!r}; give seconds above zero, or a timedelta")
    return float(number)


def next_poll(elapsed: float, run_times: RunTimes, min_lateness: float = ALONE) -> float:
    """
    Return the seconds until the next poll of a job that was just seen running.

    Sparse while a finish is unlikely, dense when it is due, patient in the tail.

    :param elapsed: seconds that the job has been running.
    :param run_times: what is known of its model.
    :param min_lateness: for how long the job must be expected to have been finished, as a share of the median run time.
    """
    median = run_times.median
    if median is None:
        return min(_LONGEST_STEP / 2, max(_BLIND_STEP, elapsed / 10))
    pause = run_times.time_of_lateness(elapsed, min_lateness * median) - elapsed
    return min(_LONGEST_STEP, max(_SHORTEST_STEP, min(_FLOOR, _FLOOR_SHARE * median), pause))


@dataclass
class ModelState:
    """
    What the waits for jobs of one model share.

    :param run_times: how long its jobs take.
    :param failures: how many of its polls have failed in a row.
    :param succeeded_at: when one did not fail last.
    """

    run_times: RunTimes = field(default_factory=RunTimes)
    failures: int = 0
    succeeded_at: float = -math.inf

    def succeed(self, now: float) -> None:
        """Note a poll that did not fail: the next ones of this model are not likely to."""
        self.failures, self.succeeded_at = 0, now


class Confirmation:
    """
    Which failed polls of a job are believed: the end of a job and a refused key only when the next one says the same.

    A single answer may be wrong, and a wait that ends by it leaves a paid clip behind. Polls that fail
    otherwise in between neither confirm nor withdraw it.
    """

    def __init__(self) -> None:
        self._ended: VideoGenerationError | None = None
        self._refused = False

    def on_answer(self) -> None:
        """Take in a poll that found the job running or completed: it withdraws what an earlier one said."""
        self._ended, self._refused = None, False

    def needed(self, error: VeniceError) -> float | None:
        """
        Return the seconds until the poll that is to confirm a failed one; ``None`` for a failure that passes.

        :param error: the failure.
        :raises VeniceError: when it is believed.
        """
        if error.can_heal:
            return None
        if isinstance(error, VideoGenerationError):
            self._refused = False  # whoever learns of the job has a key that is accepted
            if self._ended is not None:
                # The answer may name a refund only once.
                raise self._ended if error.credits_refunded is None else error
            self._ended = error
            return _CONFIRM_END
        if refuses_key(error) and not self._refused:
            self._refused = True
            return _CONFIRM_REFUSAL
        raise error


def refuses_key(error: VeniceError) -> bool:
    """Whether the API refused the key, as it does while that is being replaced."""
    return isinstance(error, VeniceAPIError) and error.status_code in (401, 403)


class PollSchedule:
    """
    When to poll one job: what the last polls returned decides when the next one is due, or that the time is up.

    :param job: the job.
    :param deadline: time after which to give up; ``None`` for never.
    :param queued_at: when the job was submitted; ``None`` where that is not known.
    :param poll_interval: fewest seconds between two polls; ``None`` to go by the model's run times.
    :param longest_backoff: most seconds between two polls that fail.
    :param model: what is known of its model; who watches several jobs shares it among them.
    :param min_lateness: for how long the job must be expected to have been finished to be polled, as a share of the
        median run time.

    The times that are given to it are all on one clock, epoch seconds or not; it should be one that is never set.
    """

    def __init__(
        self,
        job: VideoJob,
        *,
        deadline: float | None = None,
        queued_at: float | None = None,
        poll_interval: float | None = None,
        longest_backoff: float = 60.0,
        model: ModelState | None = None,
        min_lateness: float = ALONE,
    ) -> None:
        self.job = job
        self.deadline = deadline
        self._model = ModelState() if model is None else model
        self.run_times = self._model.run_times
        self._min_lateness = min_lateness
        self._floor = poll_interval or 0.0
        self._longest_backoff = longest_backoff
        self._failures = 0
        self._confirmation = Confirmation()
        self._reported = float("-inf")
        #: Seconds that the job had run when it was last seen running, and when that was; before it, when it was queued.
        self._running_at = 0.0
        self._seen_at = queued_at
        #: When the last poll failed, since the job was last seen.
        self._failed_at: float | None = None
        #: The same, where it is likely that the next one fails, too.
        self._suspect_since = -math.inf

    def first_poll(self, now: float, chance: float) -> float:
        """
        Return the seconds until the first poll: none, unless the model's run times are known already.

        :param now: the time.
        :param chance: a random number from 0 to 1.
        """
        if self._seen_at is not None:
            # Where it was queued later than now, the clock was set back since.
            self._seen_at = min(self._seen_at, now)
        if self._seen_at is None or self.run_times.median is None:
            return 0.0
        due = self._seen_at + self._pause(0.0, chance)
        return max(0.0, self._capped(due - now, now))

    def urgency(self, now: float) -> float:
        """
        Return for how many seconds the job is expected to have been finished by now, unnoticed.

        A failed poll counts as one that found it running: it was polled, and the others come first.

        :param now: the time.
        """
        if self._seen_at is None:
            return math.inf
        elapsed, polled_at = self._elapsed(now), self._running_at
        if self._failed_at is not None:
            polled_at = self._elapsed(self._failed_at)
        return max(self.run_times.lateness(elapsed, polled_at), elapsed - polled_at - _OVERDUE)

    def least_urgency(self, usage: float, interval: float) -> float:
        """
        Return the urgency below which a poll would take the place of one that is worth more.

        :param usage: the share of the key's limit that is used.
        :param interval: seconds until all that wait have been polled once.
        """
        if usage < _IDLE:
            return 0.0
        room = math.pow(max(_LAST_ROOM, 1 - usage), _SCARCITY)
        median = self.run_times.median
        if median is None:
            return self._min_lateness * _ASSUMED_MEDIAN / room
        scarce = self._min_lateness * median / room
        # As late as a job of this model is found when all that wait are polled one after the other.
        return max(scarce, self.run_times.lateness(median, max(0.0, median - interval)))

    @property
    def failing(self) -> bool:
        """Whether the next poll is likely to fail: the last one did, and none of the model has succeeded since."""
        return self._suspect_since > self._model.succeeded_at or self._model.failures >= _FAILING

    def on_completed(self, job: VideoJob, now: float) -> None:
        """
        Take in a poll that found the job completed: its run time says something of its model.

        :param job: what the poll returned.
        :param now: the time.
        """
        self.job = job
        self._model.succeed(now)
        if self._seen_at is not None:
            self.run_times.observe(self._running_at, self._elapsed(now))

    def on_running(self, job: VideoJob, now: float, chance: float) -> float:
        """
        Take in a poll that found the job running; return the seconds until the next.

        :param job: what the poll returned.
        :param now: the time.
        :param chance: a random number from 0 to 1; jobs that were queued together part.
        :raises VideoTimeoutError: when the deadline has passed.
        """
        self.job = job
        self._failures, self._failed_at = 0, None
        self._model.succeed(now)
        self._confirmation.on_answer()
        self._running_at = (job.execution_duration or 0.0) / 1000
        self._seen_at = now
        self.run_times.observe_average(
            None if job.average_execution_time is None else job.average_execution_time / 1000
        )
        return self._until_deadline(max(self._pause(self._running_at, chance), self._floor), now)

    def on_error(self, error: VeniceError, now: float, chance: float) -> float:
        """
        Take in a poll that failed; return the seconds until the next.

        :param error: the failure.
        :param now: the time.
        :param chance: a random number from 0 to 1.
        :raises VideoTimeoutError: when the deadline has passed.
        :raises VeniceError: the failure, when it ends the wait.
        """
        self._failed_at = now
        if not isinstance(error, VeniceRateLimitError) and not refuses_key(error):
            self._suspect_since = now
            self._model.failures += 1
        confirm = self._confirmation.needed(error)
        if isinstance(error, VideoGenerationError) and confirm is not None:
            # Also after the deadline: the poll that confirms an end is the last but one at most.
            return max(confirm, self._floor)
        if confirm is not None:
            return self._until_deadline(max(confirm, self._floor), now)
        self._failures += 1
        pause = backoff(
            self._failures,
            longest=self._longest_backoff,
            chance=chance,
            named=getattr(error, "retry_after", None),
        )
        # One second at least: full jitter may draw zero, and a broken server needs no hurry.
        return self._until_deadline(max(1.0, pause, self._floor), now)

    def progress_message(self) -> str | None:
        """Return a line about the job's progress, when it differs enough from the last one."""
        progress = self.job.progress
        # Ten percent below zero: the first figure is news after a line without one.
        known = -10.0 if progress is None else progress
        if known < self._reported + 10:
            return None
        self._reported = known
        if progress is None:
            return f"{self.job} is {self.job.status}"
        remaining = self.job.remaining
        outlook = f"about {remaining:.0f} s remaining" if remaining else "longer than four in five of its kind"
        return f"{self.job} is {self.job.status}: {progress:.0f} %, {outlook}"

    def _elapsed(self, now: float) -> float:
        """Return for how many seconds the job has been running, if it is still running."""
        return self._running_at + max(0.0, now - (self._seen_at or 0.0))

    def _pause(self, elapsed: float, chance: float) -> float:
        return next_poll(elapsed, self.run_times, self._min_lateness) * (0.9 + 0.2 * chance)

    def _until_deadline(self, pause: float, now: float) -> float:
        if self.deadline is not None and now >= self.deadline:
            raise VideoTimeoutError(
                f"{self.job} was still {self.job.status} when the time was up. {self.job.how_to_collect}",
                model=self.job.model,
                queue_id=self.job.queue_id,
            )
        return self._capped(pause, now)

    def _capped(self, pause: float, now: float) -> float:
        return pause if self.deadline is None else min(pause, self.deadline - now)
