"""``make soak``: hours of runs under kills, faults and clears, and whether all that was paid is there and explained."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.table import Table
from tests.reliability.runs import SETTINGS, Venue, open_venue
from tests.soak.accounts import Totals
from tests.soak.books import Books, describe
from tests.soak.plan import READ_TIMEOUT, draw_plan
from tests.soak.storm import Storm

COLUMNS = (
    "DAG",
    "Runs",
    "Clips asked for",
    "Charges",
    "Charges per clip",
    "Doubts told",
    "Extra charges asked for",
    "Charges after a refund",
    "Clips lost",
    "Files not whole",
    "Charges unexplained",
)

#: Bytes of a clip; a soak stores thousands.
CLIP_SIZE = 150_000

#: The vendor's clock goes so much slower that no clip expires while a soak lasts; its jobs take six seconds of ours.
SPEED, MEDIAN = 0.05, 0.3

#: Airflow keeps what tasks remember in its own way.
SOAKED = {name: value for name, value in SETTINGS.items() if not name.endswith("STATE_STORE_BACKEND")}

#: Seconds that the storm's end may take, beyond its minutes.
AFTERMATH = 5400.0

#: Seconds between two lines of the table.
REPORTED_EVERY = 60.0

#: Accounts that are described in full, where something is wrong.
DESCRIBED = 10


def table_of(books: Books) -> Table:
    """Return the table of a soak, by DAG and in all."""
    table = Table("Soak", COLUMNS)
    totals = books.totals()
    for name, total in [*totals.items(), ("all", sum(totals.values(), Totals()))]:
        table.add(name, total.runs, total.clips, total.charges, total.per_clip, *_counts(total))
    return table


def _counts(total: Totals) -> tuple[int, ...]:
    return total.doubts, total.asked, total.refunds, total.lost, total.cut, total.unexplained


def progress(storm: Storm, began: float) -> str:
    """Return how things are so far; a clip is not lost as long as its run has not succeeded."""
    done, books = storm.succeeded(), Books.of(storm, storm.runs)
    total = sum(books.totals().values(), Totals())
    lost = sum(account.is_lost for run, account in books.every() if run.run_id in done)
    return (
        f"{(time.monotonic() - began) / 60:5.1f} min: {total.runs} runs, {len(done)} of them done, "
        f"{total.clips} clips, {total.charges} charges, {total.doubts} doubts told, {total.asked} charges asked for, "
        f"{total.refunds} after a refund, {lost} lost, {total.cut} not whole, {total.unexplained} unexplained"
    )


def soak(seed: int, seconds: float, folder: Path) -> bool:
    """
    Soak, print the table, and return whether all is well.

    :param seconds: how long the storm lasts.
    :param folder: an empty one, for the clips.
    """
    with open_soaked(folder, seconds + AFTERMATH) as venue:
        storm, began = Storm(venue), time.monotonic()
        next_report = began + REPORTED_EVERY
        for act in draw_plan(seed, seconds):
            while (now := time.monotonic()) < began + act.at:
                storm.keep_up()
                if now >= next_report:
                    print(progress(storm, began), flush=True)
                    next_report = now + max(REPORTED_EVERY, seconds / 30)
                time.sleep(max(0.0, min(0.5, began + act.at - time.monotonic())))
            storm.do(act)
        print(progress(storm, began), flush=True)
        unfinished = storm.calm()
        return report(storm, unfinished)


def report(storm: Storm, unfinished: Sequence[str]) -> bool:
    """
    Print the table, and what may explain whatever is wrong; return whether nothing is.

    :param unfinished: the runs that have not succeeded in the end.
    """
    books, journal = Books.of(storm, storm.runs), storm.venue.simulator.journal
    bad = books.bad()
    for run, account in bad[:DESCRIBED]:
        print(describe(storm, run, account), end="\n\n", flush=True)
    for run_id in unfinished[:DESCRIBED]:
        print(f"=== {run_id} has not succeeded\n{storm.runs[run_id].explain()}", end="\n\n", flush=True)
    print(table_of(books).to_markdown(), flush=True)
    acts = Counter(event.kind for event in storm.events)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(acts.items())), flush=True)
    if journal.unread_deletions or journal.deletion_requests:
        print(f"deleted at the vendor before all was read: {journal.unread_deletions}, {journal.deletion_requests}")
        return False
    missing = [account.name for _, account in books.every() if not account.is_whole]
    if missing:
        print(f"no whole file of {', '.join(missing)}")
    return not bad and not unfinished and not missing


@contextmanager
def open_soaked(folder: Path, lifetime: float) -> Iterator[Venue]:
    """
    Start a simulator that keeps its clips, and an Airflow.

    :param lifetime: seconds after which all is ended whatever happens.
    """
    simulator = {"speed": SPEED, "job_seconds": None, "median": MEDIAN, "balance": 1_000_000, "padding": CLIP_SIZE}
    connection = {"read_timeout": READ_TIMEOUT, "retry_attempts": 3, "retry_max_wait": 2}
    with open_venue(folder, simulator=simulator, connection=connection, settings=SOAKED, lifetime=lifetime) as venue:
        yield venue


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 1 when clips are lost or cut, or when a charge is not explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="how long the storm lasts (default: 120)")
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn; a random one if it is not given")
    given = parser.parse_args(argv)
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(f"Soaking for {given.minutes:g} minutes with SEED={seed}", flush=True)
    # Ends the Airflow and removes its files, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="venice-soak-") as folder:
        is_well = soak(seed, given.minutes * 60, Path(folder))
    print("All is well" if is_well else f"Something is wrong: see above, and repeat with SEED={seed}", flush=True)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
