"""
### The shots of a storyboard, in one task

A list of requests in one task: all are checked and priced together before the first is bought, waited
for in one trigger, and stored side by side. A shot that fails does not hide the others: they are
stored, and the task then fails and names those that are missing. Clear it to buy those, and only those,
again. Where every row is to have states, retries and logs of its own, map a task over the rows, as
`venice_nightly_batch` does.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_storyboard",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "place": Param("a lighthouse on a cliff", type="string", minLength=1),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_storyboard]
    VeniceGenerateVideoOperator(
        task_id="shots",
        # What all have in common; a request may say otherwise.
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="16:9",
        request=[
            {"prompt": "Wide shot of {{ params.place }} at dawn"},
            {"prompt": "Close-up of a hand on a brass lamp, {{ params.place }}"},
            {"prompt": "{{ params.place }} from above, the sea in storm", "duration": "10s"},
        ],
        # US dollars for all of them.
        max_cost=5.00,
        # {index} is the place in the list, from 0.
        output_path="{{ params.output_dir }}/{{ run_id }}/shot-{index:02}.mp4",
    )
    # [END howto_storyboard]
