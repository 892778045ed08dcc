"""Airflow 3.0 has no store for tasks; there Variables remember a submission, through a lost worker as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.environments import RELEASES, environment
from tests.reliability import holding
from tests.reliability.runs import Run, Venue, open_venue

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def old_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """The oldest Airflow, with the simulator."""
    release = RELEASES[0]
    assert release.minor == "3.0"
    with open_venue(tmp_path_factory.mktemp("older"), python=environment(release)) as venue:
        yield venue


@pytest.fixture(scope="module")
def runs(old_venue: Venue) -> dict[str, Run]:
    """Runs that have lost a worker after the note of the job, while it waited, and during the submission."""
    for name in ("noted", "noted-private"):
        holding.asked(old_venue.holds, name, "wait").touch()
    looking = old_venue.simulator.fail("retrieve", hang=120.0, match="<looking>")
    submitted = old_venue.simulator.fail("queue", hang=120.0, match="<submitted>")
    runs = {
        "noted": old_venue.start("deferred", "noted"),
        "noted-private": old_venue.start("deferred", "noted-private", "private"),
        "looking": old_venue.start("in_worker", "looking"),
        "submitted": old_venue.start("deferred", "submitted"),
    }
    is_due = {
        "noted": lambda: not holding.asked(old_venue.holds, "noted", "wait").exists(),
        "noted-private": lambda: not holding.asked(old_venue.holds, "noted-private", "wait").exists(),
        "looking": lambda: looking.times == 0,
        "submitted": lambda: submitted.times == 0,
    }
    for name, run in runs.items():
        old_venue.stack.wait_until(is_due[name], 90, f"{name} to come to its step")
        old_venue.stack.kill_worker(run.dag_id, run.run_id, "generate")
    return runs


@pytest.mark.parametrize("name", ["noted", "noted-private", "looking"])
def test_a_retry_takes_up_the_clip(name: str, runs: dict[str, Run]) -> None:
    run = runs[name]
    assert run.wait() == "success", run.explain()
    assert run.tries("generate") >= 2
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1
    run.venue.check_deletions()


def test_doubt_stops_a_retry(runs: dict[str, Run]) -> None:
    run = runs["submitted"]
    assert run.wait() == "failed"
    assert len(run.charges) == len(run.jobs) == 1
    assert "may have been accepted and charged" in run.log(try_number=2)
    assert run.clips() == []


def test_a_worker_that_was_only_taken_for_lost_buys_nothing(old_venue: Venue) -> None:
    holding.asked(old_venue.holds, "frozen", "check").touch()
    run = old_venue.start("deferred", "frozen")
    run.survive_a_freeze()
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1


def test_no_secret_is_kept_readable(runs: dict[str, Run], old_venue: Venue) -> None:
    for run in runs.values():
        run.wait()
    old_venue.check_secrets()
