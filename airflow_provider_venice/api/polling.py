"""When a job is next worth a look, and when to give up. Arithmetic only; the caller has the clock."""

from __future__ import annotations

from airflow_provider_venice.api.limits import backoff
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VideoTimeoutError

#: Seconds between looks while nothing is known of a model's run time.
_BLIND_STEP = 5.0
#: Shortest pause between two looks, in seconds, should the server tell run times that are none.
_SHORTEST_STEP = 0.05
#: Longest pause between two looks, in seconds: a user who reads the log wants to see life.
_LONGEST_STEP = 60.0
#: Share of the P80 before which a finish is unlikely. Where run times are log-normal with
#: sigma 0.25, the P80 is 1.23 medians, and 7 % of the jobs end before 0.6 of it.
_EARLIEST = 0.6


def next_look(elapsed: float, average: float | None) -> float:
    """
    Return the seconds until the next look at a running job.

    Sparse while a finish is unlikely, dense when it is due, patient in the tail.

    :param elapsed: seconds that the job has been running.
    :param average: seconds within which 80 % of the model's jobs end (``average_execution_time``).
    """
    if not average or average <= 0:
        return min(_LONGEST_STEP / 2, max(_BLIND_STEP, elapsed / 10))
    dense = min(10.0, max(_SHORTEST_STEP, average / 20, min(2.0, average / 8)))
    if elapsed < _EARLIEST * average:
        return min(_LONGEST_STEP, max(dense, _EARLIEST * average - elapsed))
    if elapsed < 1.25 * average:
        return dense
    return min(_LONGEST_STEP / 2, max(dense, elapsed / 10))


class Watch:
    """
    One job under observation: what was seen of it decides the next look, or the end of patience.

    :param job: the job.
    :param deadline: epoch seconds after which to give up; ``None`` for never.
    :param poll_interval: fewest seconds between two looks; ``None`` to go by the model's run times.
    :param longest_backoff: most seconds between two looks that fail.
    """

    def __init__(
        self,
        job: VideoJob,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        longest_backoff: float = 60.0,
    ) -> None:
        self.job = job
        self.deadline = deadline
        self._floor = poll_interval or 0.0
        self._longest_backoff = longest_backoff
        self._failures = 0
        self._reported = float("-inf")

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
        elapsed = (job.execution_duration or 0.0) / 1000
        average = None if job.average_execution_time is None else job.average_execution_time / 1000
        pause = next_look(elapsed, average) * (0.9 + 0.2 * chance)
        return self._until_deadline(max(pause, self._floor), now)

    def stumbled(self, error: VeniceError, now: float, chance: float) -> float:
        """
        Take in a look that failed in a way that passes; return the seconds until the next.

        :param error: the failure.
        :param now: epoch seconds.
        :param chance: a random number from 0 to 1.
        :raises VideoTimeoutError: when the deadline has passed.
        """
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
        if self.deadline is None:
            return pause
        if now >= self.deadline:
            raise VideoTimeoutError(
                f"{self.job} was still {self.job.status} when the time was up. {self.job.how_to_collect}",
                model=self.job.model,
                queue_id=self.job.queue_id,
            )
        return min(pause, self.deadline - now)
