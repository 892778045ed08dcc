"""At every step a user clears the task, or marks it failed and clears it later: nobody pays twice unasked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import psutil
import pytest

from tests.reliability import holding
from tests.reliability.runs import Venue
from tests.reliability.steps import STEPS, Condition, Held, Key, Story, begin, name_of, play

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(560)]

#: Seconds after which the vendor answers a worker that has been replaced meanwhile.
LATE = 12.0

DOUBTFUL = [name for name, step in STEPS.items() if step.is_doubtful]

#: What the user does, and to what.
Interruption = tuple[str, Key]


def rows(act: str, dag_id: str, steps: list[str], place: int = -1, odd: str = "private") -> list[Interruption]:
    """Return what an act makes of steps, with both kinds of delivery by turns."""
    kinds = {True: odd, False: "inline" if odd == "private" else "private"}
    return [(act, (dag_id, step, kinds[list(STEPS).index(step) % 2 == 1], place)) for step in steps]


LATER = [step for step in STEPS if step != "pricing"]
IN_WORKER = [step for step in LATER if step != "looking"]

#: ``clear`` is a clear of the task that runs; ``fail`` marks it failed, and clears it when its worker has gone;
#: ``replace`` does so while its worker is frozen, and lets that go on when another has done the work.
INTERRUPTIONS: list[Interruption] = [
    *rows("clear", "deferred", list(STEPS)),
    *rows("fail", "deferred", LATER, odd="inline"),
    *rows("replace", "deferred", ["pricing", *IN_WORKER]),
    *rows("clear", "listed", LATER, 1),
    *rows("fail", "listed", list(STEPS), 1, odd="inline"),
    *rows("replace", "listed", ["pricing", "noting-the-intent", *DOUBTFUL, "noted", "downloading", "deleted"], 1),
    *rows("clear", "mapped", list(STEPS)[::2], 1),
    *rows("fail", "mapped", list(STEPS)[1::2], 1),
    *rows("replace", "mapped", ["submitted", "downloading"], 1),
    *rows("clear", "listed", ["submitted"], 0),
    *rows("clear", "listed", DOUBTFUL, 2),
    *rows("fail", "listed", ["submitted"], 2),
    *(row for act in ("clear", "fail", "replace") for row in rows(act, "in_worker", ["noting-the-job", "looking"])),
    *rows("clear", "steps", ["submitted", "downloading"]),
    *rows("fail", "steps", ["noting-the-job", "downloading"], odd="inline"),
]


@dataclass(frozen=True)
class Ending:
    """How a run has ended."""

    state: str
    charges: int
    clips: int
    is_doubt_told: bool


@dataclass
class Interrupted:
    """
    A task that a user has interrupted.

    :param ending: how its run has ended at first; in doubt, where that cannot be helped.
    """

    held: Held
    ending: Ending | None = None

    def clear(self) -> Iterator[Condition]:
        """Clear it at its step."""
        yield self.held.is_there
        self.held.clear()
        yield from self._settle()

    def fail(self) -> Iterator[Condition]:
        """Mark it failed at its step, and clear it later."""
        yield self.held.is_there
        worker = self._worker()
        self.held.mark_failed()
        yield self.held.run.has_ended
        yield lambda: not any(process.is_running() for process in worker[1:])
        self.held.clear()
        yield from self._settle()

    def replace(self) -> Iterator[Condition]:
        """Freeze its worker at its step, have another do the work, and let the first go on."""
        yield self.held.is_there
        run, is_answered = self.held.run, time.monotonic() + LATE
        worker = self._worker()
        for process in worker:
            process.suspend()
        self.held.mark_failed()
        yield run.has_ended
        self.held.clear()
        yield lambda: run.has_ended() and time.monotonic() > is_answered
        # It has seconds until Airflow ends it, and whatever it waited for is there.
        holding.release(run.venue.holds, run.run_id).touch()
        for process in worker:
            process.resume()
        yield lambda: not worker[1].is_running()
        yield from self._settle()

    def _worker(self) -> tuple[psutil.Process, ...]:
        is_in_triggerer = self.held.step is STEPS["looking"] and self.held.run.dag_id != "in_worker"
        return () if is_in_triggerer else self.held.worker()

    def _settle(self) -> Iterator[Condition]:
        """Wait for the end; where that is a doubt, the user clears the task once more."""
        run = self.held.run
        yield run.has_ended
        self.ending = Ending(run.state(), len(run.charges), len(run.clips()), self.held.has_told_the_doubt())
        if self.held.step.is_doubtful:
            run.venue.stack.clear_failed(run.dag_id, run.run_id)
            yield run.has_ended


def interrupt(venue: Venue, act: str, key: Key, into: dict[Interruption, Interrupted]) -> Story:
    """Start the run of a key, which a user is going to interrupt."""
    held = begin(venue, key, story=act, held_for=LATE) if act == "replace" else begin(venue, key, story=act)
    interrupted = into[act, key] = Interrupted(held)
    acts = {"clear": interrupted.clear, "fail": interrupted.fail, "replace": interrupted.replace}
    return Story(held, acts[act]())


@pytest.fixture(scope="module")
def interrupted(venue: Venue) -> dict[Interruption, tuple[Story, Interrupted]]:
    """All interruptions, after the event."""
    into: dict[Interruption, Interrupted] = {}
    stories = play(venue, {(act, key): partial(interrupt, venue, act, key, into) for act, key in INTERRUPTIONS})
    return {row: (story, into[row]) for row, story in stories.items()}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=name_of((row[0], *row[1])).removesuffix("--1")) for row in INTERRUPTIONS]
)
def test_an_interrupted_task(row: Interruption, interrupted: dict[Interruption, tuple[Story, Interrupted]]) -> None:
    story, outcome = interrupted[row]
    held, run, step = outcome.held, outcome.held.run, outcome.held.step
    assert story.is_over, f"{story.error!r}, stopped at its wait number {story.waits}\n{run.explain()}"
    charged, stored = held.count_in_doubt() if step.is_doubtful else (held.count, held.count)
    state = "failed" if step.is_doubtful else "success"
    assert outcome.ending == Ending(state, charged, stored, step.is_doubtful), run.explain()

    # Whoever clears a task in doubt, of which its log has told, asks for another clip; nobody else gets one.
    assert run.state() == "success", run.explain()
    extra = 1 if step.is_doubtful and step.is_paid else 0
    assert len(run.charges) == held.count + extra
    assert len({job.prompt for job in run.jobs}) == len(run.clips()) == held.count
    run.venue.check_deletions()


def test_no_secret_is_kept_readable(interrupted: dict[Interruption, tuple[Story, Interrupted]], venue: Venue) -> None:
    assert interrupted
    venue.check_secrets()
