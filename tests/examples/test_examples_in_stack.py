"""The examples that need a scheduler: an asset that triggers, a person who decides, rows that run side by side."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from airflow_provider_venice.simulator import VeniceSimulator
from tests.examples.conftest import check_clip
from tests.system.stack import AirflowStack

APPROVAL, REVIEW, ASSET, CONSUMER, BATCH = (
    "venice_human_approval",
    "venice_review_clip",
    "venice_video_asset",
    "venice_on_video_asset",
    "venice_nightly_batch",
)


def test_a_clip_triggers_what_works_with_it(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    stack = airflow_stack
    charges = len(stack_simulator.journal.charges)
    stack.wait_for_dag(CONSUMER)
    stack.unpause(CONSUMER)
    made = stack.trigger(ASSET, conf={"output_dir": str(tmp_path)})
    assert stack.wait(ASSET, made) == "success"
    assert len(stack_simulator.journal.charges) == charges + 1
    clip = tmp_path / f"{made}.mp4"
    check_clip(clip, seconds=5)

    runs = stack.wait_until(
        lambda: stack.get(f"dags/{CONSUMER}/dagRuns")["dag_runs"], 60, "the asset's event to start a run"
    )
    assert [run["run_type"] for run in runs] == ["asset_triggered"]
    run_id = runs[0]["dag_run_id"]
    assert stack.wait(CONSUMER, run_id) == "success"

    database = stack.get(f"dags/{CONSUMER}/details")["params"]["database"]["value"]
    expected = {
        "path": str(clip),
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
        "size": clip.stat().st_size,
        "duration": 5.0,
        "resolution": "1280x720",
        "fps": 24.0,
    }
    (row,) = rows_of(database)
    assert row.pop("made_at").endswith("+00:00")
    assert row == expected

    stack.clear(CONSUMER, run_id, "record")
    assert stack.wait(CONSUMER, run_id) == "success"
    (row,) = rows_of(database)
    assert row["sha256"] == expected["sha256"]

    clip.write_bytes(clip.read_bytes()[:-1])
    stack.clear(CONSUMER, run_id, "check")
    stack.wait_until(
        lambda: stack.task_states(CONSUMER, run_id)["check"] == "failed", 60, "the changed clip to be noticed"
    )


def test_nothing_is_paid_before_a_person_approves(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    stack = airflow_stack
    charges = len(stack_simulator.journal.charges)
    run_id = ask_for_money(stack, tmp_path)
    assert len(stack_simulator.journal.charges) == charges
    question = stack.get(question_path(APPROVAL, run_id, "approve"))
    assert question["subject"] == "May this clip cost $0.7?"
    assert "**$0.7** for 10s of\nwan-2-7-text-to-video" in question["body"]
    assert "~~~~\nA whale\n~~~~" in question["body"]
    assert question["defaults"] == ["Reject"]

    answer(stack, APPROVAL, run_id, "approve", "Approve")
    assert stack.wait(APPROVAL, run_id) == "success"
    check_clip(tmp_path / f"{run_id}.mp4", seconds=10)
    assert len(stack_simulator.journal.charges) == charges + 1


def test_nothing_is_paid_when_a_person_rejects(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    stack = airflow_stack
    charges = len(stack_simulator.journal.charges)
    run_id = ask_for_money(stack, tmp_path)
    answer(stack, APPROVAL, run_id, "approve", "Reject")
    assert stack.wait(APPROVAL, run_id) == "success"
    assert stack.task_states(APPROVAL, run_id) == {"quote": "success", "approve": "success", "generate": "skipped"}
    assert len(stack_simulator.journal.charges) == charges
    assert not list(tmp_path.iterdir())


def test_a_clip_is_published_once_a_person_has_seen_it(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    stack, published = airflow_stack, tmp_path / "published"
    charges = len(stack_simulator.journal.charges)
    conf = {"prompt": "A square", "output_dir": str(tmp_path), "publish_dir": str(published)}
    with_preview = stack.trigger(REVIEW, conf={**conf, "preview_url": "https://clips.example.com"})
    without = stack.trigger(REVIEW, conf=conf)
    questions = {}
    for run_id in (with_preview, without):
        wait_for_question(stack, REVIEW, run_id, "review")
        questions[run_id] = stack.get(question_path(REVIEW, run_id, "review"))["body"]
        page = f"{stack.ui_url}/dags/{REVIEW}/runs/{quote(run_id, safe='')}/tasks/generate/plugin/venice-clip"
        assert f"[Watch the clip]({page}): 5.0 s,\n1280x720, made by wan-2-7-text-to-video" in questions[run_id]
        assert "~~~~\nA square\n~~~~" in questions[run_id]
        assert f"`{tmp_path}/{run_id}.mp4`" in questions[run_id]
    assert f"(https://clips.example.com/{quote(with_preview)}.webp)" in questions[with_preview]
    assert "![" not in questions[without]
    assert sorted(path.name for path in tmp_path.glob("*.webp")) == [f"{with_preview}.webp"]
    with Image.open(tmp_path / f"{with_preview}.webp") as preview:
        assert (preview.size, getattr(preview, "n_frames", 1)) == ((300, 169), 20)

    assert not published.exists()
    answer(stack, REVIEW, with_preview, "review", "Approve")
    answer(stack, REVIEW, without, "review", "Reject")
    assert stack.wait(REVIEW, with_preview) == "success"
    assert stack.wait(REVIEW, without) == "success"
    assert stack.task_states(REVIEW, without)["publish"] == "skipped"
    (copy,) = published.iterdir()
    assert copy.name == f"{with_preview}.mp4"
    check_clip(copy, seconds=5)
    check_clip(tmp_path / f"{without}.mp4", seconds=5)
    assert len(stack_simulator.journal.charges) == charges + 2


def test_rows_of_a_batch_run_side_by_side(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    stack = airflow_stack
    charges = len(stack_simulator.journal.charges)
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,duration\nA,5s\nB [simulate: fail],5s\nC,10s\nD [simulate: policy],\n")
    videos = tmp_path / "videos"
    run_id = stack.trigger(BATCH, conf={"prompts": str(table), "output_dir": str(videos)})
    assert stack.wait(BATCH, run_id, timeout=200) == "failed"
    states = stack.task_states(BATCH, run_id)
    steps = ("queue", "wait", "download")
    assert {row: [states[f"clip.{step}[{row}]"] for step in steps] for row in range(4)} == {
        0: ["success"] * 3,
        1: ["success", "failed", "upstream_failed"],
        2: ["success"] * 3,
        3: ["failed", "upstream_failed", "upstream_failed"],
    }
    jobs = {row: stack.xcom(BATCH, run_id, "clip.queue", map_index=row)["queue_id"] for row in range(3)}
    names = {row: f"{row}-{jobs[row]}.mp4" for row in (0, 2)}
    assert {clip.name for clip in (videos / run_id).iterdir()} == {*names.values()}
    check_clip(videos / run_id / names[0], seconds=5)
    check_clip(videos / run_id / names[2], seconds=10)
    assert len(stack_simulator.journal.charges) == charges + 3


def ask_for_money(stack: AirflowStack, output_dir: Path) -> str:
    """Start a run that costs more than its limit, and return its id once it waits for a person."""
    conf = {"prompt": "A whale", "duration": "10s", "limit": 0.5, "output_dir": str(output_dir)}
    run_id = stack.trigger(APPROVAL, conf=conf)
    wait_for_question(stack, APPROVAL, run_id, "approve")
    return run_id


def wait_for_question(stack: AirflowStack, dag_id: str, run_id: str, task_id: str) -> None:
    """Wait until a task waits for a person."""

    def is_asked() -> bool:
        # Airflow before 3.3 has the triggerer wait.
        if stack.task_states(dag_id, run_id).get(task_id) not in ("awaiting_input", "deferred"):
            return False
        # An answer that comes before the scheduler has heard that the worker is free is taken for the
        # worker's crash, and the task fails. No person is as fast as that.
        log = stack.component_log("scheduler", 500).splitlines()
        heard = [line for line in log if "Received executor event" in line]
        return any(f"task_id='{task_id}'" in line and run_id in line for line in heard)

    stack.wait_until(is_asked, 90, "a person to be asked")


def answer(stack: AirflowStack, dag_id: str, run_id: str, task_id: str, option: str) -> None:
    """Answer as a person does under Required Actions in the UI."""
    stack.patch(question_path(dag_id, run_id, task_id), {"chosen_options": [option], "params_input": {}})


def question_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"


def rows_of(database: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM clips")]
