"""Clips on a cluster: each try may run on another machine, and only the bucket is the same."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    "cluster_clip",
    schedule=None,
    max_active_runs=64,
    params={"prompt": Param("", type="string"), "model": Param("", type="string")},
):
    VeniceGenerateVideoOperator(
        task_id="make",
        model="{{ params.model }}",
        prompt="{{ params.prompt }}",
        duration="5s",
        aspect_ratio="16:9",
        output_path="s3://aws_default@clips/{{ dag.dag_id }}/{{ run_id }}.mp4",
        retries=2,
        retry_delay=timedelta(seconds=3),
    )
