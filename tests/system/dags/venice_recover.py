"""A clip whose task is ended by a user while it waits, and the task that collects it."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG("venice_recover", schedule=None, params={"output_dir": ""}):
    generate = VeniceGenerateVideoOperator(
        task_id="generate",
        model="grok-imagine-text-to-video-private",
        prompt="[simulate: slow] a door ajar",
        duration=5,
        output_path="{{ params.output_dir }}/generated.mp4",
        deferrable=True,
    )
    recover = VeniceRecoverVideosOperator(
        task_id="recover", output_dir="{{ params.output_dir }}/recovered", trigger_rule="all_done"
    )
    generate >> recover
