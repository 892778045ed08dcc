"""Several triggerers that share a key and know nothing of each other."""

from __future__ import annotations

from benchmarks.inspection import LAWS, Inspection
from benchmarks.night import watch
from benchmarks.polling import COLUMNS, WINDOWS, row
from benchmarks.table import Table


def run() -> list[Table]:
    """Run all nights, one after the other."""
    table = Table(
        "200 clips split at random among processes, over HTTP",
        COLUMNS,
        "As above, with our trigger in each process. Nothing but the server's headers tells a process of the others.",
    )
    least = Inspection(LAWS["log-normal"])
    for processes in (2, 4):
        for window in WINDOWS:
            night = watch("ours", 200, processes=processes, downloads=False, window=window)
            table.add(*row(night, f"{processes} of ours", window, least))
    return [table]
