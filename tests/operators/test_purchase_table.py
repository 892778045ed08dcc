"""
When another clip is bought: the table of ``docs/reliability.md``, cell by cell.

What is expected stands in the table, so that it says what happens and nothing else.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.operators.test_submission import Killed, KilledWhile
from tests.running import Tries, run_task
from tests.transport.bad_servers import closed_port

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

#: The first word of a cell, and how many clips it buys.
BOUGHT = {
    "submits": 1,
    "buys another": 1,
    "polls": 1,
    "submits nothing": 0,
    "buys nothing": 0,
    "takes": 0,
    "reports": 0,
}

REFUSED = (400, 404, 409, 410, 413, 422)
LEFT_NOTHING = (401, 402, 403, 429)


class Site:
    """A simulator, its connection, and a folder."""

    def __init__(self, venice: VeniceSimulator, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.venice, self.folder, self._patch = venice, folder, patch
        self.connect(venice.base_url)

    def connect(self, url: str) -> None:
        """Set where the connection leads."""
        connection = {"conn_type": "venice", "host": url, "password": self.venice.api_key}
        extra = {"retry_attempts": 1, "retry_max_wait": 0.05}
        self._patch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps({**connection, "extra": extra}))

    def queue(self, tries: Tries, **arguments: Any) -> None:
        """Run a try of a queue task; whether it fails is for its caller to see by what was bought."""
        task = VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "deferrable": False, **arguments})
        with contextlib.suppress(Exception):
            run_task(task, tries)

    def generate(self, tries: Tries, **arguments: Any) -> None:
        """Run a try of a generate task likewise."""
        given = {**TEXT, "deferrable": False, "output_path": self.folder / "clip.mp4", **arguments}
        with contextlib.suppress(Exception):
            run_task(VeniceGenerateVideoOperator(task_id="generate", existing="replace", **given), tries)

    def faulty(self, tries: Tries, endpoint: str, **fault: Any) -> None:
        """Run a try of a queue task that waits for its clip, while an endpoint fails."""
        self.venice.fail(endpoint, times=None, **fault)
        self.queue(tries, wait_for_completion=True)
        self.heal()

    def heal(self) -> None:
        """Let nothing more go wrong."""
        requests.delete(f"{self.venice.control_url}/faults", timeout=10).raise_for_status()


Play = Callable[..., None]


def _refused(status: int) -> Play:
    return lambda site, tries: site.faulty(tries, "queue", status=status, headers={"retry-after": "0"})


def _coded(code: str) -> Play:
    return lambda site, tries: site.faulty(tries, "queue", status=503, body={"error": {"code": code}})


def _unconnected(site: Site, tries: Tries) -> None:
    site.connect(f"http://127.0.0.1:{closed_port()}")
    site.queue(tries, validate=False)
    site.connect(site.venice.base_url)


def _killed(site: Site, tries: Tries) -> None:
    with KilledWhile(tries, write=2, after=False), pytest.raises(Killed):
        site.queue(tries)


def _gone(site: Site, tries: Tries) -> None:
    site.venice.fail("download", times=None, expire=True)
    site.generate(tries, **GONE)
    # Within a minute of the submission a 404 is no end.
    tries.store["venice_submission"]["job"]["queued_at"] -= 100


GONE: dict[str, Any] = {"model": "grok-imagine-text-to-video-private", "aspect_ratio": "16:9"}

_REFUND = {"error": {"message": "upstream failed", "credits_refunded": True}}

#: By the beginning of a row: the ways into its state, each with how many clips it buys, and the task that tries again.
ROWS: dict[str, tuple[int, dict[str, Play], Play]] = {
    "none, or one that left nothing": (
        0,
        {
            "none": lambda site, tries: None,
            **{str(status): _refused(status) for status in LEFT_NOTHING},
            **{code: _coded(code) for code in ("MODEL_OFFLINE", "MODEL_AT_CAPACITY")},
            "no connection": _unconnected,
        },
        Site.queue,
    ),
    "refused": (0, {str(status): _refused(status) for status in REFUSED}, Site.queue),
    "in [doubt](#doubt), and no try": (1, {"killed": _killed}, Site.queue),
    "in doubt, and reported": (
        1,
        {"lost": lambda site, tries: site.faulty(tries, "queue", drop_after=True)},
        Site.queue,
    ),
    "paid; the job is running": (1, {"running": Site.queue, "stored": Site.generate}, Site.generate),
    "paid; the job has failed, and the charge": (
        1,
        {"refunded": lambda site, tries: site.faulty(tries, "retrieve", status=422, body=_REFUND)},
        Site.queue,
    ),
    "paid; the job has failed, and Venice": (
        1,
        {
            "failed": lambda site, tries: site.queue(
                tries, prompt="[simulate: fail] a lighthouse", wait_for_completion=True
            )
        },
        lambda site, tries, **options: site.queue(tries, prompt="[simulate: fail] a lighthouse", **options),
    ),
    "paid; finished, and gone": (
        1,
        {"gone": _gone},
        lambda site, tries, **options: site.generate(tries, **GONE, **options),
    ),
}


def expected() -> dict[str, list[str]]:
    """Return the page's table: per row what a retry does, and what the two kinds of clear do."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| The last submission |"))
    table = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        table[first] = [cell.replace("*", "") for cell in cells]
    return table


def bought(cell: str) -> int:
    """Return how many clips a cell buys."""
    word = next(word for word in sorted(BOUGHT, key=len, reverse=True) if cell.startswith(word))
    return BOUGHT[word]


def test_every_row_is_played() -> None:
    named = [row for row in expected() if any(row.startswith(name) for name in ROWS)]
    assert named == list(expected())
    statuses = {name: set(map(int, re.findall(r"\b\d{3}\b", name))) for name in expected()}
    assert statuses[named[0]] == set(LEFT_NOTHING)
    assert statuses[named[1]] == set(REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.usefixtures("venice_connection")
def test_row(name: str, venice_simulator: VeniceSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paid, ways, again = ROWS[name]
    cells = next(cells for row, cells in expected().items() if row.startswith(name))
    site, charges = Site(venice_simulator, tmp_path, monkeypatch), venice_simulator.journal
    for way, play in ways.items():
        left, before = Tries(), len(charges.charges)
        play(site, left)
        assert len(charges.charges) - before == paid, way
        for cell, clears, on_clear in zip(cells, (0, 1, 1), ("resubmit", "reattach", "resubmit"), strict=True):
            tries, before = copy.deepcopy(left), len(charges.charges)
            if clears:
                tries.clear()
            again(site, tries, on_clear=on_clear)
            assert len(charges.charges) - before == bought(cell), f"{way}: {cell}"
