"""Two workers that want one key at one moment: one buys a clip and stores it, the other pays nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_venice.operators.video import VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.object_store.tasks import CONN_ID, TEXT
from tests.running import run_task
from tests.system.object_store import ObjectStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("venice_connection"),
]

#: Runs one task per line of its input, in the task instance of its own map index, from a given time on.
WORKER = """
import json, os, sys, time

outcomes = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what is logged goes elsewhere

from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator
from tests.object_store.tasks import generate
from tests.running import Tries, run_task

index = int(sys.argv[1])
for line in sys.stdin:
    order = json.loads(line)
    os.environ["AIRFLOW_CONN_VENICE_DEFAULT"] = order["venice"]
    path, overwrite, jobs = order["path"], order["overwrite"], order["jobs"]
    if jobs:
        task = VeniceDownloadVideoOperator(task_id="download", job=jobs[index], output_path=path, overwrite=overwrite)
    else:
        task = generate(path, overwrite=overwrite)
    time.sleep(max(0.0, order["at"] - time.time()))
    try:
        outcome = run_task(task, Tries(map_index=index))["sha256"]
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps(outcome), file=outcomes, flush=True)
"""

#: What the one that has lost is told.
REFUSALS = ("is reserved by", "was stored by", "exists already")

Race = Callable[..., "list[str]"]


@pytest.fixture(scope="module")
def race(object_store: ObjectStore) -> Iterator[Race]:
    """Two processes that are given a task at the same time, and what came of it in each."""
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, str(index)],
                    env={**os.environ, "PYTHONPATH": "."},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for index in range(2)
        ]

        def run(path: str, *, overwrite: bool, jobs: Any = ()) -> list[str]:
            venice = os.environ["AIRFLOW_CONN_VENICE_DEFAULT"]  # as the test's own simulator has it
            order = {"path": path, "overwrite": overwrite, "jobs": jobs, "venice": venice, "at": time.time() + 0.1}
            for worker in workers:
                assert worker.stdin
                worker.stdin.write(json.dumps(order) + "\n")
                worker.stdin.flush()
            return [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout]

        yield run


def check_winner(outcomes: list[str], data: bytes) -> None:
    stored = hashlib.sha256(data).hexdigest()
    refused = [outcome for outcome in outcomes if outcome != stored]
    assert len(refused) == 1, outcomes
    assert any(words in refused[0] for words in REFUSALS), refused


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_of_two_workers_buys_and_stores(
    overwrite: bool, race: Race, object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    for number in range(2):
        outcomes = race(f"s3://{CONN_ID}@{bucket}/{number}.mp4", overwrite=overwrite)
        check_winner(outcomes, object_store.read(bucket, f"{number}.mp4"))
        assert len(venice_simulator.journal.charges) == number + 1
    reserved = {".0.mp4.reserved", ".1.mp4.reserved"} if overwrite else set()
    assert set(object_store.sizes(bucket)) == {"0.mp4", "1.mp4"} | reserved


def test_one_of_two_downloads_is_stored(
    race: Race, object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    # These reserve at once, within a few milliseconds: most of the time Swift accepts the conditional put of both.
    queue = VeniceQueueVideoOperator(task_id="queue", **TEXT, wait_for_completion=True)
    jobs = [run_task(queue) for _ in range(2)]
    for number in range(4):
        outcomes = race(f"s3://{CONN_ID}@{bucket}/{number}.mp4", overwrite=number % 2 == 0, jobs=jobs)
        check_winner(outcomes, object_store.read(bucket, f"{number}.mp4"))
