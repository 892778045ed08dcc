"""What a task has written of its clips, as it stands in Airflow's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_provider_venice.xcoms import TaskKey

#: Airflow's states of a task instance that will not run again by itself.
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

#: What an operator does to a clip, by a part of its name.
_PARTS = (("Download", "stores"), ("Sensor", "waits"), ("Generate", "buys"), ("Queue", "buys"))


def part_of(operator: str | None) -> str | None:
    """Return what an operator of this name does to a clip; ``None`` for one of the user's own."""
    return next((part for name, part in _PARTS if name in (operator or "")), None)


@dataclass(frozen=True)
class TaskRecord:
    """
    What a task instance has written of its clips, and what Airflow knows of it.

    :param key: the task instance.
    :param written_at: epoch seconds at which it wrote its entries last.
    :param entries: the XCom ``venice_results``, one entry for each clip.
    :param progress: the XCom ``venice_progress``, by queue id.
    :param state: Airflow's state of the task instance; ``None`` before it is scheduled.
    :param run_state: Airflow's state of the DAG run.
    :param operator: the name of the task's operator.
    """

    key: TaskKey
    written_at: float
    entries: Sequence[Mapping[str, Any]]
    progress: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    run_state: str | None = None
    operator: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether Airflow does not run it again by itself."""
        return self.state in _ENDED

    @property
    def part(self) -> str | None:
        """What it does to a clip: ``buys``, ``waits`` or ``stores``; ``None`` for an operator of the user's own."""
        return part_of(self.operator)


class Place(NamedTuple):
    """One entry: which task has written it, and where in its list it is."""

    record: TaskRecord
    position: int

    @property
    def entry(self) -> Mapping[str, Any]:
        """What the task has written."""
        return self.record.entries[self.position]

    @property
    def number(self) -> int | None:
        """Its place in the list, ``None`` where the task has one clip only."""
        return self.position if len(self.record.entries) > 1 else None

    @property
    def label(self) -> str:
        """The task instance and the place, for people, such as ``generate[3] #1``."""
        _, _, task_id, map_index = self.record.key
        mapped = f"[{map_index}]" if map_index >= 0 else ""
        return f"{task_id}{mapped}{'' if self.number is None else f' #{self.number}'}"

    @property
    def is_reused(self) -> bool:
        """Whether the task has found the clip there, and paid nothing."""
        return self.entry.get("reused") is True
