"""Neither the key nor a private link can be read in anything that an Airflow keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import clips
from tests.system.stack import AirflowStack

DAG_ID = "venice_private"

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_no_secret_is_kept_readable(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    before = len(stack_simulator.jobs)
    run_id = airflow_stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})
    airflow_stack.wait(DAG_ID, run_id, timeout=180)
    states = airflow_stack.task_states(DAG_ID, run_id)
    assert states.pop("fail") == "failed"
    assert set(states.values()) == {"success"}, airflow_stack.failures(DAG_ID, run_id, 50)
    assert [path.name for path in clips(tmp_path)] == ["generated.mp4", "steps.mp4"]

    job = airflow_stack.xcom(DAG_ID, run_id, "queue")
    assert job["download_url"].startswith("fernet:")
    tokens = [job.token for job in stack_simulator.jobs[before:]]
    assert len(tokens) == 3
    secrets = [stack_simulator.api_key, *tokens]

    # Rows that are gone, such as the triggers', can still be read in the file of the database.
    kept = [path for path in airflow_stack.home.rglob("*") if path.is_file()]
    assert {"airflow.db", "triggerer.log", "scheduler.log"} <= {path.name for path in kept}
    assert len([path for path in kept if "task_id=" in str(path)]) >= 5
    found = [path for path in kept for secret in secrets if secret.encode() in path.read_bytes()]
    assert found == []

    shown = json.dumps(airflow_stack.task_instances(DAG_ID, run_id))
    for task in ("queue", "wait", "download", "generate", "fail"):
        shown += airflow_stack.task_log(DAG_ID, run_id, task)
    assert not [secret for secret in secrets if secret in shown]
    deletions = stack_simulator.journal.calls("revoke")
    assert len([entry for entry in deletions if entry.status == 204]) == 2
