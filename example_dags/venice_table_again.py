"""
### A table of prompts that grows, made again every night

Each row has a path of its own, made of a digest of the row. What is there already, of the same request, is
reused: a night costs what is new in the table, and so does a backfill, a run that is repeated, or a second DAG
with the same table. `max_cost` holds for the new rows together.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

with DAG(
    dag_id="venice_table_again",
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompts": Param(
            str(Path(__file__).parent / "data" / "prompts.csv"),
            type="string",
            description="A CSV file, on the workers or in an object storage",
        ),
        "max_cost": Param(10.0, type="number", minimum=0, description="US dollars for the new rows of a night"),
        "output_dir": Param(os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice"), type="string"),
    },
) as dag:
    # [START howto_table_again]
    @task(multiple_outputs=True)
    def read_table(source: str, folder: str) -> dict[str, list[Any]]:
        """Return the rows of the table, and a path for each."""
        text = ObjectStoragePath(source).read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        # A row that is changed is another clip. A row that moves in the table is the same.
        digests = [hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16] for row in rows]
        return {"rows": rows, "paths": [f"{folder}/table/{digest}.mp4" for digest in digests]}

    table = read_table("{{ params.prompts }}", "{{ params.output_dir }}")

    VeniceGenerateVideoOperator(
        task_id="clips",
        model="wan-2-7-text-to-video",
        duration="5s",
        aspect_ratio="16:9",
        request=table["rows"],
        output_path=table["paths"],
        # Nothing that is there is bought again. The manifest beside each clip says of which request it is.
        existing="reuse",
        max_cost="{{ params.max_cost }}",
        # Another run may be making the same clip: a retry finds it.
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
    # [END howto_table_again]
