"""Nights of clips in no time: the package's policy on an event loop whose clock jumps to the next event."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import statistics
from collections import deque
from dataclasses import dataclass, field

from airflow_provider_venice.api.limits import Pace, RateLimit
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import WITH_LIMITER, ModelState, PollSchedule
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceRateLimitError
from airflow_provider_venice.simulator.limits import WINDOWS
from airflow_provider_venice.transport.limiter import BURST, RateLimiter
from benchmarks.inspection import Law

#: The vendor's limit of retrieves a minute.
LIMIT = 120

#: More failed requests than this in so many seconds block the key (the vendor's documentation).
_MAX_FAILURES, _FAILURE_WINDOW = 20, 30.0


class _Selector(selectors.SelectSelector):
    """Waits for nothing: the time that it would wait has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen")
        # A whole step of the loop's clock at least: a timer that is due in less would keep the clock where it is.
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._virtual.now


@dataclass
class Server:
    """
    The vendor's limit of retrieves.

    :param window: ``fixed``, ``sliding`` or ``bucket``.
    :param resets: whether the answers have the reset.
    """

    window: str = "fixed"
    resets: bool = True
    polls: int = 0
    refusals: int = 0

    def __post_init__(self) -> None:
        self._window = WINDOWS[self.window](LIMIT, 60.0)

    def ask(self, now: float) -> tuple[bool, RateLimit]:
        """Count a request; return whether it is admitted, and what the answer's headers say."""
        admitted = self._window.take(now)
        self.refusals += not admitted
        return admitted, RateLimit(LIMIT, self._window.remaining(), self._window.resets_at if self.resets else None)


@dataclass
class Night:
    """
    So many clips, submitted at 40 a minute and found by processes that share a key and nothing else.

    :param count: clips.
    :param law: of the run times.
    :param told: what the vendor tells as their P80, as a share of the truth; ``None`` for nothing.
    :param window: the kind of the vendor's window.
    :param resets: whether the vendor's answers say when it resets.
    :param processes: how many processes share the clips.
    :param downloads: whether a worker downloads each clip two seconds after it was found, which counts as a retrieve.
    :param broken: jobs of another model under the same key, each poll of which fails.
    :param latency: seconds from a request to its answer.
    :param seed: of the run times and of who waits for which clip.
    """

    count: int
    law: Law
    told: float | None = 1.0
    window: str = "fixed"
    resets: bool = True
    processes: int = 1
    downloads: bool = False
    broken: int = 0
    latency: float = 0.15
    seed: int = 0
    #: Seconds from finished to found, of each.
    late: list[float] = field(default_factory=list)
    polls: int = 0
    refusals: int = 0
    #: Polls that failed, and how often they were so many that the vendor would have blocked the key.
    failures: int = 0
    blocks: int = 0
    _failed_at: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_FAILURES + 1), repr=False)
    #: How long it took.
    seconds: float = 0.0

    def run(self) -> Night:
        """Play it."""
        loop = VirtualLoop()
        try:
            loop.run_until_complete(self._play(loop))
        finally:
            loop.close()
        return self

    @property
    def mean(self) -> float:
        """Mean seconds from finished to found."""
        return statistics.fmean(self.late)

    @property
    def p95(self) -> float:
        """Seconds within which 95 % are found."""
        return sorted(self.late)[math.ceil(0.95 * len(self.late)) - 1]

    @property
    def polls_per_clip(self) -> float:
        """Polls per clip, downloads not counted."""
        return self.polls / self.count

    async def _play(self, loop: VirtualLoop) -> None:
        chance, server = random.Random(self.seed), Server(self.window, self.resets)
        keys = [(RateLimiter(Pace(LIMIT, burst=BURST)), ModelState()) for _ in range(self.processes)]
        waits = []
        bad = ModelState()
        fails = [loop.create_task(self._fail(loop, server, keys[0][0], bad, chance)) for _ in range(self.broken)]
        for _ in range(self.count):
            turns, model = chance.choice(keys)
            end = loop.time() + self.law.draw(chance)
            waits.append(loop.create_task(self._wait(loop, server, turns, model, end, chance)))
            await asyncio.sleep(1.5)
        await asyncio.gather(*waits)
        for fail in fails:
            fail.cancel()
        await asyncio.gather(*fails, return_exceptions=True)
        self.refusals, self.seconds = server.refusals, loop.time()

    async def _fail(
        self, loop: VirtualLoop, server: Server, limiter: RateLimiter, model: ModelState, chance: random.Random
    ) -> None:
        """Wait for a job of a model that answers 503."""
        schedule = PollSchedule(VideoJob("veo", "q-8"), queued_at=loop.time(), model=model, min_lateness=WITH_LIMITER)
        while True:
            async with limiter.acquire(schedule):
                await asyncio.sleep(self.latency)
                _, limits = server.ask(loop.time())
                self.failures += 1
                self._failed_at.append(loop.time())
                self.blocks += (
                    len(self._failed_at) > _MAX_FAILURES and self._failed_at[0] > loop.time() - _FAILURE_WINDOW
                )
                limiter.pace.observe(limits, None, loop.time(), failed=True)
            await asyncio.sleep(schedule.on_error(VeniceAPIError("down", 503), loop.time(), chance.random()))

    async def _wait(
        self,
        loop: VirtualLoop,
        server: Server,
        limiter: RateLimiter,
        model: ModelState,
        end: float,
        chance: random.Random,
    ) -> None:
        """Wait as the trigger does."""
        queued_at = loop.time()
        schedule = PollSchedule(VideoJob("wan", "q-7"), queued_at=queued_at, model=model, min_lateness=WITH_LIMITER)
        pause = schedule.first_poll(queued_at, 0.5)
        while True:
            await asyncio.sleep(pause)
            async with limiter.acquire(schedule):
                self.polls += 1
                await asyncio.sleep(self.latency / 2)
                now = loop.time()
                admitted, limits = server.ask(now)
                await asyncio.sleep(self.latency / 2)
                limiter.pace.observe(limits, None if admitted else 5.0, loop.time(), failed=not admitted)
            if not admitted:
                pause = schedule.on_error(
                    VeniceRateLimitError("refused", 429, retry_after=5.0), loop.time(), chance.random()
                )
            elif end <= now:
                schedule.on_completed(schedule.job, loop.time())
                self.late.append(now - end)
                if self.downloads:
                    loop.call_later(2.0, lambda: server.ask(loop.time()))
                return
            else:
                elapsed = 1000 * (now - queued_at)
                average = None if self.told is None else 1000 * self.told * self.law.p80
                seen = VideoJob(
                    "wan", "q-7", status="processing", execution_duration=elapsed, average_execution_time=average
                )
                pause = schedule.on_running(seen, loop.time(), 0.5)
