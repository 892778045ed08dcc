"""The steps of a clip's life, how a task is held at one of them, and many such stories side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from airflow_provider_venice.simulator import Fault
from tests.reliability import holding
from tests.reliability.runs import CLIP_SIZE, Run, Venue

#: Seconds for which the vendor's answer is held back; the worker is ended long before.
HELD = 120.0

#: Seconds within which a story has to come to what it waits for.
PATIENCE = 90.0

#: Runs that are on their way to their step at the same time.
SIDE_BY_SIDE = 8

#: Clips of a mapped task, and of a list.
CLIPS = 3

#: DAG, step, kind of delivery, map index or place in the list.
Key = tuple[str, str, str, int]

#: What a story waits for.
Condition = Callable[[], bool]

K = TypeVar("K")

#: A quote carries no prompt. A model that no other run uses, and a shape for each story and DAG, tell who asks.
PRICED_MODEL = "seedance-2-0-text-to-video-basic"
PRICED_SHAPES = {
    ("", "deferred"): "4:3",
    ("", "mapped"): "3:4",
    ("", "listed"): "21:9",
    ("clear", "deferred"): "4:3",
    ("clear", "mapped"): "3:4",
    ("fail", "listed"): "21:9",
    ("replace", "deferred"): "9:16",
    ("replace", "listed"): "1:1",
}

#: The model that the DAG ``fallback`` names for what the first one refuses.
FALLBACK = "wan-2.6-text-to-video"

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


@dataclass
class Held:
    """
    A task that is to be held at a step.

    :param task: the task of the run that does the step.
    :param place: map index, or place in the list; -1 for a task that makes one clip.
    """

    run: Run
    step: Step
    task: str
    place: int
    faults: list[Fault] = field(default_factory=list)

    @property
    def map_index(self) -> int:
        """The task's."""
        return self.place if self.run.dag_id == "mapped" else -1

    @property
    def count(self) -> int:
        """How many clips the run makes."""
        return CLIPS if self.run.dag_id in ("mapped", "listed") else 1

    def count_in_doubt(self) -> tuple[int, int]:
        """Return how many clips are charged, and how many stored, when the run has stopped in doubt."""
        # In a list, what comes after the one in doubt is not submitted.
        submitted = self.place + 1 if self.run.dag_id == "listed" else self.count
        return submitted - (0 if self.step.is_paid else 1), submitted - 1

    def is_there(self) -> bool:
        """Whether the step is reached, where the task is held."""
        if self.step.moment is not None:
            return not self._asked(self.step.moment).exists()
        return self.faults[-1].times == 0

    def ask(self) -> None:
        """Ask for a hold at the step's moment, if it has one."""
        if self.step.moment is not None:
            self._asked(self.step.moment).touch()

    def _asked(self, moment: str) -> Path:
        # A list waits for all of its clips at once.
        place = -1 if (self.run.dag_id, moment) == ("listed", "wait") else self.place
        return holding.asked(self.run.venue.holds, self.run.run_id, moment, place)

    def worker(self) -> tuple[psutil.Process, ...]:
        """Return the processes that run the task."""
        return self.run.venue.stack.worker(self.run.dag_id, self.run.run_id, self.task, self.map_index)

    def clear(self) -> None:
        """Clear the task."""
        self.run.venue.stack.clear(self.run.dag_id, self.run.run_id, self.task, self.map_index)

    def mark_failed(self) -> None:
        """Mark the task failed."""
        self.run.venue.stack.mark_failed(self.run.dag_id, self.run.run_id, self.task, self.map_index)

    def tries(self) -> int:
        """Return how many tries the task has had."""
        return self.run.tries(self.task, self.map_index)

    def has_told_the_doubt(self) -> bool:
        """Whether the log of one of its tries tells a doubt."""
        return self.run.has_told_the_doubt(self.task, self.map_index)


