"""One session and one budget for all users of an account on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import socket
import time
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.limits import Pace
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.transport import shared
from airflow_provider_venice.transport.asynchronous import AsyncTransport
from airflow_provider_venice.transport.limiter import FirstInFirstOut, Priority, RateLimiter
from airflow_provider_venice.transport.settings import Settings
from airflow_provider_venice.transport.shared import shared_transport
from benchmarks.virtual import VirtualLoop
from tests.transport.carriers import API_KEY, RawServer, answer

QUOTE = calls.quote(VideoRequest(model="wan", duration=5).to_quote_body())
QUOTED = answer(200, '{"quote": 0.35}')
LOOK = calls.retrieve(VideoJob("wan", "q-7"))
RUNNING = answer(200, '{"status": "PROCESSING"}')


@dataclass(frozen=True)
class Fixed:
    """Waits with the same urgency all the time."""

    value: Any
    failing: bool = False

    def urgency(self, now: float) -> float:
        return self.value  # type: ignore[no-any-return]

    def least_urgency(self, usage: float, interval: float) -> float:
        return -math.inf


@dataclass(frozen=True)
class Growing:
    """Waits with an urgency that grows, and for it to reach the least."""

    since: float
    least: float
    failing: bool = False

    def urgency(self, now: float) -> float:
        return now - self.since

    def least_urgency(self, usage: float, interval: float) -> float:
        return self.least


def settings_for(url: str, **fields: Any) -> Settings:
    return Settings(API_KEY, url, **fields)


def is_open(transport: AsyncTransport) -> bool:
    return not transport._session.closed


async def test_many_users_share_one_session_until_the_last_has_left() -> None:
    with RawServer(QUOTED, keep=True) as server:
        seen: list[AsyncTransport] = []
        full, gate = asyncio.Event(), asyncio.Event()

        async def use() -> None:
            async with shared_transport(settings_for(server.url)) as transport:
                seen.append(transport)
                if len(seen) == 50:
                    full.set()
                await transport.send(QUOTE)
                await gate.wait()
                await transport.send(QUOTE)

        users = [asyncio.create_task(use()) for _ in range(50)]
        await full.wait()
        users[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await users[0]
        assert is_open(seen[0])
        gate.set()
        await asyncio.gather(*users[1:])
        assert len(set(map(id, seen))) == 1
        assert not is_open(seen[0])
        assert shared._shared == {}
        async with shared_transport(settings_for(server.url)) as transport:
            assert transport is not seen[0]
            await transport.send(QUOTE)


async def test_a_user_that_fails_leaves_as_well() -> None:
    with RawServer(b"") as server:
        with pytest.raises(VeniceError):
            async with shared_transport(settings_for(server.url, retry_attempts=1)) as transport:
                await transport.send(QUOTE)
        assert transport._session.closed
        assert shared._shared == {}


async def test_one_key_has_one_pace_whatever_else_is_settled() -> None:
    url = "http://127.0.0.1:9/api/v1"
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(shared_transport(Settings("a", url)))
        other = await stack.enter_async_context(shared_transport(Settings("a", url, poll_interval=7)))
        key = await stack.enter_async_context(shared_transport(Settings("b", url)))
        place = await stack.enter_async_context(shared_transport(Settings("a", url + "x")))
        assert first is not other
        assert first.key_state is other.key_state
        assert len({id(first.key_state), id(key.key_state), id(place.key_state)}) == 3
    async with shared_transport(Settings("a", url)) as again:
        assert again.key_state is first.key_state


def test_a_key_that_nobody_has_used_for_an_hour_is_forgotten() -> None:
    url, loop = "http://127.0.0.1:9/api/v1", VirtualLoop()

    async def replace() -> tuple[int, int]:
        for number in range(20):
            async with shared_transport(Settings(f"key-{number}", url)):
                await asyncio.sleep(60)
        async with shared_transport(Settings("held", url)):
            used = len(shared._key_states[loop])
            await asyncio.sleep(7200)
            async with shared_transport(Settings("last", url)):
                return used, len(shared._key_states[loop])

    try:
        assert loop.run_until_complete(replace()) == (21, 2)
    finally:
        loop.close()


async def test_other_settings_have_another_session() -> None:
    url = "http://127.0.0.1:9/api/v1"
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(shared_transport(Settings("a", url)))
        again = await stack.enter_async_context(shared_transport(Settings("a", url)))
        key = await stack.enter_async_context(shared_transport(Settings("b", url)))
        limit = await stack.enter_async_context(shared_transport(Settings("a", url, retrieve_limit=5)))
        assert first is again
        assert len({id(first), id(key), id(limit)}) == 3
    assert shared._shared == {}


def test_two_loops_do_not_share() -> None:
    with RawServer(QUOTED, keep=True) as server:
        settings, loops = settings_for(server.url), [asyncio.new_event_loop() for _ in range(2)]
        entered = [shared_transport(settings) for _ in loops]
        try:
            transports = [
                loop.run_until_complete(manager.__aenter__()) for loop, manager in zip(loops, entered, strict=True)
            ]
            for loop, transport in zip(loops, transports, strict=True):
                assert loop.run_until_complete(transport.send(QUOTE)).estimated_cost
            assert transports[0] is not transports[1]
            for loop, manager in zip(loops, entered, strict=True):
                loop.run_until_complete(manager.__aexit__(None, None, None))
            assert all(transport._session.closed for transport in transports)
        finally:
            for loop in loops:
                loop.close()
        assert shared._shared == {}


async def test_one_who_is_cancelled_takes_no_turn() -> None:
    with RawServer(RUNNING) as server:
        async with shared_transport(settings_for(server.url, retrieve_limit=60)) as transport:
            await transport.send(LOOK)
            waiting = [asyncio.create_task(transport.send(LOOK)) for _ in range(20)]
            await asyncio.sleep(0.05)
            for task in waiting:
                task.cancel()
            assert all(
                isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*waiting, return_exceptions=True)
            )
            started = time.monotonic()
            await transport.send(LOOK)  # one second after the first, as if the others had never been
            assert time.monotonic() - started < 1.5
        assert len(server.arrivals) == 2


async def test_the_most_urgent_goes_first() -> None:
    limiter, order = RateLimiter(Pace(1200)), []

    async def look(name: str, urgency: float) -> None:
        async with limiter.acquire(Fixed(urgency)):
            order.append(name)

    await asyncio.gather(look("first", 0.5), look("low", 0.1), look("high", 0.9), look("middle", 0.4))
    assert order == ["first", "high", "middle", "low"]


@pytest.mark.parametrize("urgency", ["soon", None, math.nan, 1j])
async def test_one_whose_urgency_is_broken_fails_alone(urgency: Any) -> None:
    limiter, order = RateLimiter(Pace(1200)), []

    async def look(name: str, urgency: Any) -> None:
        async with limiter.acquire(Fixed(urgency)):
            order.append(name)

    waits = [look("first", 0.5), look("second", 0.1), look("broken", urgency), look("third", 0.2)]
    ends = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(end) for end in ends if end is not None] in ([TypeError], [ValueError])
    assert order == ["first", "third", "second"]
    await asyncio.wait_for(look("later", 0.1), 1)
    assert limiter.pace._in_flight == 0


async def test_a_poll_that_is_worth_little_waits_until_it_is_worth_more() -> None:
    limiter, loop, admitted = RateLimiter(Pace(1200)), asyncio.get_running_loop(), []

    async def look(waiter: Priority) -> None:
        async with limiter.acquire(waiter):
            admitted.append(loop.time())

    started = loop.time()
    await asyncio.wait_for(look(Growing(started, least=0.5)), 3)
    assert 0.5 <= admitted[0] - started < 1
    # One that is not worth it holds up nobody who comes after it and is.
    waiting = asyncio.create_task(look(Growing(loop.time(), least=60)))
    await asyncio.sleep(0)
    await asyncio.wait_for(look(Fixed(70.0)), 1)
    assert not waiting.done()
    waiting.cancel()


async def test_what_is_likely_to_fail_goes_rarely() -> None:
    limiter = RateLimiter(Pace(60_000))
    order: list[str] = []

    async def look(name: str, waiter: Fixed) -> None:
        while True:
            async with limiter.acquire(waiter):
                order.append(name)

    waits = [asyncio.create_task(look("failing", Fixed(9.0, failing=True))) for _ in range(35)]
    waits += [asyncio.create_task(look("healthy", Fixed(1.0))) for _ in range(3)]
    await asyncio.sleep(0.5)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert order.count("failing") == 5
    assert order.count("healthy") > 50


async def test_a_turn_is_given_back_whatever_happens_in_it() -> None:
    limiter = RateLimiter(Pace(6000))
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with limiter.acquire(Fixed(1.0)):
                raise ValueError("broken")
    hanging = asyncio.create_task(_hold(limiter))
    await asyncio.sleep(0.05)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert limiter.pace._in_flight == 0


async def test_thousands_that_leave_at_once_leave_the_pace_as_it_was() -> None:
    limiter = RateLimiter(Pace(60))
    async with limiter.acquire(Fixed(1.0)):
        waiting = [asyncio.create_task(_hold(limiter)) for _ in range(5000)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        limiter._arrange()  # between the cancellation and its arrival
        await asyncio.gather(*waiting, return_exceptions=True)
        assert limiter.pace._in_flight == 1
        assert not limiter._waiting
    assert limiter.pace._in_flight == 0


async def _hold(limiter: RateLimiter) -> None:
    async with limiter.acquire(Fixed(1.0)):
        await asyncio.sleep(60)


async def test_its_clock_runs_in_no_ones_context() -> None:
    marked = contextvars.ContextVar("marked", default=False)
    seen: list[bool] = []
    limiter = RateLimiter(Pace(600))

    class Marking(FirstInFirstOut):
        def urgency(self, now: float) -> float:
            seen.append(marked.get())
            return 1.0

    async def look() -> None:
        async with limiter.acquire(Marking()):
            pass

    marked.set(True)
    await asyncio.gather(look(), look(), look())
    assert not any(seen[1:])


async def test_a_call_that_is_cancelled_on_the_wire_ends_at_once() -> None:
    def hang(_: socket.socket) -> None:
        time.sleep(1)

    with RawServer(hang) as server:
        async with shared_transport(settings_for(server.url)) as transport:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(transport.send(LOOK), 0.2)
        assert len(server.arrivals) == 1


async def test_a_slow_answer_does_not_hold_up_the_others(venice: VeniceSimulator) -> None:
    venice.fail("quote", hang=5, match="wan-2-7-text-to-video", times=None)
    slow = calls.quote(VideoRequest(model="wan-2-7-text-to-video", duration=5).to_quote_body())
    async with shared_transport(settings_for(venice.base_url)) as transport:
        hanging = [asyncio.create_task(transport.send(slow)) for _ in range(150)]
        await asyncio.sleep(0.3)
        assert await transport.send(calls.list_models())
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
