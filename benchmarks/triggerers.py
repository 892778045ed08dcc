"""Several triggerers that share a key and know nothing of each other."""

from __future__ import annotations

from benchmarks.inspection import LAWS, Inspection
from benchmarks.night import run_night
from benchmarks.polling import COLUMNS, WINDOWS, row
from benchmarks.table import Table


def run() -> list[Table]:
    """Run all nights, one after the other."""
    table = Table(
        "200 clips split at random among four processes, over HTTP",
        COLUMNS,
        "As above, with our trigger in each process; the virtual clock has two as well. "
        "Nothing but the server's headers tells a process of the others.",
    )
    least = Inspection(LAWS["log-normal"])
    for window in WINDOWS:
        night = run_night("ours", 200, processes=4, downloads=False, window=window)
        table.add(*row(night, "4 of ours", window, least))
    return [table]
