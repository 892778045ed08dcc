"""The link to the page of a task instance's clips."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_venice.links import VeniceClipLink
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.ui import is_ui_on
from tests.running import Steps, Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
KEY = "_link_VeniceClipLink"


def link(**ti: Any) -> str:
    key = {"dag_id": "dag", "run_id": "manual__2026-11-28T10:00:00+00:00", "task_id": "clips", "map_index": -1, **ti}
    return VeniceClipLink().get_link(None, ti_key=SimpleNamespace(**key))  # type: ignore[arg-type]


def test_the_link_leads_to_the_task_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    run = "manual__2026-11-28T10%3A00%3A00%2B00%3A00"
    assert link() == f"/dags/dag/runs/{run}/tasks/clips/plugin/venice-clip"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/base/")
    base = f"https://airflow.example.com/base/dags/dag/runs/{run}/tasks"
    assert link(task_id="a.b c") == f"{base}/a.b%20c/plugin/venice-clip"
    assert link(map_index=3) == f"{base}/clips/mapped/3/plugin/venice-clip"
    assert link(map_index=0) == f"{base}/clips/mapped/0/plugin/venice-clip"
    assert link(map_index=None) == link()


def test_without_the_pages_there_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_ui_on()
    monkeypatch.setenv("AIRFLOW__VENICE__UI", "False")
    assert not is_ui_on()
    assert link() == ""


def test_airflow_knows_the_link() -> None:
    assert f"{VeniceClipLink.__module__}.VeniceClipLink" in ProvidersManager().extra_links_class_names
    for operator in (
        VeniceQueueVideoOperator,
        VeniceGenerateVideoOperator,
        VeniceDownloadVideoOperator,
        VeniceVideoSensor,
    ):
        assert [one.name for one in operator.operator_extra_links] == ["Watch clip"]
    assert not VeniceQuoteVideoOperator.operator_extra_links


@pytest.mark.slow
def test_the_link_is_there_before_the_task_ends(
    tmp_path: Path, venice_connection: str, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries(map_index=2, task_count=50)
    clip = VeniceGenerateVideoOperator(task_id="clip", output_path=f"{tmp_path}/a.mp4", **TEXT)
    steps = Steps(clip, tries)  # it waits for the rate limit
    assert tries.xcoms[KEY] == "/dags/dag/runs/run/tasks/clip/mapped/2/plugin/venice-clip"
    steps.go_on()
    job = steps.end()["job"]
    tries = Tries()
    assert Steps(VeniceVideoSensor(task_id="wait", job=job), tries)
    assert tries.xcoms[KEY] == "/dags/dag/runs/run/tasks/wait/plugin/venice-clip"
    tries = Tries()
    run_task(VeniceDownloadVideoOperator(task_id="get", job=job, output_path=f"{tmp_path}/b.mp4"), tries)
    assert tries.xcoms[KEY] == "/dags/dag/runs/run/tasks/get/plugin/venice-clip"
    monkeypatch.setenv("AIRFLOW__VENICE__UI", "False")
    tries = Tries()
    run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT), tries)
    assert KEY not in tries.xcoms
    assert "venice_results" in tries.xcoms
