"""Clips that were paid for and not delivered are collected while the vendor has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.hooks.sealing import seal
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def recover(tmp_path: Path, tries: Tries | None = None, **arguments: Any) -> dict[str, dict[str, Any]]:
    task = VeniceRecoverVideosOperator(task_id="recover", output_dir=f"{tmp_path}/", **arguments)
    return {fate["queue_id"]: fate for fate in run_task(task, tries)}


def test_every_job_has_its_fate(hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    done, private = hook.queue(TEXT), hook.queue(PRIVATE)
    gone = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    running = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    for job in (done, private, gone):
        venice_simulator.finish(job.queue_id)
    fates = recover(tmp_path, jobs=[done, seal(private), gone.to_dict(), running])
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
            "venice_job": [seal(delivered), None, seal(lost)],
            "return_value": [None, "text", {"path": "s3://b/k.mp4", "job": seal(delivered)}, seal(lost)],
        }
    )
    fates = recover(tmp_path, tries)
    assert fates[delivered.queue_id]["status"] == "delivered"
    assert fates[delivered.queue_id]["path"] == "s3://b/k.mp4"
    assert fates[lost.queue_id]["status"] == "collected"


def test_one_that_cannot_be_reached_does_not_hide_the_others(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    first, second = hook.queue(TEXT), hook.queue(TEXT)
    venice_simulator.finish()
    venice_simulator.fail("retrieve", match=first.queue_id, status=401, times=1)
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
