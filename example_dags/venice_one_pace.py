"""
### One pace for one key, with several triggerers

Each triggerer keeps a key's rate limit for itself. Where hundreds of submissions wait at once in several triggerers,
Venice refuses some of them, which costs nothing but time. From Airflow 3.2 on, the queue of a task is the queue of its
waits, too: with `[triggerer] queues_enabled`, all that waits for the key goes to the triggerer of that queue.

Start a triggerer for each queue in use, and let the workers listen to them as well:

    airflow triggerer --queues venice
    airflow triggerer --queues default
    airflow celery worker --queues default,venice
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_one_pace",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompts": Param(["A mill in the wind", "A ferry at dusk", "A tram in the rain"], type="array"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:

    @task
    def list_prompts(**context: Any) -> list[str]:
        """Return what is to be seen in the clips."""
        return list(context["params"]["prompts"])

    # [START howto_one_pace]
    VeniceGenerateVideoOperator.partial(
        task_id="generate",
        # The queue of all tasks that use the key.
        queue="venice",
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="16:9",
        output_path="{{ params.output_dir }}/{{ run_id }}/{{ ti.map_index }}.mp4",
        retries=2,
    ).expand(prompt=list_prompts())
    # [END howto_one_pace]
