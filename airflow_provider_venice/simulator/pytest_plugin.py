"""
Fixtures for tests of code that talks to Venice.

Put ``from airflow_provider_venice.simulator.pytest_plugin import venice_connection, venice_simulator`` into
``conftest.py``, or run pytest with ``-p airflow_provider_venice.simulator.pytest_plugin``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_venice.simulator.server import VeniceSimulator

#: Job times of about half a second; finished inline media is still kept for 15 s.
SPEED = 240.0


@pytest.fixture
def venice_simulator() -> Iterator[VeniceSimulator]:
    """A fresh simulator that runs 240 times faster than the vendor."""
    with VeniceSimulator(speed=SPEED, media="shared") as venice:
        yield venice


@pytest.fixture
def venice_connection(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The Airflow connection ``venice_default`` to the simulator; returns its id."""
    connection = {
        "conn_type": "venice",
        "host": venice_simulator.base_url,
        "password": venice_simulator.api_key,
    }
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    return "venice_default"
