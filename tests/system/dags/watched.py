"""Clips of which somebody sees how they come along: of one task, of mapped ones, and of a sensor."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor

CLIP: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}

with DAG("watched", schedule=None, params={"output_dir": "", "tag": "slow"}, render_template_as_native_obj=True):
    VeniceGenerateVideoOperator.partial(
        task_id="mapped",
        prompt="[simulate: {{ params.tag }}] a pier",
        deferrable=True,
        **CLIP,
    ).expand(output_path=["{{ params.output_dir }}/0.mp4", "{{ params.output_dir }}/1.mp4"])
    queue = VeniceQueueVideoOperator(task_id="queue", prompt="[simulate: {{ params.tag }}] a boat", **CLIP)
    VeniceVideoSensor(task_id="wait", job=queue.output, deferrable=True)
