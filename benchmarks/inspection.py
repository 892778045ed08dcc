"""Laws of run times, and how soon the end of a job can be found at best with so many polls."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist


@dataclass(frozen=True)
class Law:
    """
    A distribution of run times, in seconds.

    :param draw: draws one.
    :param ended: the share that ends within so many seconds.
    :param longest: seconds within which all but a negligible share end.
    """

    draw: Callable[[random.Random], float]
    ended: Callable[[float], float]
    longest: float

    @cached_property
    def p80(self) -> float:
        """Seconds within which 80 % end: what the vendor calls the average."""
        low, high = 0.0, self.longest
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (middle, high) if self.ended(middle) < 0.8 else (low, middle)
        return high


def _log_normal(*parts: tuple[float, float]) -> Law:
    """Return a mixture in equal parts of log-normals, each with a median and a sigma."""
    normals = [NormalDist(math.log(median), sigma) for median, sigma in parts]

    def draw(chance: random.Random) -> float:
        return chance.lognormvariate(*chance.choice([(normal.mean, normal.stdev) for normal in normals]))

    def ended(elapsed: float) -> float:
        return sum(normal.cdf(math.log(elapsed)) for normal in normals) / len(normals) if elapsed > 0 else 0.0

    return Law(draw, ended, max(math.exp(normal.mean + 4 * normal.stdev) for normal in normals))


_SHORTEST, _LONGEST, _ALPHA = 40.0, 1500.0, 1.5

#: The run times of the tables. Nothing is known of Venice's; the package assumes the first until it has seen others.
LAWS = {
    "log-normal": _log_normal((120.0, 0.25)),
    "bimodal": _log_normal((60.0, 0.1), (200.0, 0.1)),
    "heavy tail": Law(
        lambda chance: min(_LONGEST, _SHORTEST * chance.paretovariate(_ALPHA)),
        lambda elapsed: 1.0 if elapsed >= _LONGEST else max(0.0, 1 - (_SHORTEST / max(elapsed, 1.0)) ** _ALPHA),
        _LONGEST,
    ),
    "constant": Law(lambda chance: 120.0, lambda elapsed: float(elapsed >= 120.0), 240.0),
}


class Inspection:
    """
    The optimal inspection schedules of one law (Barlow and Proschan, 1965, chapter 4), by dynamic programming.

    A schedule says after which running times a job is polled, until it is found finished. For a price of a poll in
    seconds of lateness, the one with the least expected cost is found backwards in time, on a grid of half a second or
    an 800th of the longest run time. Prices from very cheap to very dear give the least mean lateness for each mean
    number of polls, the successful one included.

    :param law: the law.
    """

    def __init__(self, law: Law) -> None:
        step = max(0.5, law.longest / 800)
        self._times = [step * number for number in range(int(law.longest / step) + 2)]
        self._ended = [*(law.ended(at) for at in self._times[:-1]), 1.0]
        halves = (step * (one + two) / 2 for one, two in itertools.pairwise(self._ended))
        #: The integral of the share that has ended.
        self._area = [0.0, *itertools.accumulate(halves)]
        #: Mean polls and mean lateness of the best schedules, by polls.
        self._best = sorted(self._schedule(0.01 * 1.5**number) for number in range(24))

    def lateness(self, polls: float) -> float:
        """Return the least mean lateness with so many polls of a job on average, in seconds."""
        place = bisect.bisect(self._best, (polls,))
        if place in (0, len(self._best)):
            return self._best[min(place, len(self._best) - 1)][1]
        (few, late), (many, soon) = self._best[place - 1 : place + 1]
        share = (polls - few) / (many - few)
        # A straight line between two schedules: one may draw lots between them.
        return late + share * (soon - late)

    def _schedule(self, price: float) -> tuple[float, float]:
        """Return the mean number of polls and the mean lateness of the best schedule for a price of a poll."""
        times, ended, area, count = self._times, self._ended, self._area, len(self._times)
        cost, following = [0.0] * count, [0] * count
        for last in range(count - 2, -1, -1):
            if ended[last] >= 1.0:
                continue
            # What it costs, but for what is the same for all choices of the next poll.
            share = ended[last]
            least, at = min((area[at] - share * times[at] + cost[at], at) for at in range(last + 1, count))
            cost[last] = least - area[last] + share * times[last] + price * (1 - share)
            following[last] = at
        polls = late = 0.0
        last = 0
        while ended[last] < 1.0:
            at = following[last]
            polls += 1 - ended[last]
            late += area[at] - area[last] - ended[last] * (times[at] - times[last])
            last = at
        return polls, late
