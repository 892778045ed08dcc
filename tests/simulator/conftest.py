"""A simulator whose jobs end when a test says so, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import Client


@pytest.fixture(scope="module")
def running() -> Iterator[VeniceSimulator]:
    """One simulator for a file of tests, reset before each test."""
    with VeniceSimulator(speed=10, seed=1, media="shared") as venice:
        yield venice


@pytest.fixture
def venice(running: VeniceSimulator) -> VeniceSimulator:
    """A simulator at ten times real speed, with nothing in it; jobs end when a test finishes them."""
    running.job_seconds = None
    running.reset()
    return running


@pytest.fixture
def client(venice: VeniceSimulator) -> Iterator[Client]:
    client = Client(venice)
    with client.session:
        yield client
