"""The accounts of a storm's clips, from the vendor's journal, Airflow's logs, the folders, and the user's clears."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.simulator.jobs import Job
from tests.reliability.runs import DOUBT, Run
from tests.soak.accounts import Account, Charge, Totals
from tests.soak.storm import DAGS, Clear, Storm
from tests.system.stack import LogEntry

#: The task that buys, in each DAG.
BUYER = {dag_id: "queue" if dag_id.startswith("steps") else "generate" for dag_id in DAGS}

#: Which clip of a list a message is about, and what it says of it.
_TOLD = re.compile(rf"request\[(\d+)\]|{re.escape(DOUBT)}")

#: The place of a run's only clip.
ONLY = -1

#: What a vendor answers about a job that has failed.
_FAILED = (400, 422)


@dataclass
class Journal:
    """What the vendor knows, by prompt."""

    charges: dict[str, list[Charge]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, storm: Storm) -> Journal:
        """Read the journal."""
        jobs = {job.queue_id: job for job in storm.venue.simulator.jobs}
        charged: dict[str, float] = {}
        refunded: dict[str, float] = {}
        failed: dict[str, float] = {}
        for entry in storm.venue.simulator.journal:
            if entry.queue_id is None:
                continue
            if entry.charged:
                charged[entry.queue_id] = entry.time
            if entry.refunded:
                refunded.setdefault(entry.queue_id, entry.time)
            elif entry.endpoint == "retrieve" and entry.status in _FAILED:
                failed.setdefault(entry.queue_id, entry.time)
        journal = cls()
        for queue_id, at in charged.items():
            charge = Charge(at, queue_id, refunded.get(queue_id), failed.get(queue_id))
            journal.charges[jobs[queue_id].prompt].append(charge)
        return journal


def doubts_of(run: Run) -> dict[int, dict[int, float]]:
    """Return when each try has told a doubt first, by the clip's place and the try's number."""
    told: dict[int, dict[int, float]] = defaultdict(dict)
    for entry in run.doubts():
        at = datetime.fromisoformat(str(entry.fields["timestamp"]).replace("Z", "+00:00")).timestamp()
        for place in places_told(entry):
            told[place].setdefault(entry.try_number, at)
    return told


def places_told(entry: LogEntry) -> Iterator[int]:
    """Yield of which clips an entry tells a doubt: of the one that its text has named last."""
    place = entry.map_index if entry.map_index >= 0 else ONLY
    for found in _TOLD.finditer(str(entry)):
        if found[1] is None:
            yield place
        else:
            place = int(found[1])


def clears_of(run: Run, place: int, clears: Sequence[Clear]) -> list[float]:
    """Return when a user has cleared the task that buys a clip."""
    is_mapped = run.dag_id.startswith("mapped")
    return [
        clear.at
        for clear in clears
        if clear.run_id == run.run_id
        and clear.task_id == BUYER[run.dag_id]
        and (not is_mapped or clear.map_index in (-1, place))
    ]


def places_of(run: Run) -> dict[int, tuple[str, Path]]:
    """Return the prompt and the file of each of a run's clips."""
    count, prompt = DAGS[run.dag_id], f"a pier {run.tag}"
    if count == 1:
        return {ONLY: (prompt, run.folder / "clip.mp4")}
    return {place: (f"{prompt} <{place}>", run.folder / f"{place}.mp4") for place in range(count)}


def is_whole(path: Path, jobs: Sequence[Charge], size: int) -> bool:
    """
    Whether a file is the whole clip of one of these jobs.

    :param size: bytes of every clip.
    """
    with path.open("rb") as file:
        try:
            metadata = read_metadata(file)
        except VeniceError:
            return False
        file.seek(0)
        content = file.read()
    return (metadata.duration, len(content)) == (5, size) and any(job.queue_id.encode() in content for job in jobs)


@dataclass
class Books:
    """
    All accounts.

    :param accounts: by DAG.
    :param doubts: how many tries have told a doubt of a clip, by DAG.
    """

    accounts: dict[str, list[tuple[Run, Account]]]
    doubts: dict[str, int]

    @classmethod
    def of(cls, storm: Storm, runs: Mapping[str, Run]) -> Books:
        """Make the accounts of some of a storm's runs."""
        journal = Journal.of(storm)
        books = cls(defaultdict(list), defaultdict(int))
        for run in runs.values():
            told = doubts_of(run)
            books.doubts[run.dag_id] += sum(map(len, told.values()))
            for place, (prompt, path) in places_of(run).items():
                charges = sorted(journal.charges[prompt], key=lambda charge: charge.at)
                is_there = path.exists()
                whole = is_there and is_whole(path, charges, storm.venue.clip_size)
                account = Account(
                    name=run.run_id if place == ONLY else f"{run.run_id}[{place}]",
                    charges=charges,
                    told=sorted(told[place].values()),
                    cleared=clears_of(run, place, storm.clears),
                    is_whole=whole,
                    is_cut=is_there and not whole,
                )
                books.accounts[run.dag_id].append((run, account))
        return books

    def totals(self) -> dict[str, Totals]:
        """Return the sums, by DAG."""
        return {
            dag_id: Totals.of(
                [account for _, account in accounts], len({run.run_id for run, _ in accounts}), self.doubts[dag_id]
            )
            for dag_id, accounts in sorted(self.accounts.items())
        }

    def every(self) -> list[tuple[Run, Account]]:
        """Return all accounts, each with its run."""
        return [both for accounts in self.accounts.values() for both in accounts]

    def bad(self) -> list[tuple[Run, Account]]:
        """Return the accounts with which something is wrong."""
        return [(run, account) for run, account in self.every() if not Totals.of([account], 1, 0).is_good]


def describe(storm: Storm, run: Run, account: Account, lines: int = 60) -> str:
    """
    Return what may explain an account: what was paid and told, what happened, and the ends of logs and journal.

    :param lines: most lines of the run's log.
    """
    jobs: list[Job] = [job for job in run.jobs if job.queue_id in {charge.queue_id for charge in account.charges}]
    ids = {job.queue_id for job in jobs}
    began = min((charge.at for charge in account.charges), default=0.0)
    kills = ("kill the scheduler", "kill the triggerer")
    return "\n".join(
        [
            f"=== {account}",
            f"charges after the first: {[reason and reason.value for reason in account.reasons()]}",
            *(f"job {job.to_dict()}" for job in jobs),
            *(
                f"{_clock(event.at)} {event.kind}: {event.text[:300]}"
                for event in storm.events
                if run.run_id in event.text or (event.at >= began and event.kind in kills)
            ),
            *(str(entry)[:500] for entry in list(storm.venue.stack.log_entries(run.dag_id, run.run_id))[-lines:]),
            *(f"{_clock(entry.time)} {entry}" for entry in storm.venue.simulator.journal if entry.queue_id in ids),
        ]
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
