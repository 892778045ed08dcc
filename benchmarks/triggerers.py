"""Several triggerers that share a key and know nothing of each other."""

from __future__ import annotations

from benchmarks.night import watch
from benchmarks.polling import COLUMNS, row
from benchmarks.table import Table


def run() -> list[Table]:
    """Run all nights, one after the other."""
    table = Table(
        "Clips split at random among processes",
        COLUMNS,
        "As above, with our trigger in each process. Nothing but the server's headers tells a process of the others.",
    )
    for count in (50, 200):
        for processes in (1, 2, 4):
            table.add(*row(watch("ours", count, processes=processes), f"{processes} of ours"))
    return [table]
