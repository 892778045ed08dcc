"""Which request goes next, where many share a key's rate limit; and what else is known of the key."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_venice.api.limits import Pace
from airflow_provider_venice.api.polling import ModelState
from airflow_provider_venice.transport.settings import Settings

#: For how many seconds a worker may submit after the triggerer has admitted it: about twice what it takes to start one.
ADMISSION_SECONDS = 10.0

#: How many times faster than evenly polls may go while nothing of the limit is used: clips that were submitted
#: together end together.
BURST = 4.0

#: Requests that are likely to fail go this often at most: so many in so many seconds. More than 20 failed requests in
#: 30 seconds block the key (the vendor's documentation); a quarter leaves room for other processes, and costs those
#: requests that are likely to succeed less than a tenth of the key's limit.
_LIKELY_FAILURES, _LIKELY_FAILURES_WINDOW = 5, 30.0


class Priority(Protocol):
    """A request that waits for the rate limit. Times are those of the event loop's clock, which is never set."""

    @property
    def failing(self) -> bool:
        """Whether it is likely to fail."""
        ...

    def urgency(self, now: float) -> float:
        """Return how urgent it is; the largest goes first. It must not grow faster than the clock."""
        ...

    def least_urgency(self, usage: float, interval: float) -> float:
        """
        Return the urgency below which it had better wait.

        :param usage: the share of the key's limit that is used.
        :param interval: seconds until all that wait have been polled once.
        """
        ...


@dataclass(frozen=True)
class FirstInFirstOut:
    """
    Goes after those that were there before it.

    :param since: since when it has waited.
    """

    since: float = 0.0
    failing = False

    def urgency(self, now: float) -> float:
        """Return for how long it has waited."""
        return now - self.since

    def least_urgency(self, usage: float, interval: float) -> float:
        """Return that it may always go."""
        return -math.inf


class _Waiting:
    """A request in the queue."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Its urgency less the time, when it was last asked for: it is not more urgent than this, plus the time.
        self.bound = math.inf


class RateLimiter:
    """
    Lets requests out at a pace, the most urgent one first, and holds back what is likely to fail.

    No job starves: the urgency of one that is passed over grows, that of one that was polled starts anew.

    :param pace: when the next one may go.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        #: A dictionary as an ordered set: thousands may wait, and leave when their time is up.
        self._waiting: dict[_Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._likely_failures: deque[float] = deque(maxlen=_LIKELY_FAILURES)

    @contextlib.asynccontextmanager
    async def acquire(self, priority: Priority) -> AsyncIterator[None]:
        """
        Wait until the request may go, and hold its place while it runs. One that is cancelled meanwhile gives it back.

        :param priority: how urgent the request is.
        :raises Exception: what asking for its urgency raises.
        """
        waiting = _Waiting(priority)
        self._waiting[waiting] = None
        if self._timer is None:
            self._arrange()
        admitted = waiting.admitted
        try:
            await admitted
            yield
        finally:
            self._waiting.pop(waiting, None)
            if admitted.done() and not admitted.cancelled() and admitted.exception() is None:
                self.pace.release()
                self._arrange()

    def _arrange(self) -> None:
        """Admit those that may go now, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            now = loop.time()
            due = self.pace.next_at(now)
            if due <= now:
                waiting = self._choose(now)
                if waiting is not None:
                    self._admit(waiting, now)
                    continue
                due = now + self.pace.interval / 4
            # In a context of its own: the current one may belong to one trigger, and to its log.
            self._timer = loop.call_at(due, self._arrange, context=contextvars.Context())
            return

    def _admit(self, waiting: _Waiting, now: float) -> None:
        del self._waiting[waiting]
        if not waiting.admitted.done():
            if waiting.priority.failing:
                self._likely_failures.append(now)
            self.pace.acquire(now)
            waiting.admitted.set_result(None)

    def _choose(self, now: float) -> _Waiting | None:
        """Return the most urgent one, if it is urgent enough."""
        quota = self._likely_failures
        may_fail = len(quota) < _LIKELY_FAILURES or quota[0] <= now - _LIKELY_FAILURES_WINDOW
        best, most, count = None, -math.inf, 0
        for waiting in list(self._waiting):
            if waiting.priority.failing and not may_fail:
                continue
            count += 1
            if waiting.bound + now <= most:
                continue
            urgency = self._urgency(waiting, now)
            if urgency is not None and (urgency > most or best is None):
                best, most = waiting, urgency
        if best is None:
            return None
        least = best.priority.least_urgency(self.pace.usage(now), count * self.pace.interval)
        return best if most >= least else None

    def _urgency(self, waiting: _Waiting, now: float) -> float | None:
        """Return how urgent one is. What is wrong with it fails its request alone, not all others of the key."""
        try:
            urgency = float(waiting.priority.urgency(now))
            if math.isnan(urgency):
                raise ValueError(f"the urgency of {waiting.priority!r} is not a number")
        except Exception as error:
            del self._waiting[waiting]
            if not waiting.admitted.done():
                waiting.admitted.set_exception(error)
            return None
        waiting.bound = urgency - now
        return urgency


class KeyState:
    """
    What one event loop has learned of a key: how fast it may ask, and how long the models' jobs take.

    All connections with the same key and base URL share it, whatever else they settle.

    :param settings: those of the connection that uses it first.
    """

    def __init__(self, settings: Settings) -> None:
        self.limiters = {
            # Workers submit some time after they were admitted: what was admitted within a minute and that time may
            # reach Venice within a minute.
            "queue": RateLimiter(Pace(settings.queue_limit, window=60.0 + ADMISSION_SECONDS)),
            "retrieve": RateLimiter(Pace(settings.retrieve_limit, burst=BURST)),
        }
        #: How many sessions use it, and when the last one ended, on the loop's clock.
        self.users, self.left_at = 0, 0.0
        #: When the key was refused last, on the monotonic clock: it may have been replaced in the connection.
        self.refused_at = 0.0
        #: By model: all waits for its jobs share it.
        self.models: defaultdict[str, ModelState] = defaultdict(ModelState)
