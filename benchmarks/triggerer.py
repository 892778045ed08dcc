"""Thousands of triggers in a real ``airflow triggerer``, and what they cost its two processes."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from benchmarks.beats import BEAT, BeatsTrigger
from benchmarks.table import Table
from tests.system.stack import ROOT, AirflowStack

#: Seconds of a triggerer that has nothing to do, for all triggers to start, and of the wait that is measured.
_IDLE, _STARTING, _STEADY = 15.0, 200.0, 60.0

#: Seconds from the last start to the wait.
_SETTLING = 10.0

#: Seconds that a ``DateTimeTrigger`` is given beyond that: in its last two minutes it logs every ten seconds, then
#: every second.
_UNTIL_MOMENT = 125.0

#: Most seconds from the end of the waits until the triggerer has resumed all tasks.
_ENDING = 400.0

#: What the triggerer logs when its loop was blocked.
_WARNING = "async thread was blocked for"

PROCESSES = ("runner", "supervisor")


@dataclass(frozen=True)
class Usage:
    """
    What the triggerer's processes have used so far, each in the order of :data:`PROCESSES`.

    :param memory: KiB of memory that is theirs alone.
    :param cpu: seconds of processor time.
    :param at: time on the monotonic clock.
    """

    memory: tuple[float, ...]
    cpu: tuple[float, ...]
    at: float

    def share(self, later: Usage) -> list[float]:
        """Return the share of a processor that each has used until a later time."""
        return [(after - before) / (later.at - self.at) for before, after in zip(self.cpu, later.cpu, strict=True)]


@dataclass(frozen=True)
class Delays:
    """
    How the triggerer's event loop was held up for a while.

    :param warnings: how often its watchdog has warned.
    :param longest: milliseconds of the longest delay.
    :param computing: milliseconds of the longest stretch of computing.
    """

    warnings: int
    longest: float
    computing: float

    def figures(self, when: str) -> dict[str, object]:
        """Return them by their names in the table."""
        return {
            f"{when}: warnings": self.warnings,
            f"{when}: longest delay, ms": self.longest,
            f"{when}: longest computed, ms": self.computing,
        }


class Triggerer(AirflowStack):
    """
    A database and a triggerer, without the rest of Airflow.

    :param capacity: how many triggers it may run.
    :param connections: connection id to URI or JSON.
    """

    def __init__(self, capacity: int, connections: dict[str, str]) -> None:
        super().__init__(
            Path(__file__).parent / "dags",
            env={
                "AIRFLOW__TRIGGERER__CAPACITY": str(capacity + 1),  # the beats
                # As in production.
                "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
                "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
                "PYTHONPATH": str(ROOT),
            },
            connections=connections,
        )
        self._beats = self.home / "beats.txt"
        #: How far the log and the beats were read.
        self._read = {self.home / "triggerer.log": 0, self._beats: 0}

    def _start(self) -> None:
        self._migrate()
        self.run("airflow", "dags", "reserialize")
        self.restart("triggerer")
        self.wait_until(lambda: psutil.Process(self.pid("triggerer")).children(), 60, "the triggerer's runner")
        beats = BeatsTrigger(str(self._beats), time.time() + 3600)
        self.defer([beats.serialize()])
        self.wait_until(self._beats.exists, 60, "the triggerer to run a trigger")

    def defer(self, triggers: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Make a deferred task instance for each trigger."""
        self.run("benchmarks.deferred", stdin=json.dumps(triggers))

    def started(self) -> int:
        """Return how many triggers have started, apart from the beats: each has a log of its own."""
        return sum(1 for _ in (self.home / "logs").rglob("*.trigger.*.log")) - 1

    def waiting(self) -> int:
        """Return how many task instances wait, apart from the beats."""
        with closing(sqlite3.connect(self.database, timeout=30)) as database:
            (count,) = database.execute("select count(*) from task_instance where state = 'deferred'").fetchone()
        return int(count) - 1

    def usage(self) -> Usage:
        """Return what its processes have used so far: the runner has the event loop, the supervisor the database."""
        supervisor = psutil.Process(self.pid("triggerer"))
        members, at = (*supervisor.children(), supervisor), time.monotonic()
        assert len(members) == len(PROCESSES)
        times = [process.cpu_times() for process in members]
        return Usage(
            tuple(process.memory_full_info().uss / 1024 for process in members),
            tuple(spent.user + spent.system for spent in times),
            at,
        )

    def usage_over(self, seconds: float) -> tuple[Usage, Usage]:
        """Return what its processes have used before and after so many seconds."""
        before = self.usage()
        time.sleep(seconds)
        return before, self.usage()

    def delays(self) -> Delays:
        """Return how its event loop was held up since the last call."""
        log, beats = (self._unread(path) for path in self._read)
        late = [tuple(map(float, line.split())) for line in beats.splitlines()]
        return Delays(len(re.findall(_WARNING, log)), *(max((beat[n] for beat in late), default=0.0) for n in (0, 1)))

    def _unread(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self._read[path])
            text = file.read()
        self._read[path] += len(text)
        return text.decode(errors="replace")


