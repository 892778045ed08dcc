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
    def start(name: str, prompt: str, *states: str) -> str:
        run: str = stack.trigger(DAG_ID, conf={"path": str(tmp_path / f"{name}.mp4"), "prompt": prompt})
        stack.wait_until(lambda: stack.task_states(DAG_ID, run).get(TASK) in states, 120, f"{name} to be {states}")
        return run

    def clear(run: str) -> None:
        stack.clear(DAG_ID, run, TASK)
        assert stack.wait(DAG_ID, run, timeout=120) == "success", stack.failures(DAG_ID, run)

    with (
        VeniceSimulator(speed=20, job_seconds=60) as venice,
        AirflowStack(
            ROOT / "tests" / "ui" / "dags",
            python=environment(RELEASES[-1]),
            connections={"venice_default": connection_to(venice)},
        ) as stack,
    ):
        stored = start("stored", "A clip that is stored", "success")
        venice.fail("retrieve", status=402)
        paid = start("paid", "A clip that is paid for", "failed")
        venice.job_seconds = 2000.0
        waiting = start("waiting", "A clip that is waited for", "deferred")
        assert len(venice.journal.charges) == 3

        upgrade(stack)
        clear(stored)
        clear(paid)
        assert stack.wait(DAG_ID, waiting, timeout=180) == "success", stack.failures(DAG_ID, waiting)
        assert len(venice.journal.charges) == 3
    for name in ("stored", "paid", "waiting"):
        check_clip(tmp_path / f"{name}.mp4", seconds=5)
