"""A user ends a deferred task: the job goes on, the log says so, and the clip can be collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack

DAG_ID = "venice_recover"

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_a_clip_of_a_task_marked_failed_is_collected(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    charges = len(stack_simulator.journal.charges)
    run_id = airflow_stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})

    def state(task: str) -> str | None:
        return airflow_stack.task_states(DAG_ID, run_id).get(task)

    airflow_stack.wait_until(
        lambda: (
            "is processing" in airflow_stack.task_log(DAG_ID, run_id, "generate")
            if state("generate") == "deferred"
            else False
        ),
        90,
        "the trigger's first look",
    )
    airflow_stack.patch(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/generate", {"new_state": "failed"})
    airflow_stack.wait(DAG_ID, run_id, timeout=90)
    job = stack_simulator.jobs[-1]
    (fate,) = airflow_stack.xcom(DAG_ID, run_id, "recover")
    assert (fate["queue_id"], fate["status"]) == (job.queue_id, "processing")
    airflow_stack.wait_until(
        lambda: f"The wait for video job {job.queue_id}" in airflow_stack.task_log(DAG_ID, run_id, "generate"),
        30,
        "the trigger's last words",
    )

    stack_simulator.finish(job.queue_id)
    airflow_stack.clear(DAG_ID, run_id, "recover")
    airflow_stack.wait_until(lambda: state("recover") == "success", 90, "the second try")
    (fate,) = airflow_stack.xcom(DAG_ID, run_id, "recover")
    assert fate["status"] == "collected"
    assert Path(fate["path"]).stat().st_size == fate["size"]
    assert len(stack_simulator.journal.charges) == charges + 1
    assert stack_simulator.journal.unread_deletions == []
