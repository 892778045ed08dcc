"""How soon, and with how few looks, finished clips are found: ours, a fixed interval, one who knows the ends."""

from __future__ import annotations

from benchmarks.night import PATIENCE, SPEED, Night, watch
from benchmarks.table import Table

COLUMNS = (
    "Clips",
    "Watched by",
    "Delivered",
    "Retrieves per clip",
    "Mean s from finished to detected",
    "P95 s",
    "Requests refused",
    "of these by the block",
    "Makespan / floor",
)

CONTENDERS = {"ours": "`VeniceVideoTrigger`", "fixed": "every 5 s", "oracle": "who knows the ends"}


def row(night: Night, who: str) -> tuple[object, ...]:
    """Return a row of the table."""
    return (
        night.submitted,
        who,
        night.delivered,
        night.looks / max(1, night.submitted),
        night.mean,
        night.p95,
        night.refusals,
        night.blocks,
        f"{night.makespan / night.floor:.2f}",
    )


def run() -> list[Table]:
    """Run all nights, one after the other."""
    whole = Table(
        "Clips submitted at 40 a minute, watched by one process, downloaded by others",
        COLUMNS,
        f"Over real HTTP; the simulator runs {SPEED:.0f} times faster, with Venice's limits, and all seconds are "
        "the vendor's. Run times are log-normal, median 120 s, sigma 0.25. A retrieve is a look or a download; "
        "refused ones are not counted. The floor is the moment at which the last clip is finished. *Every 5 s* "
        "is one session per clip; a refused one waits as long as the server says. *Who knows the ends* looks "
        f"once after each, at our pace. A night ends after {PATIENCE / 60:.0f} minutes, whatever is missing. What "
        "the package assumes in seconds of its own (a minute's window, 60 s between looks) is divided by "
        f"{SPEED:.0f}, too. One run per row: at 50 clips and fewer, another draw of run times changes P95 by some "
        "seconds.",
    )
    for count in (1, 10, 50, 200, 400):
        for contender, name in CONTENDERS.items():
            whole.add(*row(watch(contender, count), name))
    detection = Table("Detection alone: nothing is downloaded", COLUMNS)
    for count in (50, 200):
        detection.add(*row(watch("ours", count, downloads=False), CONTENDERS["ours"]))
    return [whole, detection]