def ours(jobs: Sequence[dict[str, Any]], deadline: float) -> list[tuple[str, dict[str, Any]]]:
    """Return a trigger for each job, as its row has it."""
    path = "airflow_provider_venice.triggers.video.VeniceVideoTrigger"
    return [(path, {"jobs": [job], "deadline": deadline}) for job in jobs]


def peers(jobs: Sequence[dict[str, Any]], deadline: float) -> list[tuple[str, dict[str, Any]]]:
    """Return Airflow's own trigger as often, which waits for a time."""
    moment = datetime.fromtimestamp(deadline + _UNTIL_MOMENT, timezone.utc).isoformat()
    return [("airflow.providers.standard.triggers.temporal.DateTimeTrigger", {"target_time": moment})] * len(jobs)


def measure(kind: str, jobs: Sequence[dict[str, Any]], connections: dict[str, str]) -> dict[str, object]:
    """
    Let a triggerer wait, from the start of all triggers to the end of all; return the figures of it by their names.

    :param kind: ``ours``, or any other for the peer.
    :param jobs: one for each trigger.
    :param connections: connection id to URI or JSON.
    """
    triggerer, rows, ending = Triggerer(len(jobs), connections), peers, _UNTIL_MOMENT
    if kind == "ours":
        rows, ending = ours, 0.0
    with triggerer:
        unused = triggerer.usage_over(_IDLE)
        triggerer.delays()
        deadline = time.time() + _STARTING + _SETTLING + _STEADY
        triggerer.defer(rows(jobs, deadline))
        began = time.monotonic()
        triggerer.wait_until(lambda: triggerer.started() == len(jobs), _STARTING, "all triggers to start")
        took = time.monotonic() - began
        time.sleep(_SETTLING)
        figures = triggerer.delays().figures("Start")
        used = triggerer.usage_over(_STEADY)
        figures |= triggerer.delays().figures("Wait")
        time.sleep(max(0.0, deadline + ending - time.time()))
        triggerer.delays()
        triggerer.wait_until(lambda: triggerer.waiting() == 0, _ENDING, "all waits to end")
        figures |= triggerer.delays().figures("End")
    costs: dict[str, object] = {"Triggers": len(jobs)}
    for n, name in enumerate(PROCESSES):
        share = used[0].share(used[1])[n] - unused[0].share(unused[1])[n]
        costs[f"{name}: KiB of memory per trigger"] = (used[1].memory[n] - unused[1].memory[n]) / len(jobs)
        costs[f"{name}: CPU ms per trigger and minute"] = 60_000 * share / len(jobs)
    return {**costs, "Seconds until all have started": took, **figures}


def run(jobs: Sequence[dict[str, Any]], connections: dict[str, str]) -> Table:
    """
    Measure our trigger and Airflow's own.

    :param jobs: one for each trigger.
    :param connections: connection id to URI or JSON.
    """
    found = [measure(kind, jobs, connections) for kind in ("ours", "peer")]
    table = Table("Waiting clips in Airflow's triggerer", ("", "`VeniceVideoTrigger`", "`DateTimeTrigger`"), _NOTE)
    for name in found[0]:
        table.add(name, *(figures[name] for figures in found))
    return table


_NOTE = (
    "Each trigger is that of a deferred task instance, in the database of a real `airflow triggerer` with a capacity "
    "as large and Airflow's defaults otherwise. The *runner* is its process with the event loop, the *supervisor* the "
    "one that reads and writes the database and the logs; what both use without triggers is subtracted. The figures of "
    f"the wait are those of {_STEADY:.0f} s. *Warnings* are the lines of the triggerer's log that say that its loop "
    "was blocked: its watchdog sleeps for 100 ms, and warns when that takes 200. The delays are those of a trigger "
    f"that sleeps for {1000 * BEAT:.0f} ms again and again; *computed* is for how long of a delay the loop had a "
    "processor. For the rest it waited: for the supervisor, which takes the lines of the logs, or for a processor."
)
