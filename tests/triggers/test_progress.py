"""What triggers have seen is written seldom, whatever their number, and delays none of them."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VideoTimeoutError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceQueueVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.triggers.progress import ProgressWriter, SeenJobs, TriggerProgress
from airflow_provider_venice.triggers.video import VeniceVideoTrigger
from airflow_provider_venice.xcoms import TaskKey
from tests.running import Tries, run_task, run_trigger

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

OF_A_TRIGGER: contextvars.ContextVar[str] = contextvars.ContextVar("OF_A_TRIGGER", default="none")


def key(number: int) -> TaskKey:
    return TaskKey("dag", "run", "clips", number)


class Supervisor:
    """Takes what is written, as a triggerer's supervisor does: one after the other."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.written: list[tuple[float, TaskKey, Mapping[str, Any]]] = []
        self.contexts: set[str] = set()
        self.fails = False

    async def send(self, task: TaskKey, entries: Mapping[str, Any]) -> None:
        self.contexts.add(OF_A_TRIGGER.get())
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise RuntimeError("the task instance is gone")
        self.written.append((time.monotonic(), task, entries))


def entry(percent: float) -> dict[str, dict[str, Any]]:
    return {"q": {"percent": percent}}


@pytest.mark.slow
async def test_of_2000_triggers_two_are_written_a_second() -> None:
    supervisor = Supervisor()
    writer = ProgressWriter(supervisor.send)

    async def trigger(number: int) -> None:
        OF_A_TRIGGER.set(str(number))
        for tenth in range(10):
            writer.put(key(number), entry(10.0 * tenth))
            await asyncio.sleep(0.3)

    begun = time.monotonic()
    await asyncio.gather(*(trigger(number) for number in range(2000)))
    assert time.monotonic() - begun < 8  # it delays none of them
    assert 5 <= len(supervisor.written) <= 2 * (time.monotonic() - begun) + 1
    times = [at for at, _, _ in supervisor.written]
    assert all(later - earlier >= 0.49 for earlier, later in itertools.pairwise(times))
    # Each of another task instance, and each the latest.
    assert len({task for _, task, _ in supervisor.written}) == len(supervisor.written)
    assert supervisor.written[-1][2]["q"]["percent"] >= 70
    assert supervisor.contexts == {"none"}


async def test_the_latest_is_written_and_then_nothing_is_left() -> None:
    supervisor = Supervisor()
    writer = ProgressWriter(supervisor.send, pause=0.05, pause_of_task=0.2)
    entries = entry(0.0)
    writer.put(key(1), entries)
    writer.put(key(2), entry(50.0))
    await asyncio.sleep(0.02)
    for percent in (10.0, 20.0, 30.0):
        entries["q"]["percent"] = percent
        writer.put(key(1), entries)
    writer.withdraw(key(2))
    await asyncio.sleep(0.4)
    assert [(task.map_index, dict(found)["q"]["percent"]) for _, task, found in supervisor.written] == [
        (1, 0.0),
        (1, 30.0),
    ]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    writer.put(key(3), entry(1.0))
    await asyncio.sleep(0.1)
    assert supervisor.written[-1][1] == key(3)


async def test_a_slow_supervisor_is_left_alone() -> None:
    supervisor = Supervisor(seconds=0.02)
    writer = ProgressWriter(supervisor.send, pause=0.0)
    for number in range(50):
        writer.put(key(number), entry(1.0))
    await asyncio.sleep(1.0)
    assert 2 <= len(supervisor.written) <= 5  # about a twentieth of its time


async def test_after_an_error_nothing_is_written_for_long() -> None:
    supervisor = Supervisor()
    supervisor.fails = True
    writer = ProgressWriter(supervisor.send, pause=0.0)
    writer.put(key(1), entry(1.0))
    await asyncio.sleep(0.05)
    supervisor.fails = False
    writer.put(key(2), entry(1.0))
    await asyncio.sleep(0.3)
    assert supervisor.written == []


async def test_a_trigger_that_is_cancelled_does_not_end_a_write() -> None:
    supervisor = Supervisor(seconds=0.2)
    writer = ProgressWriter(supervisor.send)

    async def trigger() -> None:
        try:
            writer.put(key(1), entry(1.0))
            await asyncio.sleep(60)
        finally:
            writer.withdraw(key(1))

    task = asyncio.create_task(trigger())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.3)
    assert task.cancelled()
    assert [task for _, task, _ in supervisor.written] == [key(1)]


def test_each_tenth_is_news() -> None:
    seen = SeenJobs()

    def at(percent: float) -> VideoJob:
        done = 1000 * percent
        return VideoJob("m", "q", status="processing", average_execution_time=1e5, execution_duration=done)

    assert [seen.see(at(percent)) for percent in (1, 5, 9.9, 10, 19, 35, 36)] == [1, 0, 0, 1, 0, 1, 0]
    assert set(seen.entries["q"]) == {"status", "percent", "remaining", "seen_at", "average_execution_time"}
    assert seen.entries["q"]["percent"] == 36
    assert seen.entries["q"]["remaining"] == 64
    assert seen.see(VideoJob("m", "q", status="completed"))


async def test_outside_a_triggerer_nothing_is_written() -> None:
    class TaskInstance:
        dag_id, run_id, task_id, map_index = "dag", "run", "clips", None

    for task_instance in (None, TaskInstance(), object()):
        progress = TriggerProgress(task_instance)
        progress.see(VideoJob("m", "q"))
        progress.end()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_trigger_without_a_task_instance_waits_as_before(
    venice_connection: str, venice_simulator: VeniceSimulator
) -> None:
    job = VeniceHook(venice_connection).queue(TEXT)
    assert run_trigger(VeniceVideoTrigger([job], deadline=time.time() + 30))["status"] == "success"


@pytest.mark.parametrize("ui", ["True", "False"])
def test_a_worker_shows_what_it_sees(
    ui: str, venice_connection: str, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__VENICE__UI", ui)
    tries = Tries()
    stuck = {**TEXT, "prompt": "[simulate: stuck] x"}
    with pytest.raises(VideoTimeoutError):
        run_task(
            VeniceQueueVideoOperator(
                task_id="q", deferrable=False, wait_for_completion=True, timeout=1, poll_interval=0.1, **stuck
            ),
            tries,
        )
    (job,) = [charge.queue_id for charge in venice_simulator.journal.charges]
    shown = [tries.xcoms.pop("venice_progress", None)]
    done = VeniceHook(venice_connection).queue(TEXT)
    run_task(VeniceVideoSensor(task_id="wait", job=done, deferrable=False, poke_interval=0.1), tries)
    shown.append(tries.xcoms.get("venice_progress"))
    if ui == "False":
        assert shown == [None, None]
        return
    waited, poked = shown
    assert waited is not None
    assert poked is not None
    assert abs(waited[job]["seen_at"] - time.time()) < 60
    assert waited[job]["status"] == "processing"
    assert waited[job]["average_execution_time"] > 0
    assert poked[done.queue_id]["status"] == "completed"
    assert poked[done.queue_id]["percent"] == 100
