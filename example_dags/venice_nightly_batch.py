"""
### A table of prompts, every night

One quote limits what the whole night may cost. Then each row of the table goes its own way: queued,
waited for, downloaded. A row that fails does not touch the others, and a clip is fetched as soon as
it is finished, whatever the slowest one does: Venice does not keep clips for long.

Every column is a field of the request; an empty cell takes the default. After a failure, correct
the cause and clear the failed tasks: clearing a download or a wait costs nothing, and a `queue` that
is cleared takes up the clip that it has bought, unless `on_clear="resubmit"` says otherwise.
"""

from __future__ import annotations

import csv
import io
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task, task_group
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

with DAG(
    dag_id="venice_nightly_batch",
    # Without the timedelta, unpausing the DAG within some hours of two o'clock would buy a batch at once.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompts": Param(
            str(Path(__file__).parent / "data" / "prompts.csv"),
            type="string",
            description="A CSV file, on the workers or in an object storage",
        ),
        "max_cost": Param(10.0, type="number", minimum=0, description="US dollars for the whole batch"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_nightly_batch]
    # What a row leaves open.
    defaults: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": "5s", "aspect_ratio": "16:9"}

    @task
    def read_prompts(source: str) -> list[dict[str, Any]]:
        """Return the rows of the table, each a request."""
        text = ObjectStoragePath(source).read_text(encoding="utf-8-sig")  # spreadsheets mark their UTF-8
        return list(csv.DictReader(io.StringIO(text)))

    # Rows may as well come from a database: whatever returns a list of dictionaries will do.
    rows = read_prompts("{{ params.prompts }}")

    # The price of all rows together. Above max_cost nothing is queued at all.
    quote = VeniceQuoteVideoOperator(task_id="quote", request=rows, max_cost="{{ params.max_cost }}", **defaults)

    @task_group
    def clip(request: dict[str, Any]) -> None:
        queue = VeniceQueueVideoOperator(task_id="queue", request=request, **defaults)
        wait = VeniceVideoSensor(task_id="wait", job=queue.output)
        VeniceDownloadVideoOperator(
            task_id="download",
            job=wait.output,
            # The row's number, and the job, so that a row that is bought anew gets a file of its own.
            output_path="{{ params.output_dir }}/{{ run_id }}/{{ ti.map_index }}-"
            "{{ ti.xcom_pull(task_ids='clip.queue', map_indexes=ti.map_index)['queue_id'] }}.mp4",
            # Other tasks can hold up a download until the clip is gone. Make a pool of its own with
            # `airflow pools set venice_downloads 8 "Venice"`, and name it here:
            # pool="venice_downloads",
            retries=3,
        )

    quote >> clip.expand(request=rows)
    # [END howto_nightly_batch]
