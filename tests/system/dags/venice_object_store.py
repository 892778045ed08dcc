"""Clips that go to an object storage: step by step, and a list of them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

TEXT = {"model": "wan-2-7-text-to-video", "duration": 5}

with DAG("venice_object_store", schedule=None, params={"output_dir": ""}):
    queue = VeniceQueueVideoOperator(task_id="queue", request={**TEXT, "prompt": "a door ajar"})
    wait = VeniceVideoSensor(task_id="wait", job=queue.output)
    VeniceDownloadVideoOperator(
        task_id="download", job=wait.output, output_path="{{ params.output_dir }}/steps.mp4", manifest=True
    )

    VeniceGenerateVideoOperator(
        task_id="generate",
        request=[{**TEXT, "prompt": prompt} for prompt in ("a key", "a lock", "a hinge")],
        output_path="{{ params.output_dir }}/{index:02}.mp4",
        manifest=True,
    )
