"""The soak's arithmetic, and a short soak in a real Airflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_venice.simulator.faults import Fault
from tests.reliability.runs import DOUBT
from tests.soak.accounts import Account, Charge, Reason, Totals
from tests.soak.books import ONLY, places_told
from tests.soak.plan import FAULTS, MEANS, draw_plan, fault_of
from tests.system.stack import ROOT, LogEntry

FIRST, SECOND = Charge(100.0, "a"), Charge(200.0, "b")

#: Minutes of the short soak; each kind of act comes at least once.
MINUTES = 2.5


@pytest.mark.parametrize(
    ("account", "reasons"),
    [
        pytest.param(Account("once", [FIRST]), [], id="once"),
        pytest.param(Account("twice", [FIRST, SECOND]), [None], id="twice"),
        pytest.param(Account("x", [FIRST, SECOND], told=[120], cleared=[130]), [Reason.DOUBT], id="told-and-cleared"),
        pytest.param(Account("x", [FIRST, SECOND], told=[120]), [None], id="told-but-not-cleared"),
        pytest.param(Account("x", [FIRST, SECOND], cleared=[130]), [None], id="cleared-but-not-told"),
        pytest.param(Account("x", [FIRST, SECOND], told=[130], cleared=[120]), [None], id="told-after-the-clear"),
        pytest.param(Account("x", [FIRST, SECOND], told=[90], cleared=[95, 130]), [None], id="told-of-one-before"),
        pytest.param(Account("x", [FIRST, SECOND], told=[120], cleared=[210]), [None], id="cleared-too-late"),
        pytest.param(
            Account("x", [FIRST, SECOND, Charge(300.0, "c")], told=[120], cleared=[130]),
            [Reason.DOUBT, None],
            id="thrice",
        ),
        pytest.param(Account("x", [Charge(100.0, "a", refunded_at=150.0), SECOND]), [Reason.REFUND], id="refunded"),
        pytest.param(Account("x", [Charge(100.0, "a", refunded_at=250.0), SECOND]), [None], id="refunded-too-late"),
        pytest.param(
            Account("x", [Charge(100.0, "a", failed_at=150.0), SECOND], cleared=[160]), [Reason.FAILURE], id="failed"
        ),
        pytest.param(
            Account("x", [Charge(100.0, "a", failed_at=150.0), SECOND], cleared=[140]), [None], id="failed-not-cleared"
        ),
    ],
)
def test_each_charge_after_the_first_has_a_reason_or_none(account: Account, reasons: list[Reason | None]) -> None:
    assert account.reasons() == reasons
    assert Totals.of([account], 1, 0).unexplained == reasons.count(None)


@pytest.mark.parametrize(
    ("account", "is_lost"),
    [
        (Account("paid", [FIRST]), True),
        (Account("stored", [FIRST], is_whole=True), False),
        (Account("never bought"), False),
        (Account("in doubt", [FIRST], told=[110]), False),
        (Account("told before", [FIRST], told=[90]), True),
        (Account("failed", [Charge(100.0, "a", failed_at=150.0)]), False),
        (Account("refunded", [Charge(100.0, "a", refunded_at=150.0)]), False),
        (Account("cut", [FIRST], is_cut=True), True),
    ],
)
def test_a_clip_is_lost_when_it_was_paid_and_nothing_explains_that_it_is_missing(
    account: Account, is_lost: bool
) -> None:
    assert account.is_lost is is_lost
    assert Totals.of([account], 1, 0).is_good is not is_lost


LISTED = f"2 of 3 clips did not come. request[0]: a submission {DOUBT}, but; request[1]: not submitted, because of it"


@pytest.mark.parametrize(
    ("message", "map_index", "places"),
    [
        (f"a submission {DOUBT}", -1, [ONLY]),
        (f"a submission {DOUBT}", 2, [2]),
        (LISTED, -1, [0]),
        (f"request[1]: not submitted, because request[0] failed: a submission {DOUBT}", -1, [0]),
        (f"request[1]: a submission {DOUBT}; request[12]: a submission {DOUBT}", -1, [1, 12]),
        ("request[1]: Venice answered 503", -1, []),
    ],
)
def test_a_doubt_is_that_of_the_clip_which_the_message_names(message: str, map_index: int, places: list[int]) -> None:
    entry = LogEntry("generate", map_index, 1, {"event": "Task failed", "error_detail": [error(message)]})
    assert list(places_told(entry)) == places


def error(message: str) -> dict[str, str]:
    """Return how Airflow logs an exception."""
    return {"exc_type": "AirflowFailException", "exc_value": message}


def test_the_seed_reproduces_the_draws() -> None:
    assert draw_plan(7, 600) == draw_plan(7, 600) != draw_plan(8, 600)
    longer = draw_plan(7, 1200)
    assert draw_plan(7, 600) == [act for act in longer if act.at <= 600]


@pytest.mark.parametrize("seed", range(20))
def test_a_short_soak_leaves_nothing_out(seed: int) -> None:
    plan = draw_plan(seed, MINUTES * 60)
    assert {act.kind for act in plan} == set(MEANS)
    assert all(0 <= act.at <= MINUTES * 60 for act in plan)


def test_all_faults_are_the_simulators() -> None:
    plan = draw_plan(1, 36_000)
    drawn = {Fault(**fault_of(act)).endpoint for act in plan if act.kind == "fault"}
    assert drawn == {fault["endpoint"] for fault in FAULTS}


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(1500)
def test_a_short_soak() -> None:
    command = [sys.executable, "-m", "tests.soak", f"--minutes={MINUTES}", "--seed=3"]
    soak = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1400)
    assert soak.returncode == 0, f"{soak.stdout[-30_000:]}\n{soak.stderr[-3000:]}"
    assert "| all |" in soak.stdout
