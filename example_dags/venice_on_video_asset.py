"""
### One DAG makes the clip, another works with it

The producer names an asset as its outlet. When the clip is stored, the asset's event has its path,
its size, its sha256 and what the file says of itself. The consumer is scheduled on that asset:
it checks that the clip is still the one that was stored, and records it in a table.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Param, get_current_context, task

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.storage import existing_video

OUTPUT_DIR = os.environ.get("VENICE_OUTPUT_DIR", "/tmp/venice")

# [START howto_video_asset_producer]
clip = Asset("venice_clip")

with DAG(
    dag_id="venice_video_asset",
    schedule=None,
    doc_md=__doc__,
    tags=["example", "venice"],
    params={
        "prompt": Param("Rain on a window, a blurred city behind it", type="string", minLength=1),
        "output_dir": Param(OUTPUT_DIR, type="string"),
    },
) as producer:
    VeniceGenerateVideoOperator(
        task_id="generate",
        model="wan-2-7-text-to-video",
        prompt="{{ params.prompt }}",
        duration="5s",
        aspect_ratio="16:9",
        max_cost=2.00,
        output_path="{{ params.output_dir }}/{{ run_id }}.mp4",
        # Its event carries path, size, sha256 and metadata of the file.
        outlets=[clip],
    )
# [END howto_video_asset_producer]

SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
    path       TEXT PRIMARY KEY,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL, -- bytes
    duration   REAL,             -- seconds
    resolution TEXT,             -- width x height, pixels
    fps        REAL,
    made_at    TEXT NOT NULL     -- UTC
)
"""

# [START howto_video_asset_consumer]
with DAG(
    dag_id="venice_on_video_asset",
    schedule=[clip],
    doc_md=__doc__,
    tags=["example", "venice"],
    params={"database": Param(f"{OUTPUT_DIR}/clips.sqlite", type="string", description="An SQLite file")},
) as consumer:

    @task
    def check() -> list[dict[str, Any]]:
        """Return one row per clip; fail if a file is not what was announced."""
        rows = []
        # Several, where clips were finished while this DAG was busy or paused.
        for event in get_current_context()["triggering_asset_events"][clip]:
            path, sha256 = event.extra["path"], event.extra["sha256"]
            # Reads the file, wherever it is stored: an object storage will do as well.
            found = existing_video(path)
            if found is None or found.sha256 != sha256:
                raise ValueError(f"{path} is not the clip that was stored: its sha256 should be {sha256}")
            video = found.metadata
            rows.append(
                {
                    "path": path,
                    "sha256": sha256,
                    "size": found.size,
                    "duration": video.duration,
                    "resolution": video.resolution,
                    "fps": video.fps,
                    "made_at": event.timestamp.isoformat(),
                }
            )
        return rows

    @task(retries=3)
    def record(rows: list[dict[str, Any]], database: str) -> None:
        """Write the rows. A retry, or a path that is used again, replaces a row: there is one per file."""
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            connection.execute(SCHEMA)
            connection.executemany(
                "INSERT OR REPLACE INTO clips VALUES (:path, :sha256, :size, :duration, :resolution, :fps, :made_at)",
                rows,
            )

    record(check(), "{{ params.database }}")  # type: ignore[arg-type]
# [END howto_video_asset_consumer]
