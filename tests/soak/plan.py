"""What a soak does and when, drawn from its seed before it begins."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

#: Mean seconds between two acts of a kind.
MEANS = {
    "start": 6.0,
    "kill the worker": 15.0,
    "kill the task": 25.0,
    "kill a submission": 20.0,
    "kill the triggerer": 80.0,
    "kill the scheduler": 120.0,
    "fault": 3.0,
    "fail a job": 40.0,
    "refund a job": 40.0,
    "clear": 15.0,
    "mark failed": 25.0,
    "clear what has failed": 5.0,
}

#: Of the whole time, in which part an act has to come that chance would leave out.
SURE = (0.25, 0.75)

#: The connection's ``read_timeout``, and the seconds of an answer that comes after it.
READ_TIMEOUT, LATE = 5.0, 8.0

#: What may go wrong at the vendor. None of it makes a clip unobtainable: a loss is ours.
FAULTS: list[dict[str, Any]] = [
    {"endpoint": "models", "status": 503},
    {"endpoint": "quote", "status": 503},
    {"endpoint": "quote", "hang": LATE},
    {"endpoint": "quote", "status": 429, "headers": {"retry-after": "1"}},
    *(
        {"endpoint": "queue", **effect}
        for effect in (
            {"status": 503},
            {"status": 503, "act": True},
            {"status": 502, "html": True},
            {"drop_before": True},
            {"drop_after": True},
            {"hang": LATE},
            {"bad_json": True},
            {"status": 429, "headers": {"retry-after": "2"}},
        )
    ),
    *(
        {"endpoint": endpoint, **effect}
        for endpoint in ("retrieve", "download")
        for effect in (
            {"status": 503},
            {"status": 502, "html": True},
            {"status": 429, "headers": {"retry-after": "1"}},
            {"drop_before": True},
            {"drop_after": True},
            {"hang": LATE},
            {"truncate": 60_000},
            {"truncate": 60_000, "length": False},
            {"stub": True},
        )
    ),
    *(
        {"endpoint": endpoint, **effect}
        for endpoint in ("complete", "revoke")
        for effect in ({"status": 503}, {"drop_after": True}, {"hang": LATE})
    ),
]

#: How often a fault happens, one after the other.
TIMES = (1, 1, 1, 2, 3, 6)


#: Which submissions fail: those of any clip, or those of this place in a mapped task or a list.
PLACES = (None, None, "<0>", "<1>", "<2>")


@dataclass(frozen=True, order=True)
class Act:
    """
    One thing that is done.

    :param at: seconds after the beginning.
    :param kind: one of :data:`MEANS`.
    :param draw: from 0 to 1; it chooses what is done, or to whom, among what there is then.
    :param detail: from 0 to 1; a second choice.
    """

    at: float
    kind: str
    draw: float
    detail: float


def draw_plan(seed: int, seconds: float) -> list[Act]:
    """
    Return all acts in their order. The same seed gives the same ones; a longer time more of them.

    :param seconds: how long it is to last.
    """
    acts: list[Act] = []
    for kind, mean in MEANS.items():
        chance = random.Random(f"{seed}: {kind}")
        at = chance.expovariate(1 / mean)
        if at > seconds:
            at = chance.uniform(*SURE) * seconds
        while at <= seconds:
            acts.append(Act(at, kind, chance.random(), chance.random()))
            at += chance.expovariate(1 / mean)
    return sorted(acts)


def fault_of(act: Act) -> dict[str, Any]:
    """Return the fault that an act draws."""
    fault = dict(FAULTS[int(act.draw * len(FAULTS))])
    if fault["endpoint"] == "queue":
        # Once, since a person has to settle each doubt; and not always at the first clip of a list.
        return {**fault, "match": PLACES[int(act.detail * len(PLACES))]}
    return {**fault, "times": TIMES[int(act.detail * len(TIMES))]}
