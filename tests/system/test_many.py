"""Mapped tasks that submit at once, each in a worker of its own, take turns in the triggerer."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack

DAG_ID = "venice_many"

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_many_submissions_are_spread_over_the_minute(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator
) -> None:
    run_id = airflow_stack.trigger(DAG_ID, conf={"prompt": "one of many"})
    assert airflow_stack.wait(DAG_ID, run_id, timeout=200) == "success", airflow_stack.failures(DAG_ID, run_id, 40)
    jobs = {job.queue_id for job in stack_simulator.jobs if job.prompt == "one of many"}
    paid = sorted(charge.time for charge in stack_simulator.journal.charges if charge.queue_id in jobs)
    assert len(paid) == len(jobs) == 14
    logs = [airflow_stack.task_log(DAG_ID, run_id, "queue", map_index) for map_index in range(14)]
    waited = ["The rate limit admits the request" in log for log in logs]
    assert waited.count(True) >= 4, "those that find more than ten others about wait for a turn"
    # 32 a minute; a worker that starts late may come close to the next one, but not to the one after that.
    pauses = [later - earlier for earlier, later in itertools.pairwise(paid)]
    assert sum(pauses) > 1.5 * (waited.count(True) - 1)
    assert not any(entry.refused for entry in stack_simulator.journal.calls("queue"))
