"""How soon, and with how few polls, finished clips are found: ours, a fixed interval, the best there can be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from airflow_provider_venice.simulator.settings import WindowKind
from benchmarks import virtual
from benchmarks.inspection import LAWS, Inspection, Law
from benchmarks.night import SPEED, Night, run_night
from benchmarks.table import Table

COLUMNS = (
    "Clips",
    "Window",
    "Watched by",
    "Delivered",
    "Polls per clip",
    "Mean s from finished to detected",
    "Least mean s with so many polls",
    "P95 s",
    "Requests refused",
)

CONTENDERS = {"ours": "`VeniceVideoTrigger`", "fixed": "every 5 s"}

WINDOWS: tuple[WindowKind, ...] = ("fixed", "sliding", "bucket")


def row(night: Night, who: str, window: str, least: Inspection) -> tuple[object, ...]:
    """Return a row of the table of nights over HTTP."""
    polls = night.looks / max(1, night.submitted)
    return (
        night.submitted,
        window,
        who,
        night.delivered,
        polls,
        night.mean,
        least.lateness(polls),
        night.p95,
        night.refusals,
    )


def _nights(law: Law, least: Inspection, nights: Sequence[virtual.Night]) -> tuple[object, ...]:
    """Return what several nights of one kind have in common."""
    for night in nights:
        night.run()
    means = [night.mean for night in nights]
    polls = statistics.fmean(night.polls_per_clip for night in nights)
    bound = statistics.fmean(least.lateness(night.polls_per_clip) for night in nights)
    return (
        polls,
        statistics.fmean(means),
        f"{min(means):.1f} – {max(means):.1f}",
        bound,
        f"{statistics.fmean(means) / bound:.2f}",
        statistics.fmean(night.p95 for night in nights),
        sum(night.refusals for night in nights),
    )


_SUMMARY = (
    "Polls per clip",
    "Mean s from finished to found",
    "Of the nights",
    "Least mean s with so many polls",
    "Ratio",
    "P95 s",
    "Refused",
)


def _virtual() -> Table:
    table = Table(
        "Detection alone, on a virtual clock",
        ("Clips", "Triggerers", "Window", "Nights", *_SUMMARY),
        "Clips submitted at 40 a minute; run times are log-normal, median 120 s, sigma 0.25. The package's rate "
        "limiter and schedule on an event loop whose clock jumps, against the simulator's limits; an answer takes "
        "0.15 s. Triggerers share the clips at random and know nothing of each other. *Least mean* is that of the "
        "optimal inspection schedule for this law with the same mean number of polls, whenever they are made: no key's "
        "limit holds it back.",
    )
    law = LAWS["log-normal"]
    least = Inspection(law)
    for count, processes, nights in (
        (1, 1, 40),
        (5, 1, 20),
        (10, 1, 20),
        (50, 1, 10),
        (200, 1, 5),
        (400, 1, 5),
        (200, 2, 5),
        (200, 4, 5),
    ):
        for window in WINDOWS:
            played = [virtual.Night(count, law, window=window, processes=processes, seed=n) for n in range(nights)]
            table.add(count, processes, window, nights, *_nights(law, least, played))
    return table


def _laws() -> Table:
    table = Table(
        "Other run times: 200 clips, a sliding window",
        ("Run times", "Average that the server tells", *_SUMMARY),
        "*Bimodal*: a half each around 60 and 200 s. *Heavy tail*: Pareto from 40 s, alpha 1.5, cut at 1500 s. The "
        "least mean of constant run times is that of one poll at the right moment, on a grid of half a second.",
    )
    for name, law in LAWS.items():
        least = Inspection(law)
        for told, words in ((1.0, "the P80"), (0.5, "half of it")):
            played = [virtual.Night(200, law, told=told, window="sliding", seed=n) for n in range(5)]
            table.add(name, words, *_nights(law, least, played))
    return table


def _http() -> Table:
    table = Table(
        "Detection alone, over HTTP",
        COLUMNS,
        f"The simulator runs {SPEED:.0f} times faster, with Venice's limits, and all seconds are the vendor's. *Every "
        "5 s* is one session per clip; a refused one waits as long as the server says. What the package assumes in "
        f"seconds of its own (a minute's window, 60 s between polls) is divided by {SPEED:.0f}, too. One run per row.",
    )
    least = Inspection(LAWS["log-normal"])
    for count in (5, 50, 200):
        for window in WINDOWS:
            night = run_night("ours", count, downloads=False, window=window)
            table.add(*row(night, CONTENDERS["ours"], window, least))
        table.add(*row(run_night("fixed", count, downloads=False), CONTENDERS["fixed"], "fixed", least))
    return table


def run() -> list[Table]:
    """Play all nights, one after the other."""
    return [_virtual(), _laws(), _http()]
