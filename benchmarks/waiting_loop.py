"""
One event loop with many waiting clips, in a process of its own, that tells what it costs.

Standard input has the jobs as a list; standard output gets the figures.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any

import aiohttp
import psutil

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.triggers.video import VeniceVideoTrigger

#: Seconds after the start, and seconds of the steady state that follows.
STARTING, STEADY = 20.0, 30.0


async def _ours(job: dict[str, Any]) -> None:
    """Wait as the triggerer does, out of the trigger's row."""
    _, arguments = VeniceVideoTrigger([job], deadline=time.time() + 3600).serialize()
    async for _ in VeniceVideoTrigger(**json.loads(json.dumps(arguments))).run():
        return


async def _plain(job: dict[str, Any]) -> None:
    """Wait with a session of one's own, and a look every five seconds."""
    settings = VeniceHook().get_conn().settings
    call = calls.retrieve(VideoJob.of(job))
    async with aiohttp.ClientSession(headers=settings.headers) as session:
        while True:
            async with session.post(settings.url(call.path), json=call.body) as response:
                await response.read()
            await asyncio.sleep(5)


async def _lag(seconds: float) -> list[float]:
    """Return by how much the loop was late, every twentieth of a second."""
    lags, over = [], time.monotonic() + seconds
    while (now := time.monotonic()) < over:
        await asyncio.sleep(0.05)
        lags.append(time.monotonic() - now - 0.05)
    return lags


def _used() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, psutil.Process().memory_info().rss / 1024


async def main(kind: str) -> None:
    """Start all waits at once, and measure."""
    jobs = json.loads(sys.stdin.read())
    waiter = {"ours": _ours, "plain": _plain}[kind]
    # What the first one brings is not the cost of one more.
    first = asyncio.create_task(waiter(jobs[0]))
    await asyncio.sleep(1)
    _, before = _used()
    waits = [first]
    watch = asyncio.create_task(_lag(STARTING))
    for job in jobs[1:]:
        # The triggerer, too, lets others run after each that it creates.
        waits.append(asyncio.create_task(waiter(job)))
        await asyncio.sleep(0)
    starting = await watch
    cpu, _ = _used()
    steady = sorted(await _lag(STEADY))
    cpu_after, after = _used()
    ended = [wait for wait in waits if wait.done()]
    assert not ended, ended[0].exception()
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    figures = {
        "memory": (after - before) / len(jobs),
        "cpu": 60 * (cpu_after - cpu) / STEADY / len(jobs),
        "share": (cpu_after - cpu) / STEADY,
        "starting": max(starting),
        "steady": max(steady),
        "p99": steady[int(0.99 * len(steady))],
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1]))
