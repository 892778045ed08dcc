"""The two transports, made from a few settings that suit a test, and closed after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.transport.settings import Settings
from tests.transport.carriers import API_KEY, CARRIERS, SECRETS, Carrier, Carry


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, its log shows neither the key nor a link."""
    caplog.set_level(logging.DEBUG)
    yield
    formatter = logging.Formatter()
    told = "\n".join(map(formatter.format, caplog.get_records("call")))
    assert not any(secret in told for secret in SECRETS)


@pytest.fixture(params=CARRIERS)
def carry(request: pytest.FixtureRequest) -> Iterator[Carry]:
    """Make a transport of either kind; unless its fields say otherwise, it fails fast and keeps no pause of its own."""
    made: list[Carrier] = []

    def make(base_url: str, **fields: Any) -> Carrier:
        quick: dict[str, Any] = {
            "connect_timeout": 2,
            "read_timeout": 5,
            "retry_attempts": 3,
            "retry_max_wait": 0.05,
            "queue_limit": 6000,
            "retrieve_limit": 6000,
        }
        made.append(CARRIERS[request.param](Settings(API_KEY, base_url, **{**quick, **fields})))
        return made[-1]

    yield make
    for carrier in made:
        carrier.close()


@pytest.fixture(scope="module")
def module_simulator() -> Iterator[VeniceSimulator]:
    with VeniceSimulator(api_key=API_KEY, speed=240, job_seconds=0, media="shared", limits=False) as venice:
        yield venice


@pytest.fixture
def venice(module_simulator: VeniceSimulator) -> VeniceSimulator:
    """A simulator without limits whose jobs are done at once."""
    module_simulator.reset()
    module_simulator.job_seconds = 0
    return module_simulator
