"""A store that goes away and comes back: nothing is bought for it, and nothing that was paid is lost."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.object_store.tasks import IMPATIENT, TEXT, generate
from tests.running import Tries, run_task
from tests.system.object_store import ObjectStore

#: Bytes of a clip, and of it those that the store gets before it goes away.
SIZE, ENOUGH = 48 << 20, 8 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("venice_connection"),
]


@pytest.fixture
def venice_simulator() -> Iterator[VeniceSimulator]:
    """A simulator of large clips."""
    with VeniceSimulator(speed=20, job_seconds=10, media="shared", padding=SIZE) as venice:
        yield venice


@contextlib.contextmanager
def stopped_in_upload(store: ObjectStore) -> Iterator[None]:
    """Stop the store when it has received a good part of a clip, and start it again after the block."""
    until = store.bytes_written() + ENOUGH
    is_over = threading.Event()

    def stop_in_time() -> None:
        while not is_over.wait(0.002):
            if store.bytes_written() >= until:
                store.stop()
                return

    watching = threading.Thread(target=stop_in_time)
    watching.start()
    try:
        yield
    finally:
        is_over.set()
        watching.join()
        assert not store.is_running, "the upload was over before the store was stopped"
        store.start()


def test_an_outage_before_payment(object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator) -> None:
    task, tries = generate(f"s3://{IMPATIENT}@{bucket}/clip.mp4"), Tries()
    with object_store.stopped(), pytest.raises(Exception, match="Could not connect"):
        run_task(task, tries)
    assert venice_simulator.journal.charges == []
    stored = run_task(task, tries)
    assert object_store.sizes(bucket) == {"clip.mp4": stored["size"]}
    assert len(venice_simulator.journal.charges) == 1


def download(path: str) -> VeniceDownloadVideoOperator:
    job = run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT, wait_for_completion=True))
    return VeniceDownloadVideoOperator(task_id="download", job=job, output_path=path)


@pytest.mark.parametrize("make", [generate, download], ids=["generate", "download"])
def test_an_outage_in_the_middle_of_an_upload(
    make: Any, object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    task, tries = make(f"s3://{IMPATIENT}@{bucket}/clip.mp4"), Tries()
    with stopped_in_upload(object_store):
        with pytest.raises(Exception, match="Could not connect"):
            run_task(task, tries)
        # A retry before the store is back does not fetch the clip.
        fetched = venice_simulator.journal.bytes_delivered
        with pytest.raises(Exception, match="Could not connect"):
            run_task(task, tries)
        assert venice_simulator.journal.bytes_delivered == fetched
    assert "clip.mp4" not in object_store.sizes(bucket)
    stored = run_task(task, tries)
    assert stored["size"] == SIZE
    assert hashlib.sha256(object_store.read(bucket, "clip.mp4")).hexdigest() == stored["sha256"]
    assert set(object_store.sizes(bucket)) == {"clip.mp4"}
    assert len(venice_simulator.journal.charges) == 1


def test_an_outage_in_the_middle_of_a_list(
    object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    request = [{"prompt": prompt} for prompt in ("one", "two", "three")]
    task, tries = generate(f"s3://{IMPATIENT}@{bucket}/{{index}}.mp4", request=request, prompt=None), Tries()
    with stopped_in_upload(object_store), pytest.raises(Exception, match=r"3 (of 3 clips )?failed"):
        run_task(task, tries)
    stored = run_task(task, tries)
    assert object_store.sizes(bucket) == {f"{index}.mp4": clip["size"] for index, clip in enumerate(stored)}
    assert len(venice_simulator.journal.charges) == 3
