"""What the tests of the example DAGs share."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from airflow_provider_venice.api.mp4 import read_metadata
from tests.examples.reading import EXAMPLES

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

#: Task id, and map index for a mapped task, to state.
States = dict[str, "str | None"]
RunDag = Callable[..., "tuple[str, States]"]


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the examples write by default, before any Airflow is started that reads them."""
    folder = tempfile.mkdtemp(prefix="venice-output-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["VENICE_OUTPUT_DIR"] = folder


@pytest.fixture
def run_dag(airflow_database: None, venice_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDag:
    """Run a DAG in this process, its triggers too; returns the run's state and those of its tasks."""
    bundle = {
        "name": "examples",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(EXAMPLES)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))

    def run(dag: DAG, **conf: Any) -> tuple[str, States]:
        dag_run: DagRun = dag.test(run_conf={"output_dir": str(tmp_path / "videos"), **conf})
        instances = dag_run.get_task_instances()
        names = {ti: ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]" for ti in instances}
        return str(dag_run.state), {name: ti.state for ti, name in names.items()}

    return run


def check_clip(path: Path, *, seconds: int, size: tuple[int, int] = (1280, 720)) -> None:
    """
    Check that a file is a whole clip, by its boxes and by decoding every frame.

    :param size: width and height in pixels.
    """
    with path.open("rb") as file:
        metadata = read_metadata(file)
    assert metadata.duration == seconds
    assert metadata.resolution == f"{size[0]}x{size[1]}"
    assert metadata.fps is not None
    with av.open(path) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert len(frames) == seconds * metadata.fps
    assert set(frames) == {size}
