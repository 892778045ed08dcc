"""When a job is next worth a look, and when to give up. Arithmetic only; the caller has the clock."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from airflow_provider_venice.api.limits import backoff
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.run_times import RunTimes
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceError, VideoGenerationError, VideoTimeoutError

#: Seconds between looks while nothing is known of a model's run time.
_BLIND_STEP = 5.0
#: Shortest pause between two looks, in seconds, should the server tell run times that are none.
_SHORTEST_STEP = 0.05
#: Longest pause between two looks, in seconds: a user who reads the log wants to see life, and the server's
#: average may be wrong.
_LONGEST_STEP = 60.0
#: Seconds until the poll that confirms the end of a job, and until the one after the key was refused: a connection
#: whose key is being replaced is read again by then.
_CONFIRM_END, _CONFIRM_REFUSAL = 2.0, 5.0
#: For how long a job must be expected to have been finished to be worth a look, as a share of the model's
#: median run time. With run times of two minutes that are log-normal with sigma 0.25, this makes 13 looks
#: at a job, and finds its end about 2 seconds late (tests/api/test_polling.py, on a virtual clock).
_WORTHWHILE = 0.003


def seconds(name: str, value: Any) -> float:
    """
    Return a time span in seconds.

    :param name: what it is, for the message.
    :param value: seconds, or a ``timedelta``.
    :raises ValueError: when it is neither, or negative.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf:
        raise ValueError(f"{name} is {value!r}; give seconds, or a timedelta")
    return float(number)


def next_look(elapsed: float, run_times: RunTimes) -> float:
    """
    Return the seconds until the next look at a job that was just seen running.

    Sparse while a finish is unlikely, dense when it is due, patient in the tail.

    :param elapsed: seconds that the job has been running.
    :param run_times: what is known of its model.
    """
    median = run_times.median
    if median is None:
        return min(_LONGEST_STEP / 2, max(_BLIND_STEP, elapsed / 10))
    pause = run_times.worthwhile(elapsed, _WORTHWHILE * median) - elapsed
    return min(_LONGEST_STEP, max(_SHORTEST_STEP, pause))


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


class Watch:
    """
    One job under observation: what was seen of it decides the next look, or the end of patience.

    :param job: the job.
    :param deadline: epoch seconds after which to give up; ``None`` for never.
    :param poll_interval: fewest seconds between two looks; ``None`` to go by the model's run times.
    :param longest_backoff: most seconds between two looks that fail.
    :param run_times: what is known of its model; who watches several jobs shares it among them.
    """

    def __init__(
        self,
        job: VideoJob,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        longest_backoff: float = 60.0,
        run_times: RunTimes | None = None,
    ) -> None:
        self.job = job
        self.deadline = deadline
        self.run_times = RunTimes() if run_times is None else run_times
        self._floor = poll_interval or 0.0
        self._longest_backoff = longest_backoff
        self._failures = 0
        self._confirmation = Confirmation()
        self._reported = float("-inf")
        #: Seconds that the job had run at the last look, and when that was; before it, when it was queued.
        self._running_at = 0.0
        self._seen_at = job.queued_at

    def first_look(self, now: float, chance: float) -> float:
        """
        Return the seconds until the first look: none, unless the model's run times are known already.

        :param now: epoch seconds.
        :param chance: a random number from 0 to 1.
        """
        if self._seen_at is None or self.run_times.median is None:
            return 0.0
        due = self._seen_at + next_look(0.0, self.run_times) * (0.9 + 0.2 * chance)
        return max(0.0, self._capped(due - now, now))

    def lateness(self, now: float) -> float:
        """
        Return for how many seconds the job is expected to have been finished by now: the urgency of a look.

        :param now: epoch seconds.
        """
        if self._seen_at is None:
            return math.inf
        elapsed = self._running_at + max(0.0, now - self._seen_at)
        return self.run_times.lateness(elapsed, self._running_at)

    def ended(self, job: VideoJob, now: float) -> None:
        """
        Take in a look that found the job completed: its run time tells of its model.

        :param job: what the look returned.
        :param now: epoch seconds.
        """
        self.job = job
        if self._seen_at is not None:
            self.run_times.saw(self._running_at, self._running_at + max(0.0, now - self._seen_at))

    def saw(self, job: VideoJob, now: float, chance: float) -> float:
        """
        Take in a look that found the job running; return the seconds until the next.

        :param job: what the look returned.
        :param now: epoch seconds.
        :param chance: a random number from 0 to 1; jobs that were queued together part.
        :raises VideoTimeoutError: when the deadline has passed.
        """
        self.job = job
        self._failures = 0
        self._confirmation.on_answer()
        self._running_at = (job.execution_duration or 0.0) / 1000
        self._seen_at = now
        self.run_times.told(None if job.average_execution_time is None else job.average_execution_time / 1000)
        pause = next_look(self._running_at, self.run_times) * (0.9 + 0.2 * chance)
        return self._until_deadline(max(pause, self._floor), now)

    def on_error(self, error: VeniceError, now: float, chance: float) -> float:
        """
        Take in a poll that failed; return the seconds until the next.

        :param error: the failure.
        :param now: epoch seconds.
        :param chance: a random number from 0 to 1.
        :raises VideoTimeoutError: when the deadline has passed.
        :raises VeniceError: the failure, when it ends the wait.
        """
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

    def news(self) -> str | None:
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
