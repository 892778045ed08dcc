"""The triggers in a fresh process: what is slow to load is loaded in a thread, as all triggers share one event loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.triggers.rate_limit import VeniceRateLimitTrigger
from airflow_provider_venice.triggers.video import VeniceVideoTrigger
from tests.conftest import PATIENT

pytestmark = [pytest.mark.slow, pytest.mark.serial, PATIENT]

#: Runs triggers that start together, as the triggerer does, and prints what was loaded in the thread of the event loop.
PROGRAM = """
import asyncio, importlib, json, sys, threading

loaded = set()

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("aiohttp", "requests") and threading.current_thread() is threading.main_thread():
            loaded.add(name)

def profile(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "create_default_context":
        loaded.add("certificate authorities")

async def event(trigger):
    return [event.payload["status"] async for event in trigger.run()]

async def main(rows):
    sys.meta_path.insert(0, Recorder())
    sys.setprofile(profile)  # of this thread
    triggers = []
    for path, arguments in rows:
        module, _, name = path.rpartition(".")
        triggers.append(getattr(importlib.import_module(module), name)(**arguments))
    return await asyncio.gather(*map(event, triggers))

events = asyncio.run(main(json.load(sys.stdin)))
print(json.dumps({"events": events, "in_the_loop": sorted(loaded)}))
"""


def test_the_http_client_is_loaded_in_a_thread(venice_connection: str) -> None:
    job = VeniceHook(venice_connection).queue({"model": "wan-2-7-text-to-video", "prompt": "a pier", "duration": 5})
    now = time.time()
    rows: list[tuple[str, dict[str, Any]]] = [
        *[VeniceVideoTrigger([job], venice_connection, deadline=now + 110).serialize() for _ in range(10)],
        VeniceRateLimitTrigger(venice_conn_id=venice_connection, since=now, deadline=now + 110).serialize(),
    ]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(rows),
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    assert json.loads(process.stdout.splitlines()[-1]) == {"events": [["success"]] * 11, "in_the_loop": []}
