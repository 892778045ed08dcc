"""More submissions at once than a rate limit is told to wait for."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceQueueVideoOperator

with DAG("venice_many", schedule=None, params={"prompt": ""}):
    VeniceQueueVideoOperator.partial(
        task_id="queue", model="wan-2-7-text-to-video", prompt="{{ params.prompt }}", validate=False
    ).expand(duration=[5] * 14)
