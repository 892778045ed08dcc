"""Airflow is upgraded to the newest, which has a store of its own for tasks: nothing is bought again."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.compat.environments import RELEASES, ROOT, environment
from tests.examples.conftest import check_clip
from tests.system.clips import connection_to
from tests.system.stack import AirflowStack

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.serial, pytest.mark.timeout(600)]

DAG_ID, TASK = "clips", "make"


def upgrade(stack: AirflowStack) -> None:
    """Stop an Airflow, and start the newest one on its database."""
    for component in reversed(stack.components):
        stack.kill(component, signal.SIGTERM if component == "triggerer" else signal.SIGKILL)
    stack.python = sys.executable
    stack._start()


def test_what_an_older_airflow_has_bought_is_taken_up_by_the_newest(tmp_path: Path) -> None:
    def make(name: str, state: str) -> str:
        run: str = stack.trigger(DAG_ID, conf={"path": str(tmp_path / f"{name}.mp4"), "prompt": name})
        stack.wait_until(lambda: stack.task_states(DAG_ID, run).get(TASK) == state, 120, f"{name} to be {state}")
        return run

    with (
        VeniceSimulator(speed=20, job_seconds=60) as venice,
        AirflowStack(
            ROOT / "tests" / "ui" / "dags",
            python=environment(RELEASES[-1]),
            connections={"venice_default": connection_to(venice)},
        ) as stack,
    ):
        stored = make("stored", "success")
        venice.fail("retrieve", status=402)
        paid = make("paid", "failed")
        bought = [job.queue_id for job in venice.jobs]
        upgrade(stack)
        for run in (stored, paid):
            stack.clear(DAG_ID, run, TASK)
            assert stack.wait(DAG_ID, run, timeout=120) == "success", stack.failures(DAG_ID, run)
            (ti,) = stack.task_instances(DAG_ID, run)
            assert ti["try_number"] == 2
        assert [job.queue_id for job in venice.jobs] == bought
        assert len(venice.journal.charges) == 2
    for name in ("stored", "paid"):
        check_clip(tmp_path / f"{name}.mp4", seconds=5)
