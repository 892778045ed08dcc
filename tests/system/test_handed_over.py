"""Mapped lists in a real Airflow: stored as far as they have come, shown each by its own index, paid once."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack

DAG_ID = "handed_over"

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_mapped_lists_are_stored_as_far_as_they_have_come(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    charges = len(stack_simulator.journal.charges)
    run_id = airflow_stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})
    assert airflow_stack.wait(DAG_ID, run_id, timeout=200) == "success", airflow_stack.failures(DAG_ID, run_id, 50)
    assert len(stack_simulator.journal.charges) == charges + 6
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == [f"{row}-{n}.mp4" for row in "01" for n in "012"]
    bought = {charge.queue_id for charge in stack_simulator.journal.charges[charges:]}
    for index in range(2):
        jobs = airflow_stack.xcom(DAG_ID, run_id, "generate", "venice_job", index)
        assert len(jobs) == 3
        assert all(job["delivery"]["is_stored"] for job in jobs)
        bought -= {job["queue_id"] for job in jobs}
        log = airflow_stack.task_log(DAG_ID, run_id, "generate", index)
        assert log.count("Waiting in the triggerer for") >= 2
        clips = airflow_stack.xcom(DAG_ID, run_id, "generate", map_index=index)
        assert [Path(clip["path"]).name for clip in clips] == [f"{index}-{n}.mp4" for n in range(3)]
    assert not bought
    assert stack_simulator.journal.unread_deletions == []
