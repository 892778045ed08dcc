"""Submissions under a rate limit: who waits for it, waits in the triggerer, and nobody pays twice for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.exceptions import VeniceRateLimitError
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
TURN = "VeniceRateLimitTrigger"

pytestmark = pytest.mark.usefixtures("venice_connection")


def queue(**arguments: Any) -> VeniceQueueVideoOperator:
    return VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "deferrable": True, **arguments})


def test_one_of_many_takes_a_turn_before_it_submits(venice_simulator: VeniceSimulator) -> None:
    tries = Tries(task_count=50)
    job = run_task(queue(), tries)
    assert tries.deferred_to == [TURN]
    assert [charge.queue_id for charge in venice_simulator.journal.charges] == [job["queue_id"]]


def test_one_of_few_submits_at_once(venice_simulator: VeniceSimulator) -> None:
    tries = Tries(task_count=10)
    run_task(queue(), tries)
    assert tries.deferred_to == []
    assert len(venice_simulator.journal.charges) == 1


def test_what_was_bought_needs_no_turn(venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    job = run_task(queue(), tries)
    tries.task_count = 50
    assert run_task(queue(), tries) == job
    assert tries.deferred_to == []
    assert len(venice_simulator.journal.charges) == 1


def test_what_is_wrong_is_told_before_the_wait() -> None:
    tries = Tries(task_count=50)
    for wrong in ({"duration": 99}, {"max_cost": 0.01}):
        with pytest.raises(AirflowFailException):
            run_task(queue(**wrong), tries)
    assert tries.deferred_to == []


def test_a_refused_submission_waits_in_the_triggerer_as_long_as_it_was_told(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "4"}, times=2)
    tries = Tries()
    run_task(queue(), tries)
    assert tries.deferred_to == [TURN, TURN]
    first, *others = venice_simulator.journal.calls("queue")
    assert all(call.time - first.time >= wait for call, wait in zip(others, (4, 8), strict=True))
    assert len(venice_simulator.journal.charges) == 1


def test_a_short_wait_is_not_worth_another_worker(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "1"})
    tries = Tries()
    run_task(queue(), tries)
    assert tries.deferred_to == []
    assert len(venice_simulator.journal.charges) == 1


def test_without_a_triggerer_the_worker_waits(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "4"})
    tries = Tries(task_count=50)
    run_task(queue(deferrable=False), tries)
    assert tries.deferred_to == []
    assert len(venice_simulator.journal.charges) == 1


def test_a_turn_that_does_not_come_fails_the_try_and_nothing_is_bought(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "30"})
    tries = Tries()
    with pytest.raises(VeniceRateLimitError, match="nothing was sent"):
        run_task(queue(timeout=1), tries)
    assert venice_simulator.journal.charges == []
    assert not tries.store  # and the retry is in no doubt
    run_task(queue(), tries)
    assert len(venice_simulator.journal.charges) == 1


def test_a_generated_clip_waits_for_its_turn_and_then_for_itself(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries(task_count=50)
    clip = tmp_path / "clip.mp4"
    task = VeniceGenerateVideoOperator(task_id="clip", output_path=str(clip), deferrable=True, **TEXT)
    assert run_task(task, tries)["path"] == str(clip)
    assert tries.deferred_to == [TURN, "VeniceVideoTrigger"]
    assert len(venice_simulator.journal.charges) == 1
