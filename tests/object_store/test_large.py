"""A clip of a gigabyte takes little memory, on its way up and when it is read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.object_store.tasks import CONN_ID
from tests.system.object_store import ObjectStore

SIZE = 1 << 30

#: Most MB that a task may take more for such a clip than it takes without one.
MOST_MEMORY = 250

#: The parts of the upload have 8 MiB.
PARTS = 128

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("venice_connection"),
]

TASK = """
import json, resource, sys
from tests.object_store.tasks import generate
from tests.running import Tries, run_task

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

tries, peaks = Tries(), [peak()]
for _ in range(2):
    stored = run_task(generate(sys.argv[1]), tries)
    peaks.append(peak())
print(json.dumps({"stored": stored, "peaks": peaks}))
"""


@pytest.fixture
def venice_simulator() -> Iterator[VeniceSimulator]:
    """A simulator of clips of a gigabyte."""
    with VeniceSimulator(speed=20, job_seconds=10, media="shared", padding=SIZE) as venice:
        yield venice


def test_a_gigabyte_takes_little_memory(
    object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    command = [sys.executable, "-c", TASK, f"s3://{CONN_ID}@{bucket}/clip.mp4"]
    task = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert task.returncode == 0, task.stdout
    outcome = json.loads(task.stdout.splitlines()[-1])
    before, stored, read_back = outcome["peaks"]
    print(f"MB of memory: {before} before, {stored} once it is stored, {read_back} once it is read back")
    # The second try has read the whole object, and found the digest that the first one has noted.
    assert object_store.sizes(bucket) == {"clip.mp4": outcome["stored"]["size"]} == {"clip.mp4": SIZE}
    assert venice_simulator.journal.bytes_delivered == SIZE
    assert len(venice_simulator.journal.charges) == 1
    assert stored - before < MOST_MEMORY
    assert read_back - before < MOST_MEMORY
    head = object_store.client().head_object(Bucket=bucket, Key="clip.mp4", PartNumber=1)
    assert head["PartsCount"] == PARTS
