"""What so many waiting clips cost the process that waits for them."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from typing import Any

import aiohttp

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.simulator import VeniceSimulator
from benchmarks.table import Table
from benchmarks.waiting_loop import STARTING, STEADY

_REQUEST = VideoRequest(model="wan-2-7-text-to-video", prompt="a pier", duration=5)


async def _buy(venice: VeniceSimulator, count: int) -> list[dict[str, Any]]:
    """Submit so many clips, without the limits, which are not what is measured here."""
    call = calls.queue(_REQUEST.to_body())
    headers = {"Authorization": f"Bearer {venice.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def buy() -> dict[str, Any]:
            async with session.post(venice.base_url + call.path, json=call.body) as response:
                answer: dict[str, Any] = await response.json()
                return {"model": answer["model"], "queue_id": answer["queue_id"]}

        return await asyncio.gather(*(buy() for _ in range(count)))


def _measure(kind: str, count: int) -> tuple[dict[str, float], int]:
    """Return the figures of a process, and the requests that it has made."""
    with VeniceSimulator(limits=False, media="shared", job_seconds=100_000, balance=1_000_000) as venice:
        jobs = asyncio.run(_buy(venice, count))
        connection = {"conn_type": "venice", "password": venice.api_key, "host": venice.base_url}
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.waiting_loop", kind],
            input=json.dumps(jobs),
            env={**os.environ, "AIRFLOW_CONN_VENICE_DEFAULT": json.dumps(connection)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert answer.returncode == 0, answer.stderr[-4000:]
        return json.loads(answer.stdout.splitlines()[-1]), len(venice.journal.polls())


def run() -> list[Table]:
    """Measure both kinds with each number of clips."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table = Table(
        "Waiting clips in one event loop",
        (
            "Clips",
            "Kind",
            "KiB of memory per clip",
            "CPU ms per clip and minute",
            "CPU, % of a core",
            "Loop's lag, ms: longest at the start",
            "longest later",
            "P99",
            "Looks",
        ),
        f"All begin at once; the first {STARTING:.0f} s are the start, the next {STEADY:.0f} s count. No clip ends. "
        "*Ours* is `VeniceVideoTrigger`, made out of its row, in a process without Airflow's triggerer around it. "
        "*Plain* is a session per clip and a look every 5 s. The simulator, in a process of its own, refuses nothing "
        "here, in favour of *plain*. Airflow warns of a lag of 200 ms.",
    )
    for count in (100, 1000, 5000):
        for kind in ("ours", "plain"):
            figures, looks = _measure(kind, count)
            lags = (1000 * figures[name] for name in ("starting", "steady", "p99"))
            table.add(count, kind, figures["memory"], 1000 * figures["cpu"], 100 * figures["share"], *lags, looks)
    return [table]
