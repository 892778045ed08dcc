"""LocalExecutor holds up a scheduler, which takes itself for lost and starts again what runs: nothing is paid twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.conftest import ROOT
from tests.system.clips import connection_to
from tests.system.dags.restarted import CLIPS
from tests.system.stack import AirflowStack

DAG_ID = "restarted"

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(480)]


def test_tasks_that_are_started_again_while_they_run_pay_once(tmp_path: Path) -> None:
    with (
        # A clip takes eight seconds.
        VeniceSimulator(speed=20, job_seconds=160, media="shared", balance=1000) as venice,
        AirflowStack(
            dags_folder=[ROOT / "tests" / "system" / "dags"],
            connections={"venice_default": connection_to(venice)},
            env={
                "AIRFLOW__CORE__PARALLELISM": "10",
                # Shorter than a task, as 30 s are beside a clip of two minutes.
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "4",
            },
        ) as stack,
    ):
        run_id = stack.trigger(DAG_ID, conf={"output_dir": str(tmp_path)})
        stack.wait(DAG_ID, run_id, timeout=360)
        # Otherwise nothing was tested: Airflow has mended its executor (apache/airflow#71914), and this test can go.
        assert "orphaned TaskInstances" in (stack.home / "scheduler.log").read_text()
        tasks = stack.task_instances(DAG_ID, run_id)
        again = [task["map_index"] for task in tasks if task["try_number"] > 1]
        had_bought = {i for i in again if "Queued video job" in stack.task_log(DAG_ID, run_id, "make", i)}
        assert had_bought, "of those that were started again, some had bought their clips"
        charges = Counter(job.prompt for job in venice.jobs)
        # A try that was ended in the moment of its submission leaves a doubt; the others have stored their clips.
        doubtful = {task["map_index"] for task in tasks if task["state"] != "success"}
        for index in doubtful:
            tries = next(task["try_number"] for task in tasks if task["map_index"] == index)
            assert "may have been accepted and charged" in stack.task_log(DAG_ID, run_id, "make", index, tries)
        assert not had_bought & doubtful, "the next try takes up what was bought"
    assert set(charges.values()) == {1}, charges
    stored = {int(path.stem) for path in tmp_path.glob("*.mp4") if path.stat().st_size}
    assert stored == set(range(CLIPS)) - doubtful
    assert len(venice.journal.charges) == len(charges) >= len(stored)
