"""Every supported minor release of Airflow but the newest, which all the other tests run on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_provider_venice import observability
from airflow_provider_venice.simulator import VeniceSimulator
from tests.compat.environments import RELEASES, ROOT, Release, environment, what_was_added
from tests.distribution.facts import WITH_AIOHTTP, check_what_is_known, known_to_airflow
from tests.examples.reading import ASKING, DAG_IDS, read_examples
from tests.observability.statsd_server import StatsdServer
from tests.system.clips import connection_to, make_clip, make_clips_in_own_tasks
from tests.system.stack import AirflowStack
from tests.system.watched import make_unwatched, watch

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(1200)]

IMPORT_ALL = """
import importlib, json, pkgutil
import airflow, airflow_provider_venice as package
names = [m.name for m in pkgutil.walk_packages(package.__path__, "airflow_provider_venice.")]
names = [name for name in names if ".simulator" not in name]  # it runs beside Airflow, not in it
for name in names:
    importlib.import_module(name)
from airflow_provider_venice import version_compat
for name in version_compat._MODULES:
    getattr(version_compat, name)
print(json.dumps({"airflow": airflow.__version__, "modules": names}))
"""


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.minor)
def release(request: pytest.FixtureRequest) -> Release:
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="module")
def python(release: Release) -> Path:
    return environment(release)


def test_everything_imports(release: Release, python: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [python, "-c", IMPORT_ALL],
        env={"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    known = json.loads(result.stdout.splitlines()[-1])
    assert known["airflow"] == release.version
    assert {"airflow_provider_venice.operators.video", "airflow_provider_venice.triggers.video"} <= {*known["modules"]}


def test_the_examples_are_read(release: Release, python: Path, tmp_path: Path) -> None:
    answer = read_examples(python, tmp_path)
    assert answer.returncode == 0, answer.stderr
    left_out = set() if release.minor == "3.2" else ASKING
    assert {*json.loads(answer.stdout.splitlines()[-1])} == DAG_IDS - left_out


def test_it_was_installed_without_a_change_of_another_package(release: Release, python: Path) -> None:
    assert what_was_added(release.folder) <= {"airflow-provider-venice", *WITH_AIOHTTP}


def test_airflow_knows_it_and_loads_its_plugin_once(python: Path, tmp_path: Path) -> None:
    check_what_is_known(known_to_airflow(tmp_path, python))


def test_the_commands_run(release: Release, python: Path, stack_simulator: VeniceSimulator, tmp_path: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_VENICE_DEFAULT": connection_to(stack_simulator),
    }
    commands = [[str(python), "-m", "airflow_provider_venice"]]
    if release.minor not in ("3.0", "3.1"):
        commands.append([str(python.with_name("airflow")), "venice"])
    for command in commands:
        result = subprocess.run(
            [*command, "balance", "-o", "json"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
        assert [row["tier"] for row in json.loads(result.stdout)] == ["paid"]


def test_a_clip_from_end_to_end(
    release: Release, python: Path, stack_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "example_dags" / "venice_text_to_video.py", dags)
    shutil.copy(ROOT / "tests" / "system" / "dags" / "venice_own_tasks.py", dags)
    shutil.copy(ROOT / "tests" / "system" / "dags" / "watched.py", dags)
    shutil.copy(ROOT / "example_dags" / "venice_alerts.py", dags)
    connections = {"venice_default": connection_to(stack_simulator)}
    with (
        StatsdServer() as statsd,
        AirflowStack(dags, python=python, env=statsd.environment, connections=connections) as stack,
    ):
        make_clip(stack, stack_simulator, tmp_path / "output")
        for name in (observability.CLIPS_BOUGHT, observability.CLIPS_STORED):
            assert statsd.wait_for(name).tags["dag_id"] == "venice_text_to_video"
        # From the triggerer, where Airflow 3.2 and later have a Stats of its own.
        assert statsd.wait_for(observability.RENDER_TIME).tags == {"model": "wan-2-7-text-to-video"}
        stack.wait_for_dag("venice_alerts")  # whose deadline Airflow 3.0 does not know
        make_clips_in_own_tasks(stack, stack_simulator, tmp_path / "own")
        if release.minor == "3.0":  # its UI cannot show the clips
            make_unwatched(stack, tmp_path / "unwatched")
        else:
            watch(stack, stack_simulator, tmp_path / "watched")
        form = stack.connection_form("venice")
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert "poll_interval" in form["extra_fields"]
