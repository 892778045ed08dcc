"""One clip made by ``venice_text_to_video`` in a real Airflow, and everything that must be true of it."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import AirflowStack

#: The example, its tasks in their order, and its parameter for the folder that the clip goes to.
DAG_ID = "venice_text_to_video"
QUOTE, QUEUE, WAIT, DOWNLOAD = TASKS = ("quote", "queue", "wait", "download")
OUTPUT_DIR = "output_dir"


def connection_to(simulator: VeniceSimulator) -> str:
    """Return the Airflow connection to a simulator, as JSON."""
    return json.dumps({"conn_type": "venice", "host": simulator.base_url, "password": simulator.api_key})


def local_path(path: str) -> Path:
    """Return the file behind what a download task returned as ``path``."""
    return Path(path.removeprefix("file://"))


def make_clip(stack: AirflowStack, simulator: VeniceSimulator, output_dir: Path) -> None:
    """
    Run the example, and check states, logs, money and file.

    :param output_dir: the folder that the clip is to be written to.
    """
    charges, money = len(simulator.journal.charges), simulator.journal.charged
    run_id = stack.trigger(DAG_ID, conf={OUTPUT_DIR: str(output_dir)})
    state = stack.wait(DAG_ID, run_id, timeout=150)
    assert state == "success", f"{stack.failures(DAG_ID, run_id, 50)}\n{stack.diagnose()}"
    logs = {task: stack.task_log(DAG_ID, run_id, task) for task in TASKS}
    assert stack.task_states(DAG_ID, run_id) == dict.fromkeys(TASKS, "success")
    assert "Pausing task as DEFERRED" in logs[WAIT]
    assert "Trigger fired event" in logs[WAIT]

    assert len(simulator.journal.charges) == charges + 1, "a clip is paid once"
    quote = stack.xcom(DAG_ID, run_id, QUOTE)
    assert float(simulator.journal.charged - money) == quote["estimated_cost"], "and costs what was quoted"
    assert not simulator.journal.deletion_requests
    assert not simulator.journal.unread_deletions

    stored = stack.xcom(DAG_ID, run_id, DOWNLOAD)
    clip = local_path(stored["path"])
    assert clip.is_relative_to(output_dir)
    assert clip.stat().st_size == stored["size"]
    with clip.open("rb") as file:
        metadata = read_metadata(file)
    assert metadata.duration
    assert metadata.to_dict() == stored["metadata"]

    assert simulator.api_key not in "".join(logs.values())


def make_clips_in_own_tasks(stack: AirflowStack, simulator: VeniceSimulator, output_dir: Path) -> None:
    """
    Run tasks of a user's own that return what the hook returns, and check that the next ones get it, once paid.

    :param output_dir: the folder that the clips are to be written to.
    """
    charges, made = len(simulator.journal.charges), len(simulator.jobs)
    run_id = stack.trigger("venice_own_tasks", conf={OUTPUT_DIR: str(output_dir)})
    state = stack.wait("venice_own_tasks", run_id, timeout=150)
    assert state == "success", f"{stack.failures('venice_own_tasks', run_id, 50)}\n{stack.diagnose()}"
    assert len(simulator.journal.charges) == charges + 2
    assert len(list(output_dir.glob("*.mp4"))) == 2
    tokens = [job.token for job in simulator.jobs[made:] if job.token]
    assert tokens, "one of the clips is private"
    database = (stack.home / "airflow.db").read_bytes()
    assert not [token for token in tokens if token.encode() in database]
