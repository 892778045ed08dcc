"""Mapped clips, each of which is held at another step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from tests.reliability.holding import HeldGenerateVideo

with DAG("cluster_steps", schedule=None, params={"clips": Param([], type="array")}):

    @task
    def list_clips(**context: Any) -> list[dict[str, Any]]:
        """Return what the run is to make."""
        clips: list[dict[str, Any]] = context["params"]["clips"]
        return clips

    HeldGenerateVideo.partial(
        task_id="make",
        duration="5s",
        # What was submitted twice counts twice, and is to be seen.
        max_cost=100,
        output_path="s3://aws_default@clips/{{ dag.dag_id }}/{{ run_id }}/{{ ti.map_index }}.mp4",
        delete_media=True,
        retries=2,
        retry_delay=timedelta(seconds=3),
    ).expand_kwargs(list_clips())
