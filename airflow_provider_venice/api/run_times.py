"""How long a model's jobs take, as far as is known: what makes a look worthwhile."""

from __future__ import annotations

import math
from collections import deque
from statistics import NormalDist, fmean, pstdev

#: Spread of the run times where nothing was seen yet: sigma of their logarithm.
_SIGMA = 0.25
#: Bounds of what may be learned of it.
_SMALLEST_SIGMA, _LARGEST_SIGMA = 0.1, 1.0
#: The vendor's average is the time within which four in five jobs end.
_Z80 = NormalDist().inv_cdf(0.8)
#: How many run times the vendor's average counts for against those seen here, and how many are kept.
_PRIOR, _KEPT = 5, 200
#: Share of jobs below which nothing is known of the tail; there, a job may end at any time.
_TAIL = 1e-6


class RunTimes:
    """
    The run times of one model: log-normal, around the vendor's P80, sharpened by those that were seen.

    Run times of batch jobs are well described by a log-normal: Feitelson, Workload Modeling for
    Computer Systems Performance Evaluation, 2015, chapter 3.
    """

    def __init__(self) -> None:
        self._average: float | None = None
        self._seen: deque[float] = deque(maxlen=_KEPT)
        self._normal: NormalDist | None = None

    @property
    def is_known(self) -> bool:
        """Whether the vendor has told an average."""
        return self._normal is not None

    def told(self, average: float | None) -> None:
        """
        Take in the vendor's average.

        :param average: seconds within which 80 % of the jobs end (``average_execution_time``).
        """
        if average and 0 < average < 1e9 and average != self._average:
            self._average = average
            self._fit()

    def saw(self, seconds: float) -> None:
        """
        Take in the run time of a job that has ended.

        :param seconds: its run time.
        """
        if 0 < seconds < 1e9:
            self._seen.append(math.log(seconds))
            self._fit()

    def likelihood(self, elapsed: float, running_at: float) -> float:
        """
        Return how likely it is that a job has ended by now, from 0 to 1.

        :param elapsed: seconds since it began.
        :param running_at: seconds since it began at which it was seen running.
        """
        if self._normal is None:
            return 1.0
        alive = self._surviving(running_at)
        if alive < _TAIL:
            return 1.0 - math.exp(-max(0.0, elapsed - running_at) / max(running_at / 2, 1e-9))
        return 1.0 - self._surviving(elapsed) / alive

    def worthwhile(self, running_at: float, likelihood: float) -> float | None:
        """
        Return the seconds since its beginning at which a job has ended with that likelihood.

        :param running_at: seconds since it began at which it was seen running.
        :param likelihood: from 0 to 1.
        :return: ``None`` where nothing is known.
        """
        if self._normal is None:
            return None
        left = self._surviving(running_at) * (1.0 - likelihood)
        if left < _TAIL:
            return running_at - math.log(1.0 - likelihood) * running_at / 2
        return math.exp(self._normal.inv_cdf(1.0 - left))

    def _surviving(self, elapsed: float) -> float:
        """Return the share of jobs that run longer than ``elapsed`` seconds."""
        assert self._normal is not None
        return 1.0 if elapsed <= 0 else 1.0 - self._normal.cdf(math.log(elapsed))

    def _fit(self) -> None:
        if self._average is None:
            return
        mean, count = math.log(self._average) - _Z80 * _SIGMA, len(self._seen)
        if count < 2:
            self._normal = NormalDist(mean, _SIGMA)
            return
        weight = count / (count + _PRIOR)
        sigma = weight * pstdev(self._seen) + (1 - weight) * _SIGMA
        sigma = min(_LARGEST_SIGMA, max(_SMALLEST_SIGMA, sigma))
        self._normal = NormalDist(weight * fmean(self._seen) + (1 - weight) * mean, sigma)
