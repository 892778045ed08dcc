"""Which clips a page shows, and their sums."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow_provider_venice.plugin.clips import STATES, Clip
from airflow_provider_venice.xcoms import TaskKey


@dataclass(frozen=True)
class Selection:
    """
    What a page asks for; everything that is not given admits all.

    :param dag_id: the DAG.
    :param run_id: the DAG run.
    :param task_id: a task that had a part in it.
    :param map_index: that task's map index, -1 where it is not mapped.
    :param states: the states.
    :param models: the models.
    :param after: the first day, in UTC.
    :param before: the last day, in UTC.
    :param search: a part of the prompt, in any case.
    """

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    states: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    after: date | None = None
    before: date | None = None
    search: str = ""

    @property
    def since(self) -> datetime | None:
        """The beginning of the first day."""
        return None if self.after is None else _midnight(self.after)

    def apply(self, clips: Iterable[Clip]) -> tuple[list[Clip], Counter[str]]:
        """
        Return the clips that are asked for, and how many there would be in each state.

        :param clips: all that the DAG and the DAG run have.
        """
        chosen = [clip for clip in clips if self._admits(clip)]
        counts = Counter(clip.state for clip in chosen)
        return [clip for clip in chosen if not self.states or clip.state in self.states], Counter(
            {state: counts[state] for state in STATES}
        )

    def _admits(self, clip: Clip) -> bool:
        if self.task_id is not None:
            key = TaskKey(self.dag_id or "", self.run_id or "", self.task_id, self.map_index)
            if not clip.is_of(key):
                return False
        if self.models and clip.model not in self.models:
            return False
        if self.after is not None and clip.time < _midnight(self.after).timestamp():
            return False
        if self.before is not None and clip.time >= _midnight(self.before + timedelta(days=1)).timestamp():
            return False
        return not self.search or self.search.casefold() in (clip.prompt or "").casefold()


def sums(clips: Sequence[Clip]) -> dict[str, Any]:
    """
    Return the sums of clips: how many, seconds of stored video, US dollars, and the same by model and by day.

    ``cost`` is what was paid and not refunded, ``unpriced`` how many were bought at an unknown price.
    """
    by_day = _groups(clips, lambda clip: time.strftime("%Y-%m-%d", time.gmtime(clip.time)))
    by_model = _groups(clips, lambda clip: clip.model or "")
    return {
        **_sum(clips),
        "refunded": round(sum(clip.cost or 0.0 for clip in clips if clip.is_refunded), 6),
        "unpriced": sum(clip.is_bought and clip.cost is None for clip in clips),
        "by_day": [{"day": day, **_sum(group)} for day, group in sorted(by_day.items())],
        "by_model": sorted(
            ({"model": model, **_sum(group)} for model, group in by_model.items()),
            key=lambda line: (-line["cost"], -line["clips"], line["model"]),
        ),
    }


def _sum(clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "seconds": round(sum(clip.seconds or 0.0 for clip in clips), 3),
        "cost": round(sum(clip.cost or 0.0 for clip in clips if clip.is_bought and not clip.is_refunded), 6),
    }


def _groups(clips: Iterable[Clip], name: Callable[[Clip], str]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(name(clip), []).append(clip)
    return groups


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
