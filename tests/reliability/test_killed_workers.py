"""A worker is lost at every step of a clip's life: it is paid once, and whole in the end, or the doubt is told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_venice.simulator import Fault
from tests.reliability import holding
from tests.reliability.runs import CLIP_SIZE, Run, Venue

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(420)]

#: Seconds for which the vendor's answer is held back; the worker is killed long before.
HELD = 120.0

#: Seconds within which a run has to come to its step.
PATIENCE = 90.0

#: Runs that are on their way to their step at the same time.
SIDE_BY_SIDE = 8

#: DAG, step, kind of delivery, map index or place in the list.
Key = tuple[str, str, str, int]

#: A look at a finished inline clip is an answer with media, so these count looks and downloads only.
WHOLE = {"truncate": CLIP_SIZE}
HALF = {"truncate": CLIP_SIZE // 2}


@dataclass(frozen=True)
class Step:
    """
    A moment in a clip's life.

    :param moment: where :mod:`tests.reliability.holding` holds the task.
    :param inline: the vendor's faults, the last of which holds the task, for models that deliver inline.
    :param private: the same for models that deliver by a private link.
    :param is_paid: whether the clip is charged in the end.
    :param is_doubtful: whether nobody can know that.
    """

    moment: str | None = None
    inline: tuple[dict[str, Any], ...] = ()
    private: tuple[dict[str, Any], ...] = ()
    is_paid: bool = True
    is_doubtful: bool = False


def everywhere(*faults: dict[str, Any], is_paid: bool = True, is_doubtful: bool = False) -> Step:
    """Return a step that is the same for all models."""
    return Step(inline=faults, private=faults, is_paid=is_paid, is_doubtful=is_doubtful)


STEPS = {
    "pricing": everywhere({"endpoint": "quote", "hang": HELD}),
    "noting-the-intent": Step("intent"),
    "submitting": everywhere({"endpoint": "queue", "hang": HELD, "status": 503}, is_paid=False, is_doubtful=True),
    "submitted": everywhere({"endpoint": "queue", "hang": HELD}, is_doubtful=True),
    "noting-the-job": Step("job", is_doubtful=True),
    "noted": Step("wait"),
    "looking": everywhere({"endpoint": "retrieve", "hang": HELD}),
    "asking-for-the-clip": Step(
        inline=({"endpoint": "retrieve", **WHOLE}, {"endpoint": "retrieve", **WHOLE, "hang": HELD}),
        private=({"endpoint": "download", "hang": HELD},),
    ),
    "downloading": Step(
        inline=(
            {"endpoint": "retrieve", **WHOLE},
            {"endpoint": "retrieve", **HALF},
            {"endpoint": "retrieve", **WHOLE, "hang": HELD},
        ),
        private=({"endpoint": "download", **HALF}, {"endpoint": "download", "hang": HELD}),
    ),
    "noting-the-delivery": Step("delivery"),
    "before-deleting": Step(
        inline=({"endpoint": "complete", "hang": HELD, "status": 503},),
        private=({"endpoint": "revoke", "hang": HELD, "status": 503},),
    ),
    "deleted": Step(inline=({"endpoint": "complete", "hang": HELD},), private=({"endpoint": "revoke", "hang": HELD},)),
}

#: What does not depend on the delivery is tried with one kind.
KILLS: list[Key] = [
    ("deferred", "pricing", "inline", -1),
    ("deferred", "noting-the-intent", "inline", -1),
    ("deferred", "submitting", "private", -1),
    ("deferred", "submitted", "inline", -1),
    ("deferred", "noting-the-job", "private", -1),
    ("deferred", "noted", "private", -1),
    ("in_worker", "submitted", "private", -1),
    ("in_worker", "noting-the-job", "inline", -1),
    ("in_worker", "noted", "inline", -1),
    ("in_worker", "looking", "private", -1),
    *(
        (dag_id, step, kind, -1)
        for step in ("asking-for-the-clip", "downloading", "noting-the-delivery", "before-deleting", "deleted")
        for dag_id in ("deferred", "in_worker")
        for kind in ("inline", "private")
    ),
    ("steps", "submitted", "private", -1),
    ("steps", "noting-the-job", "inline", -1),
    ("steps_in_worker", "looking", "inline", -1),
    *(
        ("steps", step, kind, -1)
        for step in ("downloading", "noting-the-delivery", "deleted")
        for kind in ("inline", "private")
    ),
    ("mapped", "downloading", "inline", 1),
    ("mapped", "submitted", "private", 2),
    ("listed", "submitted", "inline", 1),
    ("listed", "downloading", "inline", 2),
    ("listed", "deleted", "private", 0),
]


@dataclass
class Kill:
    """One kill: the run, its step, and when the worker is there."""

    run: Run
    step: Step
    task: str
    map_index: int
    faults: list[Fault] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    is_done: bool = False

    def is_pending(self) -> bool:
        """Whether the worker is still to be killed."""
        return not self.is_done and time.monotonic() < self.began + PATIENCE

    def is_due(self) -> bool:
        """Whether the worker has reached the step, where it is held."""
        if self.step.moment is not None:
            return not holding.asked(self.run.venue.holds, self.run.run_id, self.step.moment).exists()
        return self.faults[-1].times == 0

    def act(self) -> None:
        """Kill the worker."""
        self.run.venue.stack.kill_worker(self.run.dag_id, self.run.run_id, self.task, self.map_index)
        self.is_done = True


def task_of(dag_id: str, step: str) -> str:
    """Return the task of a DAG that does a step."""
    if not dag_id.startswith("steps"):
        return "generate"
    if step == "looking":
        return "wait"
    return "queue" if list(STEPS).index(step) < list(STEPS).index("noted") else "download"


def begin(venue: Venue, dag_id: str, step_name: str, kind: str, row: int) -> Kill:
    """Arrange for a worker to be held, and start its run."""
    step, run_id = STEPS[step_name], "-".join((dag_id, step_name, kind))
    if step.moment is not None:
        holding.asked(venue.holds, run_id, step.moment).touch()
    match = f"<{run_id}>" + ("" if row < 0 else f" <{row}>")
    conf = {}
    if step_name == "pricing":
        # A quote does not carry the prompt.
        match = conf["aspect_ratio"] = "9:16"
    faults = [venue.simulator.fail(match=match, **fault) for fault in getattr(step, kind)]
    map_index = row if dag_id == "mapped" else -1
    return Kill(venue.start(dag_id, run_id, kind, **conf), step, task_of(dag_id, step_name), map_index, faults)


@pytest.fixture(scope="module")
def kills(venue: Venue) -> dict[Key, Kill]:
    """All kills, after the event. The runs go on side by side, but few at a time are on their way to their step."""
    kills: dict[Key, Kill] = {}
    ahead = list(KILLS)
    while (pending := [kill for kill in kills.values() if kill.is_pending()]) or ahead:
        if ahead and len(pending) < SIDE_BY_SIDE:
            key = ahead.pop(0)
            kills[key] = begin(venue, *key)
        for kill in pending:
            if kill.is_due():
                kill.act()
        venue.stack.check()
        time.sleep(0.05)
    return kills


@pytest.mark.parametrize("key", [pytest.param(key, id="-".join(map(str, key)).removesuffix("--1")) for key in KILLS])
def test_a_lost_worker(key: Key, kills: dict[Key, Kill]) -> None:
    kill = kills[key]
    run, step = kill.run, kill.step
    assert kill.is_done, f"the step was not reached\n{run.explain()}"
    state = run.wait()
    assert state == ("failed" if step.is_doubtful else "success"), run.explain()
    assert run.tries(kill.task, kill.map_index) >= 2, "the worker was killed after the task had ended"

    count = 3 if run.dag_id in ("mapped", "listed") else 1
    lost = 0 if step.is_paid else 1
    if run.dag_id == "listed" and step.is_doubtful:
        count -= 1  # what comes after the one in doubt is not submitted
    assert len(run.charges) == len(run.jobs) == len({job.prompt for job in run.jobs}) == count - lost
    assert len(run.clips()) == (count - 1 if step.is_doubtful else count)
    if step.is_doubtful:
        assert "may have been accepted and charged" in run.log(kill.task, kill.map_index, try_number=2)
    doubtful = [job for job in run.jobs if job.fate != "deleted"]
    assert len(doubtful) == (1 if step.is_doubtful and step.is_paid else 0), "what is stored is deleted at the vendor"
    run.venue.check_deletions()


def test_a_worker_that_was_only_taken_for_lost_buys_nothing(venue: Venue) -> None:
    holding.asked(venue.holds, "frozen", "check").touch()
    run = venue.start("deferred", "frozen")
    run.survive_a_freeze()
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1


def test_no_secret_is_kept_readable(kills: dict[Key, Kill], venue: Venue) -> None:
    for kill in kills.values():
        kill.run.wait()
    venue.check_secrets()
