"""The machine's clock is set back by an hour, in a process of its own: the polls go on, and waits end as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.triggers.video import VeniceVideoTrigger
from tests.conftest import PATIENT

pytestmark = [pytest.mark.slow, pytest.mark.serial, PATIENT]

CLIP: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a pier", "duration": 5}
STUCK = {**CLIP, "prompt": "[simulate: stuck] a pier"}

#: A process with a clock that can be set, as this machine's is not ours to set.
CLOCK = """
import asyncio, json, sys, time

real, offset = time.time, 0.0
time.time = lambda: real() + offset

def set_back():
    global offset
    offset = -3600.0

arguments = json.load(sys.stdin)
"""

#: Runs a trigger for a job that does not end, which tells the model's run times; then the clock is set back, and the
#: trigger of a job runs that was queued before.
IN_A_TRIGGERER = """
from airflow_provider_venice.triggers.video import VeniceVideoTrigger

async def event(row):
    return [event.payload["status"] async for event in VeniceVideoTrigger(**row).run()]

async def main():
    before = await event({**arguments["stuck"], "deadline": time.time() + 1})
    set_back()
    return before + await event(arguments["queued"])

print(json.dumps(asyncio.run(asyncio.wait_for(main(), 50))))
"""

#: Waits in a worker; the clock is set back at the first poll.
IN_A_WORKER = """
from airflow_provider_venice.exceptions import VideoTimeoutError
from airflow_provider_venice.hooks.venice import VeniceHook

try:
    VeniceHook(arguments["conn_id"]).wait_for_completion(
        arguments["job"], poll_interval=0.1, max_wait_time=2, callback=lambda job: set_back()
    )
except VideoTimeoutError as error:
    print(json.dumps(str(error)))
"""


def run(program: str, **arguments: Any) -> Any:
    """Run a program whose clock is set back; return what it prints."""
    process = subprocess.run(
        [sys.executable, "-c", CLOCK + program],
        input=json.dumps(arguments),
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return json.loads(process.stdout.splitlines()[-1])


def row(job: Any, conn_id: str) -> dict[str, Any]:
    _, arguments = VeniceVideoTrigger([job], conn_id, deadline=time.time() + 600).serialize()
    return arguments


def test_a_clip_that_was_queued_before_is_polled(venice_connection: str) -> None:
    hook = VeniceHook(venice_connection)
    rows = {name: row(hook.queue(clip), venice_connection) for name, clip in {"stuck": STUCK, "queued": CLIP}.items()}
    assert run(IN_A_TRIGGERER, **rows) == ["timeout", "success"]


def test_a_refused_poll_is_made_again(venice_connection: str, venice_simulator: VeniceSimulator) -> None:
    hook = VeniceHook(venice_connection)
    rows = {name: row(hook.queue(clip), venice_connection) for name, clip in {"stuck": STUCK, "queued": CLIP}.items()}
    refused = rows["queued"]["jobs"][0]["queue_id"]
    resets_at = {"x-ratelimit-reset-requests": str(int(time.time()) + 10)}
    venice_simulator.fail("retrieve", status=429, headers=resets_at, match=refused)
    assert run(IN_A_TRIGGERER, **rows) == ["timeout", "success"]


def test_a_wait_in_a_worker_is_no_longer(venice_connection: str) -> None:
    job = VeniceHook(venice_connection).queue(STUCK).to_dict()
    assert "when the time was up" in run(IN_A_WORKER, conn_id=venice_connection, job=job)
