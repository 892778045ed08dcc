"""What tasks have written of their clips, and which state that makes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import date
from typing import Any

import pytest

from airflow_provider_venice.plugin.cards import card
from airflow_provider_venice.plugin.clips import STATES, Clip, find_clips, task_of, usual_times
from airflow_provider_venice.plugin.entries import TaskRecord
from airflow_provider_venice.plugin.selection import Selection, sums
from airflow_provider_venice.xcoms import TaskKey

NOW = time.time()


def record(*entries: dict[str, Any], task: str = "make", **fields: Any) -> TaskRecord:
    known: dict[str, Any] = {"state": "success", "run_state": "success", "operator": "VeniceGenerateVideoOperator"}
    key = TaskKey(fields.pop("dag_id", "dag"), fields.pop("run_id", "run"), task, fields.pop("map_index", -1))
    return TaskRecord(key, fields.pop("written_at", NOW), entries, **{**known, **fields})


def entry(status: str, queue_id: str | None = "q1", **fields: Any) -> dict[str, Any]:
    job = {"model": "wan", "queue_id": queue_id, "queued_at": time.time() - 100, "estimated_cost": 2}
    if "refunded" in fields:  # which only a failure of the job has
        job["status"] = "failed"
    known = {"job": None if queue_id is None else job, "request": {"prompt": "Waves", "model": "wan"}, "labels": None}
    return {"status": status, **known, **fields}


def stored(queue_id: str = "q1", **fields: Any) -> dict[str, Any]:
    file = {"path": "/clips/a.mp4", "size": 9, "sha256": "ab", "metadata": {"duration": 5.0}}
    return entry("stored", queue_id, stored_at="2026-11-25T10:00:00Z", **file, **fields)


def only(*records: TaskRecord) -> Clip:
    (clip,) = find_clips(records)
    return clip


@pytest.mark.parametrize(
    ("written", "task", "state"),
    [
        (entry("missing", None), {"state": "deferred", "run_state": "running"}, "waiting"),
        (entry("missing", None), {"state": "failed", "run_state": "failed"}, "failed"),
        (entry("queued"), {"state": "deferred", "run_state": "running"}, "rendering"),
        (entry("processing"), {"state": "up_for_retry", "run_state": "running"}, "rendering"),
        (entry("queued"), {"state": "failed", "run_state": "running"}, "left"),
        (entry("queued"), {"state": "success", "run_state": "failed"}, "left"),
        (entry("queued"), {"state": "success", "run_state": "running"}, "rendering"),
        (entry("completed"), {"state": "success", "run_state": "success"}, "finished"),
        (entry("failed", error_type=None, refunded=True), {"state": "failed"}, "failed"),
        (entry("failed", error="the disk is full", error_type=None), {"state": "failed"}, "left"),
        (entry("failed", None, error="no such model"), {"state": "failed"}, "failed"),
        (entry("doubt", None, error="no answer"), {"state": "failed"}, "doubt"),
        (stored(), {}, "stored"),
        (stored(error="its manifest"), {"state": "failed"}, "stored"),
    ],
)
def test_the_state_of_a_clip(written: dict[str, Any], task: dict[str, Any], state: str) -> None:
    clip = only(record(written, **task))
    assert clip.state == state
    assert clip.state in STATES


def test_what_is_paid_and_not_stored_says_what_to_do() -> None:
    clip = only(record(entry("queued"), state="failed"))
    assert "Clear the failed task" in str(clip.advice)
    old = entry("queued")
    old["job"]["queued_at"] = NOW - 3 * 86400
    assert "probably gone" in str(only(record(old, state="success")).advice)


def test_three_tasks_of_one_run_have_a_part_in_one_clip() -> None:
    queued = record(entry("queued"), task="queue", operator="VeniceQueueVideoOperator", written_at=NOW - 90)
    waited = record(entry("completed", request=None), task="wait", operator="VeniceVideoSensor", written_at=NOW - 30)
    brought = record(stored(request=None), task="download", operator="VeniceDownloadVideoOperator")
    clip = only(brought, waited, queued)
    shown = card(clip, {})
    assert clip.state == "stored"
    assert (shown["task_id"], shown["prompt"], shown["cost"]) == ("queue", "Waves", 2)
    assert [(task["task_id"], task["part"]) for task in shown["tasks"]] == [
        ("download", "stores"),
        ("wait", "waits"),
        ("queue", "buys"),
    ]
    assert clip.is_of(TaskKey("dag", "run", "wait", -1))


def test_another_run_that_names_the_same_job_changes_nothing() -> None:
    mine = record(entry("queued"), state="deferred", run_state="running")
    forged = record(stored(), dag_id="forger")
    clips = find_clips([mine, forged])
    assert Counter(clip.state for clip in clips) == {"rendering": 1, "stored": 1}


def test_progress_is_what_was_seen_or_an_estimate() -> None:
    running = {"state": "deferred", "run_state": "running"}
    seen = {"q1": {"percent": 40, "remaining": 60, "seen_at": time.time() - 10}}
    shown = only(record(entry("processing"), progress=seen, **running)).progress({"wan": 1.0})
    assert shown is not None
    assert (shown["percent"], shown["is_estimate"]) == (40, False)
    assert 40 < shown["remaining"] <= 50, "now, not when it was seen"
    clip = only(record(entry("processing"), **running))
    unknown = clip.progress({})
    assert unknown is not None
    assert unknown["percent"] is None
    estimate = clip.progress({"wan": 200.0})
    assert estimate is not None
    assert estimate["is_estimate"]
    assert 49 < estimate["percent"] < 55
    late = clip.progress({"wan": 10.0})
    assert late is not None
    assert (late["percent"], late["remaining"]) == (95, 0)


def test_the_usual_time_is_the_median_of_those_that_were_seen_to_end() -> None:
    ended = []
    for number, seconds in enumerate((100, 120, 900)):
        done = entry("completed", f"q{number}")
        done["job"]["completed_at"] = done["job"]["queued_at"] + seconds
        ended.append(done)
    assert usual_times(find_clips([record(*ended)])) == {"wan": 120}


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"status": "stored"},
        {"status": "stored", "path": 7, "sha256": [], "size": "9", "metadata": "no"},
        {"status": "queued", "job": {"queue_id": ["q"], "queued_at": "soon", "estimated_cost": True}},
        {"status": "queued", "job": {"queue_id": "q", "queued_at": float("nan")}, "error": {"a": 1}},
        {"status": "failed", "error_type": 3, "refunded": "yes", "stored_at": 3},
        {"status": "anything", "request": {"prompt": ["a"], "model": {}}},
    ],
)
def test_whatever_a_task_has_written_makes_a_card(forged: dict[str, Any]) -> None:
    written = {"job": None, "request": None, "labels": None, "status": "missing", **forged}
    clip = only(record(written, progress={"q": "none"}))
    shown = card(clip, {"wan": 3.0})
    assert shown["state"] in STATES
    assert shown["stream"] is None
    assert sums([clip])["clips"] == 1


def test_sums_leave_out_what_was_refunded_and_count_what_has_no_price() -> None:
    unpriced = entry("processing", "q4")
    del unpriced["job"]["estimated_cost"]
    clips = find_clips(
        [
            record(stored("q1"), stored("q2"), entry("failed", "q3", error_type="x", refunded=True), unpriced),
            record(entry("doubt", None, estimated_cost=5), task="doubtful"),
        ]
    )
    total = sums(clips)
    assert (total["clips"], total["seconds"], total["cost"]) == (5, 10, 4)
    assert (total["refunded"], total["unpriced"]) == (2, 1)
    assert total["by_model"] == [{"model": "wan", "clips": 5, "seconds": 10, "cost": 4}]
    assert sum(day["clips"] for day in total["by_day"]) == 5


def reused(queue_id: str = "q1") -> dict[str, Any]:
    written = stored(queue_id, reused=True, estimated_cost=0.0)
    written["job"]["queued_at"] = NOW - 5 * 86400
    return written


def test_a_clip_that_was_reused_is_stored_and_costs_nothing() -> None:
    clip = only(record(reused()))
    shown = card(clip, {})
    assert (shown["state"], shown["cost"], shown["is_reused"]) == ("stored", 0, True)
    assert (shown["file"]["sha256"], shown["queue_id"]) == ("ab", "q1")
    assert clip.time == NOW, "of this run, not of the one that has bought it"
    clips = find_clips([record(reused(), stored("q2")), record(stored("q1"), run_id="before")])
    total = sums(clips)
    assert (total["clips"], total["cost"], total["unpriced"]) == (3, 4, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_clip_that_the_run_itself_has_bought_keeps_its_price(order: int) -> None:
    bought = record(entry("queued"), task="queue", operator="VeniceQueueVideoOperator", written_at=NOW - 90)
    made = record(stored(), task="first", written_at=NOW - 60)
    again = record(reused(), task="second")
    for records in ([bought, again], [made, again]):
        clip = only(*records[::order])
        assert (clip.state, clip.cost, clip.is_reused) == ("stored", 2, False)


def test_a_selection() -> None:
    long_ago = stored("q9", request={"prompt": "Dunes at DAWN", "model": "veo"})
    long_ago["job"] = {"queue_id": "q9", "model": "veo", "queued_at": 1795600000.0}  # 2026-11-25
    clips = find_clips([record(stored("q1"), long_ago)])

    def chosen(**fields: Any) -> list[str | None]:
        return [clip.queue_id for clip in Selection(**fields).apply(clips)[0]]

    assert chosen() == ["q1", "q9"]
    assert chosen(search="dawn") == ["q9"]
    assert chosen(models=frozenset({"veo"})) == ["q9"]
    assert chosen(before=date(2026, 11, 25)) == ["q9"]
    assert chosen(after=date(2026, 11, 25), before=date(2026, 11, 25)) == ["q9"]
    assert chosen(after=date(2026, 11, 26)) == ["q1"]
    assert chosen(states=frozenset({"failed"})) == []
    assert chosen(dag_id="dag", run_id="run", task_id="make") == ["q1", "q9"]
    assert chosen(dag_id="dag", run_id="run", task_id="make", map_index=3) == []
    _, counts = Selection(states=frozenset({"failed"})).apply(clips)
    assert counts["stored"] == 2, "the other states can be chosen"


def test_an_id_names_its_task_instance() -> None:
    key = TaskKey("a/b", "manual__2026-11-25T10:00:00+00:00", "group.make", 3)
    clip = only(record(stored(), dag_id=key.dag_id, run_id=key.run_id, task=key.task_id, map_index=3))
    assert task_of(clip.id) == key
    for wrong in ("", "a/b", "a/b/c/d/e", "a/b/c/1/0/x", "a/b/c/99999999999999/0"):
        assert task_of(wrong) is None
