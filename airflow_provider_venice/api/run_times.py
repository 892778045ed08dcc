"""How long a model's jobs take, as far as is known: what a poll of one of them is worth."""

from __future__ import annotations

import math
from collections import deque
from statistics import NormalDist, fmean

#: Spread of the run times where nothing was seen yet: sigma of their logarithm.
_SIGMA = 0.25
#: Bounds of what may be learned of it.
_SMALLEST_SIGMA, _LARGEST_SIGMA = 0.1, 1.0
#: The vendor's average is the time within which four in five jobs end.
_STANDARD = NormalDist()
_Z80 = _STANDARD.inv_cdf(0.8)
#: How many run times the vendor's average counts for against those seen here, and how many are kept.
_PRIOR, _KEPT = 5, 200
#: Share of jobs below which nothing is known of the tail; there, a job is expected to go on for as long as it has.
_TAIL = 1e-6


class RunTimes:
    """
    The run times of one model: log-normal, around the vendor's P80, sharpened by those that were seen.

    Run times of batch jobs are well described by a log-normal: Feitelson, Workload Modeling for
    Computer Systems Performance Evaluation, 2015, chapter 3.
    """

    def __init__(self) -> None:
        self._average: float | None = None
        #: Of each job that has ended, the logarithm of its run time: expected value and variance.
        self._seen: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._normal: NormalDist | None = None

    @property
    def median(self) -> float | None:
        """Seconds within which half of the jobs end; ``None`` while nothing is known."""
        return None if self._normal is None else math.exp(self._normal.mean)

    def observe_average(self, average: float | None) -> None:
        """
        Take in the vendor's average.

        :param average: seconds within which 80 % of the jobs end (``average_execution_time``).
        """
        if average and 0 < average < 1e9 and average != self._average:
            self._average = average
            self._fit()

    def observe(self, after: float, before: float) -> None:
        """
        Take in a job that has ended between two polls.

        :param after: seconds since its beginning at which it was seen running; 0 where it never was.
        :param before: seconds since its beginning at which it was seen completed.
        """
        if self._normal is None or not 0 <= after < before < 1e9:
            return
        # What the run time is expected to be, given these bounds: one step of expectation and maximization,
        # as for any interval-censored sample. The middle would be wrong for jobs that are polled late.
        mean, sigma = self._normal.mean, self._normal.stdev
        low = (math.log(after) - mean) / sigma if after > 0 else -math.inf
        high = (math.log(before) - mean) / sigma
        share = _STANDARD.cdf(high) - _STANDARD.cdf(low)
        if share < _TAIL:
            self._seen.append((math.log((after + before) / 2), 0.0))
        else:
            slope = (_STANDARD.pdf(high) - _STANDARD.pdf(low)) / share
            bend = (high * _STANDARD.pdf(high) - (low * _STANDARD.pdf(low) if after > 0 else 0.0)) / share
            self._seen.append((mean - sigma * slope, sigma**2 * max(0.0, 1 - bend - slope**2)))
        self._fit()

    def lateness(self, elapsed: float, running_at: float) -> float:
        """
        Return for how many seconds a job is expected to have been finished by now.

        :param elapsed: seconds since it began.
        :param running_at: seconds since it began at which it was seen running.
        """
        since = max(0.0, elapsed - running_at)
        if self._normal is None:
            return since
        alive = 1.0 - self._ended(running_at)
        if alive < _TAIL:
            rest = max(running_at, 1e-9)
            return max(0.0, since + rest * math.expm1(-since / rest))
        ended = elapsed * (self._ended(elapsed) - self._ended(running_at))
        return max(0.0, (ended - self._spent(elapsed) + self._spent(running_at)) / alive)

    def time_of_lateness(self, running_at: float, lateness: float) -> float:
        """
        Return the seconds since its beginning at which a job is expected to have been finished for so long.

        :param running_at: seconds since it began at which it was seen running.
        :param lateness: seconds.
        """
        step = lateness
        while self.lateness(running_at + step, running_at) < lateness:
            step *= 2
        low, high = running_at + step / 2, running_at + step
        while high - low > 0.01 * lateness:
            middle = (low + high) / 2
            if middle in (low, high):
                break
            if self.lateness(middle, running_at) < lateness:
                low = middle
            else:
                high = middle
        return high

    def _ended(self, elapsed: float) -> float:
        """Return the share of jobs that end within ``elapsed`` seconds."""
        assert self._normal is not None
        return 0.0 if elapsed <= 0 else self._normal.cdf(math.log(elapsed))

    def _spent(self, elapsed: float) -> float:
        """Return the run time of a job, 0 where it is longer than ``elapsed`` seconds, on average."""
        assert self._normal is not None
        if elapsed <= 0:
            return 0.0
        mean, variance = self._normal.mean, self._normal.variance
        return math.exp(mean + variance / 2) * _STANDARD.cdf((math.log(elapsed) - mean - variance) / self._normal.stdev)

    def _fit(self) -> None:
        if self._average is None:
            return
        mean, count = math.log(self._average) - _Z80 * _SIGMA, len(self._seen)
        if count == 0:
            self._normal = NormalDist(mean, _SIGMA)
            return
        weight = count / (count + _PRIOR)
        seen = fmean(expected for expected, _ in self._seen)
        variance = fmean(variance + (expected - seen) ** 2 for expected, variance in self._seen)
        sigma = math.sqrt(weight * variance + (1 - weight) * _SIGMA**2)
        sigma = min(_LARGEST_SIGMA, max(_SMALLEST_SIGMA, sigma))
        self._normal = NormalDist(weight * seen + (1 - weight) * mean, sigma)
