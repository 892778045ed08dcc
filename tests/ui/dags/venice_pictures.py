"""DAGs whose clips are in the pictures of the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQuoteVideoOperator
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

with DAG(
    "trailers_by_row", schedule=None, params={"rows": Param([], type="array"), "folder": Param("", type="string")}
):

    @task
    def read_table() -> list[dict[str, str]]:
        """Return the rows of the table."""
        rows: list[dict[str, str]] = get_current_context()["params"]["rows"]
        return rows

    @task
    def publish(clips: Any) -> int:
        """Return how many clips there are."""
        return len(list(clips))

    rows = read_table()
    price = VeniceQuoteVideoOperator(task_id="price", request=rows, max_cost=20)
    clips = VeniceGenerateVideoOperator.partial(
        task_id="clip",
        output_path="{{ params.folder }}/{{ run_id }}-row-{index:02}.mp4",
        retries=2,
    ).expand(request=rows)
    price >> clips
    publish(clips.output)
