"""Quote, charge and refund stand side by side in the record, where the account's usage history can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRICE = 0.35


@pytest.fixture
def venice(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> VeniceSimulator:
    """The simulator, and a connection that names another with the ADMIN key."""
    connect(venice_simulator, monkeypatch, "default", venice_simulator.api_key, admin_conn_id="venice_admin")
    connect(venice_simulator, monkeypatch, "admin", venice_simulator.admin_key)
    return venice_simulator


def connect(venice: VeniceSimulator, monkeypatch: pytest.MonkeyPatch, name: str, key: str, **extra: Any) -> None:
    fields = {"conn_type": "venice", "host": venice.base_url, "password": key, "extra": extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_VENICE_{name.upper()}", json.dumps(fields))


def generate(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    requests = [{**TEXT, "prompt": prompt} for prompt in prompts]
    return VeniceGenerateVideoOperator(
        task_id="generate", request=requests, output_path=f"{folder}/{{index}}.mp4", manifest=True, **arguments
    )


def manifest(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_a_record_has_what_was_charged(venice: VeniceSimulator, tmp_path: Path) -> None:
    tries, asset = Tries(), Asset("clips")
    run_task(generate(tmp_path, "a", "b", outlets=[asset]), tries)
    for place in (0, 1):
        record = manifest(tmp_path / f"{place}.mp4.json")
        assert (record["estimated_cost"], record["charge"], record["refund"]) == (PRICE, PRICE, 0.0)
        assert "charge_note" not in record
    assert [one["charge"] for one in next(iter(tries.outlet_extras.values()))["videos"]] == [PRICE, PRICE]
    # One look at the history is enough for both.
    assert len(venice.journal.calls("usage_history")) == 1


def test_a_failed_job_has_its_refund(venice: VeniceSimulator, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="refund"):
        run_task(generate(tmp_path, "[simulate: refund] a"), Tries())
    record = manifest(tmp_path / "0.mp4.json")
    assert (record["status"], record["charge"], record["refund"]) == ("failed", PRICE, PRICE)


def test_a_download_has_it_as_well(venice: VeniceSimulator, tmp_path: Path) -> None:
    from airflow_provider_venice.hooks.venice import VeniceHook

    job = VeniceHook().generate(TEXT).to_dict()
    task = VeniceDownloadVideoOperator(task_id="download", job=job, output_path=f"{tmp_path}/clip.mp4", manifest=True)
    run_task(task, Tries())
    assert manifest(tmp_path / "clip.mp4.json")["charge"] == PRICE


def test_what_is_not_there_yet_is_not_known(venice: VeniceSimulator, tmp_path: Path) -> None:
    venice.usage_delay = 3600.0
    run_task(generate(tmp_path, "a"), Tries())
    record = manifest(tmp_path / "0.mp4.json")
    assert (record["charge"], record["refund"]) == (None, None)
    assert "no entry that names the job" in record["charge_note"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403}, {"bad_json": True}, {"drop_after": True}], ids=str)
def test_a_history_that_cannot_be_read_costs_no_clip(
    venice: VeniceSimulator, tmp_path: Path, fault: dict[str, Any]
) -> None:
    venice.fail("usage_history", times=None, **fault)
    results = run_task(generate(tmp_path, "a", "b"), Tries())
    assert [Path(one["path"]).stat().st_size > 0 for one in results] == [True, True]
    assert "venice_admin" in manifest(tmp_path / "1.mp4.json")["charge_note"]
    assert len(venice.journal.calls("usage_history")) == 1


def test_without_an_admin_connection_there_is_none(venice_connection: str, tmp_path: Path) -> None:
    run_task(generate(tmp_path, "a"), Tries())
    assert not {"charge", "refund", "charge_note"} & set(manifest(tmp_path / "0.mp4.json"))


def test_what_is_reused_costs_nothing(venice: VeniceSimulator, tmp_path: Path) -> None:
    run_task(generate(tmp_path, "a", existing="reuse"), Tries())
    tries, asset = Tries(), Asset("clips")
    run_task(generate(tmp_path, "a", existing="reuse", outlets=[asset]), tries)
    (record,) = next(iter(tries.outlet_extras.values()))["videos"]
    assert record["estimated_cost"] == 0
    assert "charge" not in record
    assert len(venice.journal.charges) == 1
