"""Arguments are checked when the DAG is parsed, where rendering cannot change them; the rest is left to the run."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.sensors.video import VeniceVideoSensor

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}


def generate(**arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(task_id="make", **{**TEXT, "output_path": "/data/clip.mp4", **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_cost": "{{ params.most }}", "min_balance": "{% if x %}1{% endif %}"},
        {"duration": "{{ params.seconds }}"},
        {"model": "{{ params.model }}"},
        {"model": None, "request": "{{ params.request }}"},
        {"model": None, "request": {"model": "{{ params.model }}", "seed": "{{ params.seed }}"}},
        {"duration": 0, "request": {"duration": "{{ params.seconds }}"}},
        {"duration": 0, "request": {"duration": 5}},
        {"request": [{"duration": "{{ params.seconds }}"}], "output_path": "/data/{{ ds }}/{index}.mp4"},
        {"request": [{}, {}], "output_path": "{{ params.paths }}"},
        {"request": VideoRequest(**TEXT)},
        {"output_path": Path("/data/clip.mp4")},
        {"output_path": ObjectStoragePath("file:///data/clip.mp4")},
        {"output_path": "{{ params.folder }}/"},
        {"venice_conn_id": "{{ params.conn }}"},
        {"timeout": 0.5, "poll_interval": None},
        {"image": "{{ params.image }}", "model": "wan-2-7-image-to-video"},
        {"seed": "7", "audio": "true"},
    ],
)
def test_what_rendering_may_change_is_left_to_the_run(arguments: dict[str, Any]) -> None:
    generate(**arguments)


def test_outputs_of_tasks_are_left_to_the_run() -> None:
    @task
    def anything() -> Any: ...

    with DAG("outputs", schedule=None):
        value = anything()
        generate(max_cost=value, request=value)
        VeniceDownloadVideoOperator(task_id="download", job=value, output_path=value)
        VeniceVideoSensor(task_id="wait", job=value)
        VeniceGenerateVideoOperator.partial(task_id="mapped", model="wan", output_path=value).expand(request=value)


def test_an_error_names_the_task_and_the_line_of_the_dag_file() -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with DAG("wrong", schedule=None), pytest.raises(VeniceRequestError) as caught:
        VeniceQueueVideoOperator(task_id="queue", **TEXT, max_cost=-1)
    assert str(caught.value) == (
        f"max_cost is -1; give US dollars, such as 2.50 (task 'queue', {__file__}, line {line})"
    )
    assert caught.value.fields == {"max_cost": "not an amount"}


def test_a_default_argument_is_checked_as_well() -> None:
    with (
        DAG("wrong", schedule=None, default_args={"on_clear": "retry"}),
        pytest.raises(VeniceRequestError, match="retry"),
    ):
        generate()


def test_an_unknown_argument_is_refused_by_airflow() -> None:
    with pytest.raises(TypeError, match="promt"):
        generate(promt="a lighthouse")


def test_a_mapped_argument_is_final_when_the_task_runs() -> None:
    with DAG("mapped", schedule=None):
        mapped = VeniceGenerateVideoOperator.partial(task_id="make", **TEXT, output_path="/data/a.mp4").expand(
            max_cost=[1, -1]
        )
    assert vars(mapped.unmap({"max_cost": 1}))["max_cost"] == 1
    with pytest.raises(AirflowFailException, match=r"max_cost is -1; give US dollars, such as 2.50 \(task 'make'\)"):
        mapped.unmap({"max_cost": -1})


def test_a_subclass_may_set_the_model_later() -> None:
    class Fixed(VeniceGenerateVideoOperator):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.model = "wan-2-7-text-to-video"

    Fixed(task_id="make", prompt="a lighthouse", output_path="/data/clip.mp4")


def test_checking_many_tasks_is_cheap() -> None:
    with DAG("many", schedule=None):
        begin = time.perf_counter()
        for number in range(300):
            VeniceGenerateVideoOperator(task_id=f"make_{number}", **TEXT, output_path=f"/data/{number}.mp4")
        each = (time.perf_counter() - begin) / 300
    assert each < 0.02


def test_a_dag_file_with_a_wrong_argument_is_one_import_error(tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "clips.py").write_text(
        "from airflow.sdk import DAG\n"
        "from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator\n"
        "with DAG('clips', schedule=None):\n"
        "    VeniceGenerateVideoOperator(\n"
        "        task_id='make', model='wan', prompt='p', output_path='/data/', max_cost=1\n"
        "    )\n"
    )
    bag = DagBag(dag_folder=str(tmp_path), bundle_path=tmp_path, bundle_name="test")
    (error,) = bag.import_errors.values()
    last = error.strip().splitlines()[-1]
    assert "output_path '/data/' names a directory; add a file name, such as '/data/clip.mp4' (task 'make', " in last
    assert "clips.py, line 4)" in last


@pytest.mark.parametrize(("setting", "expected"), [(None, True), ("True", True), ("False", False)])
def test_the_deployment_decides_who_waits_where_it_says_so(
    setting: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    job = {"model": "m", "queue_id": "q"}

    def all_of(**given: Any) -> list[Any]:
        return [
            generate(**given),
            VeniceQueueVideoOperator(task_id="queue", **TEXT, **given),
            VeniceDownloadVideoOperator(task_id="download", job=job, output_path="/data/clip.mp4", **given),
            VeniceVideoSensor(task_id="wait", job=job, **given),
        ]

    assert [task.deferrable for task in all_of()] == [expected] * 4
    for given in (True, False):
        assert [task.deferrable for task in all_of(deferrable=given)] == [given] * 4


@pytest.mark.slow
def test_the_file_that_airflow_writes_does_not_count(tmp_path: Path) -> None:
    """Airflow writes ``default_deferrable = false`` into the airflow.cfg of every new installation."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    environment["AIRFLOW_HOME"] = str(tmp_path)
    code = (
        "from airflow.configuration import write_default_airflow_configuration_if_needed as write; write();"
        "from airflow_provider_venice.generation.arguments import default_deferrable; print(default_deferrable())"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["True"], ran.stderr
    assert "\ndefault_deferrable = false" in (tmp_path / "airflow.cfg").read_text().lower()
