"""The benchmarks are there, and the documentation has a table of each; their figures are no test."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from benchmarks.__main__ import BENCHMARKS, SAVED
from benchmarks.night import run_night
from benchmarks.table import Table
from tests.system.stack import ROOT


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_can_be_run_and_is_documented(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").run)
    saved = (SAVED / f"{name}.md").read_text(encoding="utf-8")
    assert "| :--- |" in saved
    assert "\nMeasured 20" in saved
    assert f"{{include}} measured/{name}.md" in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_a_name_that_is_none_is_told() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks", "polling", "speed"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert answer.returncode == 2
    assert "there is no benchmark speed" in answer.stderr


def test_a_table_is_markdown() -> None:
    table = Table("Clips", ("Who", "Seconds"), "A note.")
    table.add("ours", 1.234)
    table.add("theirs", None)
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table.add("nobody")
    assert table.to_markdown() == (
        "**Clips**\n\n| Who | Seconds |\n| :--- | ---: |\n| ours | 1.2 |\n| theirs | – |\n\nA note.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("contender", ["ours", "fixed", "oracle"])
def test_a_night_is_counted_to_its_end(contender: str) -> None:
    night = run_night(contender, 3, processes=2, speed=60)
    assert (night.submitted, night.delivered, len(night.late)) == (3, 3, 3)
    assert night.refusals == night.blocks == 0
    assert 0 <= night.mean <= night.p95
    assert night.looks >= 6  # each is found, and fetched
