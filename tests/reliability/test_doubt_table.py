"""
What the usage history says to a task in doubt, by what is beside the charge there.

What is expected stands in a table of ``docs/reliability.md``, so that it says what happens and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, clips, run_task

pytestmark = [pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

MODEL, OTHER = "wan-2-7-text-to-video", "ltx-2-5-fast-text-to-video"
PRICE = 0.35
REQUEST: dict[str, Any] = {"model": MODEL, "duration": 5}

#: Seconds within which an entry appears, and when a late one does. Both on the clock of the test.
DELAY, LATE, SPEED = 1.0, 0.8, 240.0

COLUMNS = ("charged, early", "charged, late", "not charged")

#: The simulator's settings for a row, where it has some.
SETTINGS: dict[str, dict[str, Any]] = {
    "clips of this task, other ids": {"usage_ids": "other"},
    "clips of the run, other ids": {"usage_ids": "other"},
    "a product of an unknown name": {"usage_sku": "video-of-{model}"},
}


class Cell(NamedTuple):
    """What is beside the charge, whether there is one, and what the task is to do."""

    beside: str
    column: str
    on_ambiguous: str

    def __str__(self) -> str:
        return ", ".join(self)

    @property
    def is_charged(self) -> bool:
        return self.column != "not charged"


def expected() -> dict[str, dict[str, str]]:
    """Return the page's table: per row and column, the answer."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[text.strip() for text in line.strip("|").split("|")] if line.startswith("|") else [] for line in lines]
    start = next(number for number, row in enumerate(rows) if row[:1] == ["Beside it in the history"])
    assert tuple(rows[start][1:]) == COLUMNS
    end = next(number for number in range(start, len(rows)) if not rows[number])
    return {row[0].strip("`"): dict(zip(COLUMNS, row[1:], strict=True)) for row in rows[start + 2 : end]}


CELLS = [
    Cell(beside, column, on_ambiguous)
    for beside, answers in expected().items()
    for column in answers
    for on_ambiguous in ("fail", "check")
]


@contextmanager
def connected(venice: VeniceSimulator, patch: pytest.MonkeyPatch) -> Iterator[None]:
    for conn_id, key in (("DEFAULT", venice.api_key), ("ADMIN", venice.admin_key)):
        extra = {"retry_attempts": 1, "retry_max_wait": 0.05, "billing_delay": DELAY, "admin_conn_id": "venice_admin"}
        connection = {"conn_type": "venice", "host": venice.base_url, "password": key, "extra": extra}
        patch.setenv(f"AIRFLOW_CONN_VENICE_{conn_id}", json.dumps(connection))
    yield


def task(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    requests = [{**REQUEST, "prompt": prompt} for prompt in prompts]
    return VeniceGenerateVideoOperator(
        task_id="generate", request=requests, output_path=f"{folder}/{{index}}.mp4", **arguments
    )


def put_beside(venice: VeniceSimulator, cell: Cell, folder: Path) -> tuple[list[str], Tries]:
    """Have the history what is beside the charge; return the prompts of the task, and what its run knows."""
    tries = Tries()
    if cell.beside == "text and images":
        venice.charge("zai-org-glm-5-1-llm-output-mtoken", 0.06)
        venice.charge("grok-imagine-image-image-unit", PRICE)
    elif cell.beside.startswith("clips of another model"):
        venice.charge(f"{OTHER}-video-unit", PRICE * (1 if cell.beside.endswith("same price") else 2))
    elif cell.beside == "the same of another program":
        venice.charge(f"{MODEL}-video-unit", PRICE)
    elif cell.beside == "the same model at another price":
        venice.charge(f"{MODEL}-video-unit", 2 * PRICE)
    elif cell.beside == "an error in place of the history":
        venice.fail("usage_history", status=500, times=None)
    elif cell.beside.startswith("clips of the run"):
        sibling = Tries(run_id="sibling")
        run_task(task(folder / "sibling", "sibling"), sibling)
        tries.upstream = {"venice_job": [sibling.xcoms["venice_job"]]}
    elif cell.beside == "a product of an unknown name":
        run_task(task(folder / "sibling", "sibling"), Tries(run_id="sibling"))
    own = ["first", "second"] if cell.beside.startswith("clips of this task") else []
    return [*own, "doubt", "last"], tries


def test_the_page_has_every_row() -> None:
    answers = {answer for row in expected().values() for answer in row.values()}
    assert answers == {"charged", "not charged", "cannot tell"}
    assert set(SETTINGS) <= set(expected())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = expected()[cell.beside][cell.column]
    settings = {"speed": SPEED, "media": "shared", "job_seconds": 5, **SETTINGS.get(cell.beside, {})}
    folder = tmp_path / "clips"
    for place in (folder, folder / "sibling"):
        place.mkdir()
    with VeniceSimulator(**settings) as venice, connected(venice, monkeypatch):
        prompts, tries = put_beside(venice, cell, folder)
        bought = len(venice.journal.charges)
        effect: dict[str, Any] = {"drop_after": True} if cell.is_charged else {"drop_before": True}
        venice.fail("queue", match="doubt", **effect)
        if cell.column == "charged, late":
            venice.usage_delay = LATE * SPEED
        generate = task(folder, *prompts, on_ambiguous=cell.on_ambiguous)
        submits_again = cell.on_ambiguous == "check" and answer == "not charged"
        own = len(prompts) - 2
        if submits_again:
            assert len(run_task(generate, tries)) == len(prompts)
        else:
            with pytest.raises(AirflowFailException, match=rf"By the account's usage history: {answer} \("):
                run_task(generate, tries)
            doubt = tries.xcoms["venice_results"][own]
            assert (doubt["status"], doubt["usage_history"]["answer"]) == ("doubt", answer)
        stored = len(prompts) if submits_again else own
        assert len([path for path in clips(folder) if path.is_file()]) == stored
        # Each clip that is stored was charged once, and the doubt where Venice has accepted it.
        assert len(venice.journal.charges) == bought + stored + cell.is_charged
        assert venice.journal.unread_deletions == []
