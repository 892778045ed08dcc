"""Clips that were paid for and not delivered are collected while the vendor has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.hooks.private_links import encrypt_link
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, context_of, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def recover(tmp_path: Path, tries: Tries | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
    task = VeniceRecoverVideosOperator(task_id="recover", output_dir=f"{tmp_path}/", **arguments)
    return {fate["queue_id"]: fate for fate in run_task(task, tries)}


@pytest.mark.slow
def test_every_job_has_its_fate(hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    done, private = hook.queue(TEXT), hook.queue(PRIVATE)
    gone = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    running = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    for job in (done, private, gone):
        venice_simulator.finish(job.queue_id)
    fates = recover(tmp_path, jobs=[done, encrypt_link(private), gone.to_dict(), running])
    assert {queue_id: fate["status"] for queue_id, fate in fates.items()} == {
        done.queue_id: "collected",
        private.queue_id: "collected",
        gone.queue_id: "lost",
        running.queue_id: "processing",
    }
    assert "generation failed" in fates[gone.queue_id]["error"]
    for job in (done, private):
        assert fates[job.queue_id]["path"] == str(tmp_path / f"{job.queue_id}.mp4")
        assert Path(fates[job.queue_id]["path"]).stat().st_size == fates[job.queue_id]["size"]
    assert len(list(tmp_path.iterdir())) == 2
    assert len(venice_simulator.journal.charges) == 4
    assert venice_simulator.journal.calls("complete") == []


def test_a_run_is_searched_for_what_no_task_has_delivered(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    delivered, lost = hook.queue(TEXT), hook.queue(TEXT)
    venice_simulator.finish()
    tries = Tries(
        upstream={
            "venice_job": [encrypt_link(delivered), None, encrypt_link(lost)],
            "return_value": [
                None,
                "text",
                {"path": "s3://b/k.mp4", "job": encrypt_link(delivered)},
                encrypt_link(lost),
            ],
        }
    )
    fates = recover(tmp_path, tries)
    assert fates[delivered.queue_id]["status"] == "delivered"
    assert fates[delivered.queue_id]["path"] == "s3://b/k.mp4"
    assert fates[lost.queue_id]["status"] == "collected"


@pytest.mark.slow
def test_one_that_cannot_be_reached_does_not_hide_the_others(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    first, second = hook.queue(TEXT), hook.queue(TEXT)
    venice_simulator.finish()
    venice_simulator.fail("retrieve", match=first.queue_id, status=401, times=2)
    with pytest.raises(AirflowFailException, match="check the API key"):
        recover(tmp_path, jobs=[first, second])
    assert [path.stem for path in tmp_path.iterdir()] == [second.queue_id]
    fates = recover(tmp_path, jobs=[first, second])
    assert {fate["status"] for fate in fates.values()} == {"collected"}


def test_another_dag_needs_its_tasks_named(hook: VeniceHook, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="external_task_ids is missing"):
        recover(tmp_path, external_dag_id="nightly", external_run_id="r")
    with pytest.raises(AirflowFailException, match="no queue_id"):
        recover(tmp_path, jobs=[{"model": "x"}])


@pytest.mark.parametrize("request_", [TEXT, PRIVATE], ids=["inline", "private"])
@pytest.mark.parametrize("retried", [False, True], ids=["killed", "killed again"])
def test_a_clip_that_was_stored_and_deleted_is_delivered_though_its_last_try_was_killed(
    request_: dict[str, Any], retried: bool, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    class Killed(BaseException):
        """The worker is gone."""

    def task() -> VeniceGenerateVideoOperator:
        return VeniceGenerateVideoOperator(
            task_id="generate", **request_, output_path=tmp_path / "clip.mp4", delete_media=True
        )

    class KilledWhenShown(dict[str, Any]):
        """XComs; the worker is killed after the first one is pushed."""

        def update(self, *pushed: Any, **_: Any) -> None:
            super().update(*pushed)
            raise Killed

    tries = Tries()
    run_task(task(), tries)
    if retried:
        # Its next try is killed as soon as it has shown what was bought.
        tries.xcoms = KilledWhenShown()
        with pytest.raises(Killed):
            run_task(task(), tries)
    (job,) = [tries.xcoms["venice_job"]]
    fates = recover(tmp_path / "recovered", Tries(upstream={"venice_job": [job]}))
    assert fates[job["queue_id"]] == {
        "queue_id": job["queue_id"],
        "model": job["model"],
        "labels": {},
        "status": "delivered",
        "path": str(tmp_path / "clip.mp4"),
    }


@pytest.mark.slow
def test_a_clip_that_was_only_about_to_be_stored_is_collected(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    job = hook.queue(TEXT)
    venice_simulator.finish()
    noted = {"path": str(tmp_path / "never.mp4"), "size": 1, "sha256": "0" * 64, "is_stored": False}
    fates = recover(tmp_path, Tries(upstream={"venice_job": [{**encrypt_link(job), "delivery": noted}]}))
    assert fates[job.queue_id]["status"] == "collected"
    venice_simulator.fail("retrieve", status=410, times=None)
    (tmp_path / f"{job.queue_id}.mp4").unlink()
    fates = recover(tmp_path, Tries(upstream={"venice_job": [{**encrypt_link(job), "delivery": noted}]}))
    assert fates[job.queue_id]["status"] == "lost"
    assert "never.mp4; it is not there" in fates[job.queue_id]["error"]


def test_tasks_that_show_nothing_are_counted(hook: VeniceHook, tmp_path: Path) -> None:
    states = {
        "generate": "failed",
        "clips_0": "up_for_retry",
        "clips_1": "deferred",
        "clips_2": None,
        "other": "failed",
    }
    upstream: dict[str, list[Any]] = {"venice_job": [{}]}
    buyers = [VeniceGenerateVideoOperator(task_id=name, output_path="/x.mp4", **TEXT) for name in ("generate", "clips")]
    task = VeniceRecoverVideosOperator(task_id="recover", output_dir=str(tmp_path))
    context = context_of(task, Tries(states=states, upstream=upstream))
    context["dag"].tasks, context["dag"].task_ids = [*buyers, task], ["generate", "clips", "other", "recover"]
    assert task.execute(context) == [{"queue_id": None, "model": None, "status": "unseen", "tasks": 3}]
