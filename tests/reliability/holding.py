"""Holds a task at a moment that a test has chosen, until the test kills its worker. Runs in Airflow's workers."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_venice.generation.delivery import Delivery
from airflow_provider_venice.generation.run import GenerationRun
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.storage.reservations import Owner

#: The environment variable with the folder in which a test asks for a hold, and sees that it is reached.
FOLDER = "VENICE_TEST_HOLDS"

#: Seconds; more than it takes until the test kills the worker.
LONGEST = 120.0


def asked(folder: Path, run_id: str, moment: str, place: int = -1) -> Path:
    """
    Return the file that asks for a hold; it is gone once the moment is reached.

    :param place: map index, or place in a list of requests; -1 for a task that makes one clip.
    """
    return folder / (f"{run_id}.{moment}" if place < 0 else f"{run_id}.{moment}.{place}")


def release(folder: Path, run_id: str) -> Path:
    """Return the file that lets a held run go on."""
    return folder / f"{run_id}.release"


def hold(run_id: str, moment: str, place: int = -1) -> None:
    """Stop here, once, if the test has asked for it."""
    folder = Path(os.environ[FOLDER])
    try:
        asked(folder, run_id, moment, place).unlink()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + LONGEST
    while not release(folder, run_id).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@dataclass(frozen=True)
class HeldDelivery(Delivery):
    """A delivery with a moment ``check`` before it reserves a target, which is before the first note."""

    def reserve(self, target: Any, owner: Owner) -> None:
        """Reserve, perhaps after a hold."""
        hold(owner.run_id, "check")
        super().reserve(target, owner)


class HeldRun(GenerationRun):
    """A run with a moment ``wait`` between its last note and its wait."""

    def _await_rest(self) -> None:
        map_index = self._context["ti"].map_index
        hold(self._context["run_id"], "wait", -1 if map_index is None else map_index)
        super()._await_rest()


class HeldGenerateVideo(VeniceGenerateVideoOperator):
    """The operator, with both."""

    generation_class = HeldRun

    @property
    def delivery(self) -> Delivery:
        """What becomes of the clips, perhaps after a hold."""
        return HeldDelivery(**dataclasses.asdict(super().delivery))


class SlowStore:
    """
    A ``[workers] state_store_backend`` that can be held before it writes.

    The moments are named after what is noted: ``intent``, ``job`` and ``delivery``.
    """

    def serialize_task_state_store_to_ref(self, *, value: Any, key: str, scope: Any) -> str:
        """Return what is kept for ``value``."""
        position = re.search(r"_(\d+)$", key)
        place = scope.map_index if position is None else int(position[1])
        note = "intent" if value.get("job") is None else "job"
        hold(scope.run_id, "delivery" if key.startswith("venice_delivery") else note, place)
        return json.dumps(value)

    def deserialize_task_state_store_from_ref(self, stored: str) -> Any:
        """Return what was kept."""
        return json.loads(stored)

    def delete(self, scope: Any, key: str) -> None:
        """Delete nothing: the value lies in Airflow's own row."""

    def clear(self, scope: Any) -> None:
        """Clear nothing, for the same reason."""
