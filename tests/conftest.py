"""What all tests share: an Airflow home that is thrown away, the simulator, and a real Airflow on demand."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from airflow_provider_venice.simulator import VeniceSimulator
    from tests.system.stack import AirflowStack

pytest_plugins = ["airflow_provider_venice.simulator.pytest_plugin"]

ROOT = Path(__file__).parents[1]

# How long an example takes says more of the machine than of the code; each test has its time-out.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Point Airflow at a home of its own; it reads these when it is first imported."""
    assert "airflow" not in sys.modules, "Airflow was imported before its home was chosen"
    home = tempfile.mkdtemp(prefix="airflow-home-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ.update(
        AIRFLOW_HOME=home,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        # A trigger's event waits for the worker's heartbeat; there is no worker in this process.
        AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL="-1",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for Airflow's database or processes is slow and runs serially; processes take time to start."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "airflow_database" in fixtures:
            for mark in (pytest.mark.slow, pytest.mark.serial):  # each process would need a database of its own
                item.add_marker(mark)
            # Airflow's time-out for the import of a DAG file uses the same signal, and clears it.
            item.add_marker(pytest.mark.timeout(120, method="thread"))
        if "airflow_stack" in fixtures:
            for mark in (pytest.mark.slow, pytest.mark.system):
                item.add_marker(mark)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.serial)


@pytest.fixture
def venice_simulator(request: pytest.FixtureRequest) -> Iterator[VeniceSimulator]:
    """The simulator of the plugin; ``@pytest.mark.simulator(job_seconds=10)`` gives it other settings."""
    from airflow_provider_venice.simulator import VeniceSimulator
    from airflow_provider_venice.simulator.pytest_plugin import SPEED

    marker = request.node.get_closest_marker("simulator")
    settings_given = {} if marker is None else marker.kwargs
    with VeniceSimulator(**{"speed": SPEED, "media": "shared", **settings_given}) as venice:
        yield venice


#: A simulator that keeps clips for three minutes, for tests that start a process or run tasks one by one.
PATIENT = pytest.mark.simulator(speed=20, job_seconds=10)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make the database that an Airflow inside the test process uses, as ``dag.test()`` does."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=180)


@pytest.fixture(scope="session")
def stack_simulator() -> Iterator[VeniceSimulator]:
    """The simulator that ``venice_default`` of :func:`airflow_stack` leads to; a job takes seven seconds."""
    from airflow_provider_venice.simulator import VeniceSimulator

    with VeniceSimulator(speed=20, job_seconds=140, media="shared") as simulator:
        yield simulator


@pytest.fixture(scope="session")
def airflow_stack(stack_simulator: VeniceSimulator) -> Iterator[AirflowStack]:
    """A real Airflow with the example DAGs and those of the system tests."""
    from tests.system.clips import connection_to
    from tests.system.stack import AirflowStack

    with AirflowStack(
        dags_folder=[ROOT / "example_dags", ROOT / "tests" / "system" / "dags"],
        connections={"venice_default": connection_to(stack_simulator)},
    ) as stack:
        yield stack
