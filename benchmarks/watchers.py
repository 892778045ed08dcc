"""
What watches jobs, each kind in a process of its own: ours, a fixed interval, and one that knows the ends.

A line of standard input is a job, a line of standard output a job that was found finished.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from airflow_provider_venice.api import calls, polling
from airflow_provider_venice.api.limits import Pace, retry_after
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.transport.asynchronous import AsyncTransport
from airflow_provider_venice.transport.limiter import BURST, FirstInFirstOut, RateLimiter
from airflow_provider_venice.triggers.video import VeniceVideoTrigger

#: Waits for one job, given when it ends.
Watcher = Callable[[VideoJob, float], Awaitable[None]]


def _set_pace(transport: AsyncTransport, speed: float) -> None:
    limit = transport.settings.retrieve_limit
    transport.key_state.limiters["retrieve"] = RateLimiter(Pace(limit, 60 / speed, burst=BURST))


class Ours:
    """The package's trigger, made out of its row as a triggerer does."""

    def __init__(self, transport: AsyncTransport, speed: float) -> None:
        # The simulator's seconds pass faster: what the package has in seconds of its own follows.
        polling._LONGEST_STEP /= speed
        polling._OVERDUE /= speed
        _set_pace(transport, speed)

    async def __call__(self, job: VideoJob, ready_at: float) -> None:
        """Wait for the trigger's event."""
        _, arguments = VeniceVideoTrigger([job]).serialize()
        async for event in VeniceVideoTrigger(**json.loads(json.dumps(arguments))).run():
            assert event.payload["status"] == "success", event.payload


class Fixed:
    """A look every five seconds; after a refusal, when the server says that the next one may come."""

    def __init__(self, transport: AsyncTransport, speed: float) -> None:
        self._settings, self._pause = transport.settings, 5 / speed

    async def __call__(self, job: VideoJob, ready_at: float) -> None:
        """Look until an answer is the clip."""
        call = calls.retrieve(job)
        async with aiohttp.ClientSession(headers=self._settings.headers) as session:
            while True:
                async with session.post(self._settings.url(call.path), json=call.body) as response:
                    if response.content_type == "video/mp4":
                        response.close()
                        return
                    await response.read()
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    refused = response.status == 429
                await asyncio.sleep(retry_after(headers, time.time()) if refused else self._pause)


class Oracle:
    """One look when the job has ended, at the same pace and under the same budget as ours."""

    def __init__(self, transport: AsyncTransport, speed: float) -> None:
        self._transport = transport
        _set_pace(transport, speed)

    async def __call__(self, job: VideoJob, ready_at: float) -> None:
        """Look once, or again where that was too early."""
        seen = job
        while not seen.is_completed():
            await asyncio.sleep(max(0.0, ready_at - time.time()) + 0.002)
            seen = await self._transport.send(calls.retrieve(job), priority=FirstInFirstOut(ready_at))


async def main(kind: str, speed: float) -> None:
    """PollSchedule all jobs that come in, until there are no more and all are found."""
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    kinds: dict[str, Any] = {"ours": Ours, "fixed": Fixed, "oracle": Oracle}
    waits: list[asyncio.Task[None]] = []
    async with VeniceHook().async_transport() as transport:
        watcher: Watcher = kinds[kind](transport, speed)

        async def wait(job: VideoJob, ready_at: float) -> None:
            await watcher(job, ready_at)
            print(job.queue_id, flush=True)

        print("ready", flush=True)
        while line := await lines.readline():
            told = json.loads(line)
            waits.append(asyncio.create_task(wait(VideoJob.of(told["job"]), told["ready_at"])))
        await asyncio.gather(*waits)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
