"""Submissions under a rate limit: who waits for it, waits in the triggerer, and nobody pays twice for it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRateLimitError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Steps, Tries, context_of, run_task

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


def test_a_task_that_gets_its_worker_too_late_asks_again_and_not_for_ever(venice_simulator: VeniceSimulator) -> None:
    tries = Tries(task_count=50)
    steps = Steps(queue(), tries)
    first = steps.waiting
    for missed in (1, 2):
        arguments = steps.event()
        arguments["event"]["expires_at"] = time.time() - 1  # no worker slot was free until now
        steps.deferred = steps.launch("execute_submission", **arguments)
        assert steps.waiting["missed"] == missed
        assert (steps.waiting["since"], steps.waiting["deadline"]) == (first["since"], first["deadline"])
    assert venice_simulator.journal.calls("queue") == []
    assert not tries.store
    arguments = steps.event()
    assert arguments["event"]["expires_at"] is None  # the third one does not expire
    assert steps.task.execute_submission(context_of(steps.task, tries), **arguments)["queue_id"]
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def refuse(venice: VeniceSimulator, seconds: float, times: int | None = 1, match: str = "") -> None:
    """Refuse retrieves for the rate limit, each for so many seconds."""
    venice.fail("retrieve", status=429, headers={"retry-after": str(seconds)}, times=times, match=match)


def generate(tmp_path: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    arguments = {"output_path": str(tmp_path / "clip.mp4"), **TEXT, **arguments}
    return VeniceGenerateVideoOperator(task_id="clip", **arguments)


@pytest.mark.slow
def test_a_refused_download_waits_in_the_triggerer(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    steps = Steps(generate(tmp_path), Tries())
    arguments = steps.event()
    refuse(venice_simulator, 4)
    refused_at = time.time()
    steps.deferred = steps.launch("execute_complete", **arguments)
    assert type(steps.deferred.trigger).__name__ == TURN
    assert steps.waiting["budget"] == "retrieve"
    polls = len(venice_simulator.journal.calls("retrieve"))
    assert steps.end()["path"] == str(tmp_path / "clip.mp4")
    assert len(venice_simulator.journal.calls("retrieve")) == polls + 1  # the clip is known to be finished
    assert venice_simulator.journal.calls("retrieve")[-1].time - refused_at >= 4
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.slow
def test_a_refused_download_of_a_list_keeps_what_is_stored(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    path = str(tmp_path / "{index}.mp4")
    task = generate(tmp_path, output_path=path, prompt=None, request=[{"prompt": p} for p in "abc"], delete_media=True)
    tries = Tries()
    steps = Steps(task, tries)
    arguments = steps.event()
    first, second, third = (charge.queue_id or "" for charge in venice_simulator.journal.charges)
    refuse(venice_simulator, 4, match=second)
    steps.deferred = steps.launch("execute_complete", **arguments)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["0.mp4"]
    assert [job.get("delivery", {}).get("is_stored") for job in tries.xcoms["venice_job"]] == [True, None, None]
    assert [call.deleted for call in venice_simulator.journal.calls("complete")] == [first]
    fetched = len(venice_simulator.journal.calls("retrieve", first))
    assert len(steps.end()) == 3
    assert len(venice_simulator.journal.calls("retrieve", first)) == fetched
    assert [call.deleted for call in venice_simulator.journal.calls("complete")] == [first, second, third]
    assert len(venice_simulator.journal.charges) == 3


@pytest.mark.slow
def test_a_download_that_is_refused_until_its_time_is_up_fails_the_try(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = Tries()
    steps = Steps(generate(tmp_path, timeout=2), tries)
    arguments = steps.event()
    refuse(venice_simulator, 5, times=2)
    steps.deferred = steps.launch("execute_complete", **arguments)
    with pytest.raises(VeniceRateLimitError):
        steps.end()
    assert "A retry or a clear of this task takes it up" in capsys.readouterr().out
    assert run_task(generate(tmp_path), tries)["path"] == str(tmp_path / "clip.mp4")
    assert len(venice_simulator.journal.charges) == 1


@pytest.fixture
def two_attempts(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> VeniceHook:
    """A hook that makes a request at most twice."""
    connection = {
        "conn_type": "venice",
        "host": venice_simulator.base_url,
        "password": venice_simulator.api_key,
        "extra": {"retry_attempts": 2},
    }
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    return VeniceHook()


@pytest.mark.slow
def test_a_worker_waits_out_refusals_whatever_their_number(
    tmp_path: Path, venice_simulator: VeniceSimulator, two_attempts: VeniceHook
) -> None:
    def finished() -> VideoJob:
        return two_attempts.wait_for_completion(two_attempts.queue(TEXT))

    job = finished()
    refuse(venice_simulator, 0, times=3)
    assert two_attempts.download(job, tmp_path / "a.mp4").size
    job = finished()
    refuse(venice_simulator, 0, times=3)
    assert two_attempts.get_video_data(job)
    job = finished()
    refuse(venice_simulator, 0, times=3)
    task = VeniceRecoverVideosOperator(task_id="recover", output_dir=str(tmp_path), jobs=job.to_dict())
    assert run_task(task)[0]["status"] == "collected"
    refuse(venice_simulator, 5, times=None)
    started = time.monotonic()
    with pytest.raises(VeniceRateLimitError):
        two_attempts.download(job, tmp_path / "b.mp4", rate_limit_timeout=2)
    assert time.monotonic() - started < 2
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_download_task_waits_for_its_turn(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator, two_attempts: VeniceHook
) -> None:
    job = two_attempts.wait_for_completion(two_attempts.queue(TEXT))
    refuse(venice_simulator, 4 if deferrable else 0, times=3)
    path = str(tmp_path / "clip.mp4")
    task = VeniceDownloadVideoOperator(task_id="load", job=job.to_dict(), output_path=path, deferrable=deferrable)
    tries = Tries()
    assert run_task(task, tries)["path"] == path
    assert tries.deferred_to == ([TURN] * 3 if deferrable else [])
