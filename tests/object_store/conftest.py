"""What the tests against a real object store share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.object_store import ObjectStore


@pytest.fixture
def venice_simulator() -> Iterator[VeniceSimulator]:
    """A simulator whose jobs take half a second, and which keeps clips for three minutes."""
    with VeniceSimulator(speed=20, job_seconds=10, media="shared") as venice:
        yield venice


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A running store, and Airflow's connections to it."""
    from tests.object_store.tasks import CONN_ID, IMPATIENT, WRONG_SECRET

    with ObjectStore() as store, pytest.MonkeyPatch.context() as environment:
        for conn_id, uri in {
            CONN_ID: store.connection_uri,
            WRONG_SECRET: store.connection("wrong"),
            IMPATIENT: store.connection(config_kwargs={"retries": {"max_attempts": 0}}),
        }.items():
            environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", uri)
        yield store


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    """The name of a bucket of the test's own."""
    name = f"clips-{secrets.token_hex(4)}"
    object_store.client().create_bucket(Bucket=name)
    return name
