"""Two clips that are stored, two that are paid and that no task stores, and a submission whose answer may be lost."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}

with DAG("nightly", schedule=None) as dag:
    VeniceGenerateVideoOperator(
        task_id="stored",
        request=[{**TEXT, "prompt": f"shot {number}"} for number in range(2)],
        output_path="{{ dag_run.conf.output_dir }}/{index}.mp4",
    )
    VeniceQueueVideoOperator(task_id="queued", **TEXT, prompt="a lighthouse in fog")
    VeniceQueueVideoOperator(
        task_id="private", model="grok-imagine-text-to-video-private", duration=5, prompt="a lighthouse at night"
    )
    VeniceGenerateVideoOperator(
        task_id="doubtful",
        **TEXT,
        prompt="a doubtful sea",
        output_path="{{ dag_run.conf.output_dir }}/doubtful.mp4",
    )
