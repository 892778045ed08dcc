"""DAGs whose clips the tests see in Airflow's UI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from airflow_provider_venice.xcoms import RESULTS_KEY

REQUEST: dict[str, Any] = {
    "model": "wan-2-7-text-to-video",
    "prompt": "{{ params.prompt }}",
    "duration": "5s",
    "resolution": "720p",
    "aspect_ratio": "16:9",
}
PARAMS = {"path": Param("", type="string"), "prompt": Param("", type="string")}

# One task for all of a clip's life.
with DAG("clips", schedule=None, params=PARAMS):
    VeniceGenerateVideoOperator(task_id="make", **REQUEST, output_path="{{ params.path }}")

# One task instance for each clip, and one task for a list of them.
with DAG("many", schedule=None, params={"path": Param("", type="string")}):
    few = [{**REQUEST, "prompt": f"One of {words}"} for words in ("the mapped ones, one", "the mapped ones, two")]
    VeniceGenerateVideoOperator.partial(task_id="mapped", output_path="{{ params.path }}-{index}.mp4").expand(
        request=few
    )
    VeniceGenerateVideoOperator(
        task_id="listed",
        request=[{**REQUEST, "prompt": f"One of a list, {words}"} for words in ("one", "two")],
        output_path="{{ params.path }}-listed-{index}.mp4",
    )

# One task for each step.
with DAG("steps", schedule=None, params=PARAMS):
    queue = VeniceQueueVideoOperator(task_id="queue", **REQUEST)
    wait = VeniceVideoSensor(task_id="wait", job=queue.output, deferrable=True)
    VeniceDownloadVideoOperator(task_id="download", job=wait.output, output_path="{{ params.path }}")


@task
def write(path: str) -> None:
    """Write what a task of this package writes of its clips, or anything else."""
    get_current_context()["ti"].xcom_push(key=RESULTS_KEY, value=json.loads(Path(path).read_text()))


# Anybody who writes a DAG may write what he likes. The second one is not for everybody to read.
for dag_id in ("written", "hidden"):
    with DAG(dag_id, schedule=None, params={"file": Param("", type="string")}):
        write("{{ params.file }}")
