"""Tasks whose waits end while no triggerer runs, and that are tried once more."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor

TEXT = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

with DAG(
    "lost_wait",
    schedule=None,
    params={"output_dir": ""},
    default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
):
    VeniceGenerateVideoOperator(
        task_id="generate", request=TEXT, output_path="{{ params.output_dir }}/clip.mp4", timeout=1
    )
    queue = VeniceQueueVideoOperator(task_id="queue", request=TEXT)
    VeniceVideoSensor(task_id="wait", job=queue.output, timeout=1)
