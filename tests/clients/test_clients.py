"""Clients that others wrote do against the simulator what the page of the documentation says."""

from __future__ import annotations

import pytest

from tests.clients.cases import CASES, Case
from tests.clients.deviations import DEVIATIONS, deviation_of
from tests.clients.environments import CLIENTS, Client, NotInstallable, make_environment
from tests.clients.page import PAGE, render
from tests.clients.runs import Results, run_all

pytestmark = [pytest.mark.slow, pytest.mark.serial, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def missing() -> dict[str, str]:
    """Why a client cannot be installed here, by its name."""
    reasons = {}
    for client in CLIENTS:
        try:
            make_environment(client)
        except NotInstallable as error:
            reasons[client.name] = str(error)
    return reasons


@pytest.fixture(scope="module")
def results(missing: dict[str, str]) -> Results:
    return run_all(client for client in CLIENTS if client.name not in missing)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_fails_only_where_the_reason_is_known(
    client: Client, case: Case, results: Results, missing: dict[str, str]
) -> None:
    if client.name in missing:
        pytest.skip(missing[client.name])
    result, known = results[client.name][case.name], deviation_of(client.name, case.name)
    assert result.works == (known is None), f"{result}; known: {known}"


def test_the_page_is_made_from_the_run(results: Results, missing: dict[str, str]) -> None:
    if missing:
        pytest.skip(f"without {', '.join(missing)} the page cannot be compared")
    assert PAGE.read_text(encoding="utf-8") == render(results), "run make clients"


def test_every_reason_is_about_a_case() -> None:
    names = {case.name for case in CASES}
    assert len(names) == len(CASES)
    assert set(DEVIATIONS) == {client.name for client in CLIENTS}
    assert {case for known in DEVIATIONS.values() for one in known for case in one.cases} <= names
