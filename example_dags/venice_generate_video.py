"""
### A clip from a text, in one task

Check, price, queue, wait and download as one task, deferred while it waits. The shortest way to a
clip. Once the clip is paid for, no retry buys it again: it takes up the same clip, waits for it and
downloads it. To see and clear each step by itself, take them apart as `venice_text_to_video` does.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_generate_video",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompt": Param("A heron takes off from a misty lake, in slow motion", type="string", minLength=1),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_generate_video]
    VeniceGenerateVideoOperator(
        task_id="generate",
        model="wan-2-7-text-to-video",
        prompt="{{ params.prompt }}",
        duration="5s",
        # Models that list aspect ratios want one; image-to-video models take none.
        aspect_ratio="16:9",
        resolution="720p",
        # Bought only if the first model refuses the clip before payment, is gone or offline, or its job was refunded.
        fallback_models=["wan-2.6-text-to-video"],
        # US dollars; above it the task fails before anything is queued.
        max_cost=2.00,
        # A path of the worker, or an object storage: s3://aws_default@bucket/clips/…
        output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
    )
    # [END howto_generate_video]
