"""What so many waiting clips cost the process that waits for them."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import psutil
import requests

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.triggers.video import VeniceVideoTrigger
from benchmarks import triggerer
from benchmarks.table import Table

#: Seconds of the start, of the steady state that follows, and until the time is up for all of ours.
STARTING, STEADY, ENDING = 15.0, 20.0, 22.0

#: Seconds between two beats of the loop. Airflow's triggerer counts at this rate, too.
_BEAT = 0.1

#: Average that the vendor tells, in seconds; the clips are stuck, so that all are overdue and want to be looked at.
_JOB_SECONDS = 30.0

_CLIP = VideoRequest(model="wan-2-7-text-to-video", prompt="[simulate: stuck] a pier", duration=5)
_REQUEST = calls.queue(_CLIP.to_body())


# In the process that is measured


async def _ours(job: dict[str, Any], deadline: float) -> str:
    """Wait as the triggerer does, out of the trigger's row."""
    _, arguments = VeniceVideoTrigger([job], deadline=deadline).serialize()
    async for event in VeniceVideoTrigger(**json.loads(json.dumps(arguments))).run():
        return str(event.payload["status"])
    return "no event"


async def _plain(job: dict[str, Any], deadline: float) -> str:
    """Wait with a session of one's own and a look every five seconds, whatever is answered."""
    url, key = os.environ["BENCHMARK_URL"], os.environ["BENCHMARK_KEY"]
    call = calls.retrieve(VideoJob.of(job))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        while time.time() < deadline:
            async with session.post(url + call.path, json=call.body) as response:
                await response.read()
            await asyncio.sleep(5)
    return "timeout"


async def _lags(seconds: float) -> list[float]:
    """Return by how many milliseconds the loop was late at each beat, the longest last."""
    lags, over = [], time.monotonic() + seconds
    while (now := time.monotonic()) < over:
        await asyncio.sleep(_BEAT)
        lags.append(1000 * (time.monotonic() - now - _BEAT))
    return sorted(lags)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _kibibytes() -> float:
    return float(psutil.Process().memory_info().rss / 1024)


async def _measure(kind: str, jobs: list[dict[str, Any]]) -> dict[str, float]:
    """Start all waits at once, and see what they cost."""
    waiter = {"ours": _ours, "plain": _plain}[kind]
    deadline = time.time() + 1 + STARTING + STEADY
    # What the first one brings along is not the cost of one more.
    waits = [asyncio.create_task(waiter(jobs[0], deadline))]
    await asyncio.sleep(1)
    memory, cpu = _kibibytes(), _cpu()
    beats = asyncio.create_task(_lags(STARTING))
    for job in jobs[1:]:
        waits.append(asyncio.create_task(waiter(job, deadline)))
        await asyncio.sleep(0)  # as the triggerer does
    starting = await beats
    started = _cpu()
    steady = await _lags(STEADY - 1)
    spent, memory = _cpu() - started, _kibibytes() - memory
    ending = await _lags(1 + ENDING)
    ends = {wait.exception() or wait.result() if wait.done() else "still waiting" for wait in waits}
    assert ends == {"timeout"}, ends
    return {
        "memory": memory / len(jobs),
        "start": 1000 * (started - cpu) / len(jobs),
        "minute": 1000 * spent * 60 / (STEADY - 1) / len(jobs),
        "share": 100 * spent / (STEADY - 1),
        "starting": starting[-1],
        "p99": steady[int(0.99 * len(steady))],
        "steady": steady[-1],
        "ending": ending[-1],
    }


# In the process that measures


async def _buy(venice: VeniceSimulator, count: int) -> list[dict[str, Any]]:
    """Submit so many clips."""
    headers = {"Authorization": f"Bearer {venice.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def buy() -> dict[str, Any]:
            async with session.post(venice.base_url + _REQUEST.path, json=_REQUEST.body) as response:
                answer = await response.json()
            return VideoJob(answer["model"], answer["queue_id"], queued_at=time.time()).to_dict()

        return await asyncio.gather(*(buy() for _ in range(count)))


@contextmanager
def _bought(count: int) -> Iterator[tuple[VeniceSimulator, list[dict[str, Any]], str]]:
    """Submit so many clips; yield the simulator, the jobs and the connection."""
    with VeniceSimulator(limits=False, media="shared", job_seconds=_JOB_SECONDS, balance=1_000_000) as venice:
        jobs = asyncio.run(_buy(venice, count))
        requests.post(f"{venice.control_url}/settings", json={"limits": True}, timeout=10).raise_for_status()
        connection = {"conn_type": "venice", "password": venice.api_key, "host": venice.base_url}
        yield venice, jobs, json.dumps(connection)


def _run(kind: str, count: int) -> list[object]:
    """Let a process of its own wait; return its row of the table."""
    with _bought(count) as (venice, jobs, connection):
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.waiting", kind],
            input=json.dumps(jobs),
            env={
                **os.environ,
                "AIRFLOW_CONN_VENICE_DEFAULT": connection,
                "BENCHMARK_URL": venice.base_url,
                "BENCHMARK_KEY": venice.api_key,
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr[-4000:]
        figures = json.loads(process.stdout.splitlines()[-1])
        polls = venice.journal.polls()
        refused = sum(poll.refused for poll in polls)
        return [count, kind, *figures.values(), len(polls) - refused, refused]


def run() -> list[Table]:
    """Measure both kinds with each number of clips."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table = Table(
        "Waiting clips in one event loop",
        (
            "Clips",
            "Kind",
            "KiB of memory per clip",
            "CPU ms to start a clip",
            "CPU ms per clip and minute",
            "CPU, % of a core",
            "Loop's lag, ms: longest at the start",
            "later: P99",
            "longest",
            "longest when the time is up for all",
            "Looks",
            "Refused",
        ),
        f"All begin at once and are overdue, so all want to be looked at. The first {STARTING:.0f} s are the start; "
        f"the next {STEADY:.0f} s count; then the time is up for all at once. *Ours* is `VeniceVideoTrigger`, made "
        "out of its row, in a process without Airflow's triggerer around it. *Plain* is a session per clip and a look "
        "every 5 s, whatever is answered. The simulator, with Venice's limits, runs in another process. The longest "
        "lags at the start are full garbage collections. Airflow warns of a lag of more than 100 ms.",
    )
    for count in (100, 1000, 5000):
        for kind in ("ours", "plain"):
            table.add(*_run(kind, count))
    with _bought(5000) as (_, jobs, connection):
        return [table, triggerer.run(jobs, {"venice_default": connection})]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(sys.argv[1], json.loads(sys.stdin.read())))), flush=True)
