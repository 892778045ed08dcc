"""A connection that is not defined stops a task before payment; nothing is sent to a public endpoint in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.object_store.tasks import CONN_ID
from tests.system.object_store import ObjectStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("venice_connection"),
]

#: Runs a task while every name that is looked up and every address that is connected to is noted, and refused
#: unless it is one of this machine.
TASK = """
import json, os, sys

outcomes = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what is logged goes elsewhere
outside = []

def refuse_outside(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if str(host) not in ("127.0.0.1", "localhost", "::1", "None"):
        outside.append(f"{event} {host}")
        raise OSError(f"no way to {host}")

sys.addaudithook(refuse_outside)

from tests.object_store.tasks import generate
from tests.running import run_task

try:
    outcome = run_task(generate(**json.loads(sys.argv[1])))["path"]
except Exception as error:
    outcome = f"{type(error).__name__}: {error}"
print(json.dumps([outcome, outside]), file=outcomes, flush=True)
"""


def run_watched(**task: Any) -> tuple[str, list[str]]:
    """Return what a task returned or raised, and which addresses outside of this machine it wanted."""
    command = [sys.executable, "-c", TASK, json.dumps(task)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == 0
    outcome, outside = json.loads(done.stdout)
    return outcome, outside


def test_a_known_connection_leads_to_its_store_only(
    object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    path = f"s3://{CONN_ID}@{bucket}/clip.mp4"
    assert run_watched(path=path) == (path, [])
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize(
    "task",
    [
        {"path": "s3://nobody@{bucket}/clip.mp4"},
        {
            "path": "s3://{conn}@{bucket}/clip.mp4",
            "model": "wan-2-7-image-to-video",
            "image_url": "s3://nobody@{bucket}/frame.png",
        },
    ],
    ids=["output_path", "image_url"],
)
def test_an_unknown_connection_stops_the_task_before_payment(
    task: dict[str, str], object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    object_store.write(bucket, "frame.png", b"not read")
    outcome, outside = run_watched(**{name: value.format(conn=CONN_ID, bucket=bucket) for name, value in task.items()})
    assert outside == []
    assert outcome.startswith("AirflowFailException"), outcome
    assert "nobody" in outcome
    assert venice_simulator.journal.charges == []
    assert list(object_store.sizes(bucket)) == ["frame.png"]
