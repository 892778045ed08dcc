"""More mapped tasks than LocalExecutor can be handed, each of which holds its process until its clip is stored."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

CLIPS = 52

with DAG("restarted", schedule=None, max_active_tasks=64, params={"output_dir": ""}):
    VeniceGenerateVideoOperator.partial(
        task_id="make",
        model="wan-2-7-text-to-video",
        duration=5,
        deferrable=False,
        output_path="{{ params.output_dir }}/{{ ti.map_index }}.mp4",
    ).expand(prompt=[f"pier {number}" for number in range(CLIPS)])
