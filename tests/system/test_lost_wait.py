"""No triggerer runs: the wait ends all the same, says what was bought, and the next try takes that up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.conftest import ROOT
from tests.system.clips import connection_to
from tests.system.stack import AirflowStack

DAG_ID = "lost_wait"

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture
def venice() -> Iterator[VeniceSimulator]:
    """A simulator of its own, whose jobs take a second, and which keeps clips for twelve minutes."""
    with VeniceSimulator(speed=5, job_seconds=5, media="shared") as simulator:
        yield simulator


def test_a_wait_without_a_triggerer_ends_and_loses_nothing(venice: VeniceSimulator, tmp_path: Path) -> None:
    with AirflowStack(
        dags_folder=[ROOT / "tests" / "system" / "dags"],
        connections={"venice_default": connection_to(venice)},
    ) as stack:
        stack.kill("triggerer")
        run_id = stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})

        def states() -> dict[str, str | None]:
            return {task: stack.task_states(DAG_ID, run_id).get(task) for task in ("generate", "wait")}

        stack.wait_until(lambda: set(states().values()) == {"deferred"}, 120, "both waits")
        # Two minutes beyond the deadline of the triggers.
        stack.wait_until(lambda: states()["wait"] == "failed", 240, "the end of the sensor's wait")
        stack.wait_until(
            lambda: "has ended the wait" in stack.task_log(DAG_ID, run_id, "generate"), 60, "the end of the wait"
        )
        ids = {charge.queue_id or "" for charge in venice.journal.charges}
        log, sensor_log = stack.task_log(DAG_ID, run_id, "generate"), stack.task_log(DAG_ID, run_id, "wait")
        for text in (log, sensor_log):
            before, _, after = text.partition("has ended the wait")
            assert "Waiting in the triggerer for video job" in before
            assert any(id in after for id in ids), text
        assert "Paid and not stored" in log
        stack.restart("triggerer")
        stack.wait_until(lambda: states()["generate"] == "success", 120, "the next try")
        # A task that is cleared while the scheduler ends its run may never be scheduled again.
        assert stack.wait(DAG_ID, run_id) == "failed"
        stack.clear(DAG_ID, run_id, "wait")
        stack.wait_until(lambda: states()["wait"] == "success", 120, "the sensor after a clear")
    assert (tmp_path / "clip.mp4").stat().st_size
    assert len(venice.journal.charges) == 2
