"""What the usage history says of the doubts on record: nothing is guessed, and what a task has found out stays."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_venice.cli.doubts import RecordedDoubts
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.plugin.clips import find_clips
from airflow_provider_venice.plugin.entries import TaskRecord
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.xcoms import TaskKey

MODEL = "wan-2-7-text-to-video"
TEXT: dict[str, Any] = {"model": MODEL, "prompt": "a lighthouse in fog", "duration": 5}

#: A submission has ended within a second, so that the history is complete soon.
QUICK = {"retry_attempts": 1, "retry_max_wait": 0.05, "connect_timeout": 0.3, "read_timeout": 0.4}


def connect(venice: VeniceSimulator, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> VeniceHook:
    for conn_id, key in (("VENICE_DEFAULT", venice.api_key), ("VENICE_ADMIN", venice.admin_key)):
        connection = {"conn_type": "venice", "host": venice.base_url, "password": key, "extra": {**QUICK, **extra}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(connection))
    return VeniceHook()


def doubt(hook: VeniceHook, venice: VeniceSimulator, **fault: Any) -> dict[str, Any]:
    """Make a submission whose answer is lost; return what a task writes of it."""
    venice.fail("queue", **fault)
    with pytest.raises(VeniceAmbiguousSubmission) as caught:
        hook.queue(TEXT)
    return {
        "status": "doubt",
        "request": {"model": MODEL},
        "estimated_cost": 0.35,
        "error": str(caught.value),
        "sent_at": caught.value.sent_at,
        "venice_conn_id": "venice_default",
    }


def rows(*entries: dict[str, Any], wait: float = 1.2) -> list[dict[str, Any]]:
    clips = find_clips([TaskRecord(TaskKey("dag", "run", "generate", -1), time.time(), entries, state="failed")])
    time.sleep(wait)
    recorded = RecordedDoubts(clips)
    return [recorded.row(clip) for clip in recorded.doubts]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "answer"), [({"drop_after": True}, "charged"), ({"drop_before": True}, "not charged")]
)
def test_the_history_is_asked(
    fault: dict[str, Any], answer: str, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(venice_simulator, monkeypatch, admin_conn_id="venice_admin", billing_delay=0.1)
    lost = doubt(hook, venice_simulator, **fault)
    bought = hook.queue(TEXT)
    known = {"status": "queued", "job": dict(bought), "request": {"model": MODEL}}
    (row,) = rows(lost, known)
    assert row == {
        "dag_id": "dag",
        "run_id": "run",
        "task": "generate #0",
        "sent_at": time.strftime("%F %T UTC", time.gmtime(lost["sent_at"])),
        "model": MODEL,
        "cost_usd": "0.35",
        "usage_history": answer,
        "reason": row["reason"],
    }
    # With a second doubt, neither is known to be the one that was charged.
    both = rows(lost, lost, known, wait=0.3)
    assert [row["usage_history"] for row in both] == ["cannot tell" if answer == "charged" else answer] * 2


def test_nothing_is_said_too_early(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(venice_simulator, monkeypatch, admin_conn_id="venice_admin")
    (row,) = rows(doubt(hook, venice_simulator, drop_before=True), wait=0)
    assert row["usage_history"] == "cannot tell"
    assert " until " in row["reason"]


def test_without_an_admin_connection_nobody_is_asked(
    venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = doubt(connect(venice_simulator, monkeypatch), venice_simulator, drop_before=True)
    answers = [(row["usage_history"], row["reason"]) for row in rows(lost, {**lost, "sent_at": None}, wait=0)]
    assert answers == [(None, None)] * 2
    assert venice_simulator.journal.calls("usage_history") == []
    (gone,) = rows({**lost, "venice_conn_id": "gone"}, wait=0)
    assert gone["usage_history"] == "cannot tell"
    assert "'gone'" in gone["reason"]


@pytest.mark.parametrize("answer", ["charged", "not charged"])
def test_what_the_task_has_found_out_stays(answer: str) -> None:
    found = {"answer": answer, "reason": "it says so"}
    (row,) = rows({"status": "doubt", "sent_at": 1.0, "usage_history": found}, wait=0)
    assert (row["usage_history"], row["reason"]) == (answer, "it says so")
