"""Every mistake is refused when it is said to be, costs what it is said to cost, and is explained in these words."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.mistakes.page import PAGE, render
from tests.mistakes.row import Mistake, Outcome, Scene, make_mistake
from tests.mistakes.rows import ROWS

CASES = [pytest.param(row, id=f"{title}: {row.what}") for title, rows in ROWS.items() for row in rows]


@pytest.mark.parametrize("mistake", CASES)
@pytest.mark.usefixtures("venice_connection")
def test_mistake(
    mistake: Mistake, venice_simulator: VeniceSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = make_mistake(mistake, Scene(venice_simulator, tmp_path, monkeypatch))
    expected = Outcome(mistake.when, mistake.message, mistake.bought, mistake.is_retried, mistake.log)
    assert outcome == expected


def test_no_mistake_stands_twice() -> None:
    names = [row.what for rows in ROWS.values() for row in rows]
    assert len(set(names)) == len(names)


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m tests.mistakes"