def task_of(dag_id: str, step: str) -> str:
    """Return the task of a DAG that does a step."""
    if not dag_id.startswith("steps"):
        return "generate"
    if step == "looking":
        return "wait"
    return "queue" if list(STEPS).index(step) < list(STEPS).index("noted") else "download"


def begin(
    venue: Venue, key: Key, story: str = "", prefix: str = "", held_for: float = HELD, model: str | None = None
) -> Held:
    """
    Arrange for a task to be held, and start its run.

    :param story: what tells the run from others of the same key.
    :param prefix: what the prompts begin with, such as one of the simulator's tags.
    :param held_for: seconds for which the vendor's answer is held back.
    :param model: in place of the one that delivers in that way.
    """
    dag_id, step_name, kind, place = key
    step = STEPS[step_name]
    run_id = "-".join([*([story] if story else []), dag_id, step_name, kind, *([str(place)] if place >= 0 else [])])
    match = f"<{run_id}>" + ("" if place < 0 else f" <{place}>")
    conf: dict[str, Any] = {} if model is None else {"model": model}
    if step_name == "pricing":
        match = PRICED_SHAPES[story, dag_id]
        conf = {"model": PRICED_MODEL, "aspect_ratio": match}
    if dag_id == "fallback":
        venue.simulator.fail("queue", policy=True, match=match)
    faults = [
        venue.simulator.fail(match=match, **{**fault, **({"hang": held_for} if "hang" in fault else {})})
        for fault in getattr(step, kind)
    ]
    held = Held(Run(venue, dag_id, run_id, kind), step, task_of(dag_id, step_name), place, faults)
    held.ask()
    venue.start(dag_id, run_id, kind, prefix=prefix, **conf)
    return held


@dataclass
class Story:
    """
    What happens to one run, told by a generator that yields whatever it waits for.

    :param held: the task.
    :param acts: yields each condition that it waits for, first of all that the step is reached.
    :param patience: seconds that each wait may take.
    """

    held: Held
    acts: Iterator[Condition]
    patience: float = PATIENCE
    waits: int = 0
    is_over: bool = False
    error: Exception | None = None
    _condition: Condition | None = None
    _deadline: float = 0.0
    _next_check: float = 0.0

    def __post_init__(self) -> None:
        self._go_on()

    @property
    def is_going_on(self) -> bool:
        """Whether there is something to wait for that may still come."""
        return not self.is_over and self.error is None and time.monotonic() < self._deadline

    @property
    def is_on_its_way(self) -> bool:
        """Whether the step is not reached yet."""
        return self.is_going_on and self.waits == 1

    def advance(self) -> None:
        """Act, if what the story waits for is there."""
        if not self.is_going_on or time.monotonic() < self._next_check:
            return
        # Whether the step is reached costs nothing to know; the rest is asked of Airflow.
        self._next_check = time.monotonic() + (0.05 if self.waits == 1 else 1.0)
        try:
            if self._condition is not None and self._condition():
                self._go_on()
        except Exception as error:  # the others go on
            self.error = error

    def _go_on(self) -> None:
        self._condition = next(self.acts, None)
        self.is_over = self._condition is None
        self.waits += 1
        self._deadline = time.monotonic() + self.patience


def play(venue: Venue, stories: Mapping[K, Callable[[], Story]]) -> dict[K, Story]:
    """Play all stories to their ends, side by side; few at a time are on their way to their step."""
    ahead, playing = list(stories), dict[K, Story]()
    while ahead or any(story.is_going_on for story in playing.values()):
        if ahead and sum(story.is_on_its_way for story in playing.values()) < SIDE_BY_SIDE:
            key = ahead.pop(0)
            playing[key] = stories[key]()
        for story in playing.values():
            story.advance()
        venue.stack.check()
        time.sleep(0.05)
    return playing


def name_of(key: tuple[Any, ...]) -> str:
    """Return the name of a test."""
    return "-".join(map(str, key)).removesuffix("--1")
