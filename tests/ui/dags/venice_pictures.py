"""DAGs whose clips are in the pictures of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.xcoms import RESULTS_KEY

with DAG(
    "product_teasers",
    schedule=None,
    render_template_as_native_obj=True,
    params={"requests": Param([], type="array"), "folder": Param("", type="string")},
):
    VeniceGenerateVideoOperator(
        task_id="make_clips",
        request="{{ params.requests }}",
        output_path="{{ params.folder }}/{{ run_id }}-{index:02}.mp4",
    )

with DAG("nightly_trailers", schedule=None, params={"file": Param("", type="string")}):

    @task
    def make_trailers(path: str) -> None:
        """Write what tasks of some earlier nights have written."""
        get_current_context()["ti"].xcom_push(key=RESULTS_KEY, value=json.loads(Path(path).read_text()))

    make_trailers("{{ params.file }}")
