"""Reads the example DAGs as Airflow does: each file by itself, without the extra ``media``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "example_dags"
FILES = sorted(EXAMPLES.glob("*.py"))

#: The DAGs that need people, and so Airflow 3.1 with a standard provider of a later day.
ASKING = {"venice_human_approval", "venice_review_clip"}

#: All of the DAGs.
DAG_IDS = ASKING | {
    "venice_alerts",
    "venice_compare_models",
    "venice_daily_social",
    "venice_film",
    "venice_frame_chain",
    "venice_generate_video",
    "venice_image_to_video",
    "venice_nightly_batch",
    "venice_on_video_asset",
    "venice_one_pace",
    "venice_storyboard",
    "venice_table_again",
    "venice_text_to_video",
    "venice_variants",
    "venice_video_asset",
}

_READ = """
import json, runpy, sys
sys.modules.update(av=None, PIL=None)
from airflow.sdk import DAG
dag_ids = []
for file in sys.argv[1:]:
    for value in runpy.run_path(file).values():
        if isinstance(value, DAG):
            value.validate()
            assert value.doc_md and value.doc_md.startswith("\\n###"), value
            dag_ids.append(value.dag_id)
print(json.dumps(dag_ids))
"""


def read_examples(python: Path | str, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """
    Read all files; the last line of the output has the ids of their DAGs.

    :param python: the interpreter whose Airflow reads them.
    :param home: its home.
    :param options: of the interpreter.
    """
    return subprocess.run(
        [python, *options, "-c", _READ, *map(str, FILES)],
        env={"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(home), "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
