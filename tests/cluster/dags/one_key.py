"""Clips whose waits all go to one triggerer."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

#: How many.
CLIPS = 8

REQUEST: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": "5s", "aspect_ratio": "16:9"}

# The queue of the tasks is the queue of their triggers as well.
with DAG("one_key", schedule=None, default_args={"queue": "venice"}):
    VeniceGenerateVideoOperator.partial(
        task_id="make", output_path="s3://aws_default@clips/{{ run_id }}/{index}.mp4", **REQUEST
    ).expand(prompt=[f"clip {number} of one key" for number in range(CLIPS)])
