"""Private clips, whose links are secrets, on every way that this package offers; and one that fails."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

REQUEST = {"model": "grok-imagine-text-to-video-private", "prompt": "a door ajar", "duration": 5}

with DAG("venice_private", schedule=None, params={"output_dir": ""}):
    queue = VeniceQueueVideoOperator(task_id="queue", request=REQUEST)
    wait = VeniceVideoSensor(task_id="wait", job=queue.output)
    VeniceDownloadVideoOperator(
        task_id="download", job=wait.output, output_path="{{ params.output_dir }}/steps.mp4", delete_media=True
    )

    VeniceGenerateVideoOperator(
        task_id="generate",
        request=REQUEST,
        output_path="{{ params.output_dir }}/generated.mp4",
        deferrable=True,
        delete_media=True,
    )

    # Each fetch of the link breaks, so that a link that has to be shown in a message would be.
    VeniceGenerateVideoOperator(
        task_id="fail",
        request={**REQUEST, "prompt": "[simulate: expire] a door ajar"},
        output_path="{{ params.output_dir }}/never.mp4",
        deferrable=True,
    )
