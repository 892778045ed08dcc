"""A run whose progress is watched while it waits in a real triggerer."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack

DAG_ID = "watched"

#: The task instances that wait.
WAITING = [("mapped", 0), ("mapped", 1), ("wait", -1)]


def links(stack: AirflowStack, run_id: str, task_id: str, map_index: int) -> Any:
    """Return the extra links of a task instance, as Airflow's UI asks for them."""
    return stack.get(f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/links", map_index=map_index)[
        "extra_links"
    ]


def watch(stack: AirflowStack, simulator: VeniceSimulator, folder: Path) -> None:
    """
    Run the DAG, watch it while it waits, cancel the waits of another run, and see that the triggerer goes on.

    :param folder: where the clips go.
    """
    run_id = stack.trigger(DAG_ID, conf={"output_dir": str(folder / "first"), "tag": "stuck"})

    def deferred() -> bool:
        states = {(ti["task_id"], ti["map_index"]): ti["state"] for ti in stack.task_instances(DAG_ID, run_id)}
        return all(states.get(place) == "deferred" for place in WAITING)

    stack.wait_until(deferred, 90, "the tasks to wait")
    for task_id, index in WAITING:
        progress = stack.wait_until(
            partial(stack.xcom_or_none, DAG_ID, run_id, task_id, "venice_progress", index),
            60,
            f"the progress of {task_id} {index}",
        )
        ((queue_id, entry),) = progress.items()
        assert entry["status"] in ("queued", "processing")
        assert 0 <= time.time() - entry["seen_at"] < 120
        (result,) = stack.xcom(DAG_ID, run_id, task_id, "venice_results", index)
        assert result["job"]["queue_id"] == queue_id
        assert (result["status"], result["estimated_cost"]) == ("queued", 0.35)
        mapped = f"/mapped/{index}" if index >= 0 else ""
        address = f"/dags/{DAG_ID}/runs/{run_id}/tasks/{task_id}{mapped}/plugin/venice-clip"
        found = links(stack, run_id, task_id, index)["Watch clip"]
        assert found is not None
        assert found.startswith(f"{stack.ui_url}/dags/{DAG_ID}/runs/")
        assert found.replace("%3A", ":").replace("%2B", "+").endswith(address)
    # A user ends the waits; the triggerer has nothing to say of it, and the next run comes through.
    stack.patch(f"dags/{DAG_ID}/dagRuns/{run_id}", {"state": "failed"})
    simulator.finish()
    run_id = _run(stack, folder / "second")
    assert all(links(stack, run_id, task_id, index)["Watch clip"] for task_id, index in (*WAITING, ("queue", -1)))
    log = stack.component_log("triggerer", 100_000)
    assert "out of order" not in log
    assert "unknown request frame" not in log
    assert "Traceback" not in log, log[-4000:]


def make_unwatched(stack: AirflowStack, folder: Path) -> None:
    """
    Run the DAG in an Airflow whose UI cannot show the clips: there are results, and no link and no progress.

    :param folder: where the clips go.
    """
    run_id = _run(stack, folder)
    for task_id, index in WAITING:
        assert links(stack, run_id, task_id, index) == {"Watch clip": None}
        assert stack.xcom_or_none(DAG_ID, run_id, task_id, "venice_progress", index) is None


def _run(stack: AirflowStack, folder: Path) -> str:
    """Run the DAG to its end, and return the run's id."""
    run_id = stack.trigger(DAG_ID, conf={"output_dir": str(folder), "tag": "none"})
    assert stack.wait(DAG_ID, run_id, timeout=150) == "success", stack.failures(DAG_ID, run_id, 50)
    for task_id, index in (*WAITING, ("queue", -1)):
        (result,) = stack.xcom(DAG_ID, run_id, task_id, "venice_results", index)
        assert result["status"] == {"mapped": "stored", "wait": "completed", "queue": "queued"}[task_id]
    return run_id
