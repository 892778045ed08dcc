"""Holds a task at a moment that a test has chosen, until the test kills its worker. Runs in Airflow's workers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Context, get_current_context

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

#: The environment variable with the folder in which a test asks for a hold, and sees that it is reached.
FOLDER = "VENICE_TEST_HOLDS"

#: Seconds; more than it takes until the test kills the worker.
LONGEST = 120.0


def asked(folder: Path, run_id: str, moment: str) -> Path:
    """Return the file that asks for a hold; it is gone once the moment is reached."""
    return folder / f"{run_id}.{moment}"


def release(folder: Path, run_id: str) -> Path:
    """Return the file that lets a held run go on."""
    return folder / f"{run_id}.release"


def hold(run_id: str, moment: str) -> None:
    """Stop here, once, if the test has asked for it."""
    folder = Path(os.environ[FOLDER])
    try:
        asked(folder, run_id, moment).unlink()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + LONGEST
    while not release(folder, run_id).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


class HeldGenerateVideo(VeniceGenerateVideoOperator):
    """The operator, with a moment ``check`` before its first note, and ``wait`` between its last one and its wait."""

    def check_before_payment(self) -> None:
        """Check, perhaps after a hold."""
        hold(get_current_context()["run_id"], "check")
        super().check_before_payment()

    def wait(self, job: VideoJob, context: Context) -> VideoJob:
        """Wait, perhaps after a hold."""
        hold(context["run_id"], "wait")
        return super().wait(job, context)


class SlowStore:
    """
    A ``[workers] state_store_backend`` that can be held before it writes.

    The moments are named after what is noted: ``intent``, ``job`` and ``delivery``.
    """

    def serialize_task_state_store_to_ref(self, *, value: Any, key: str, scope: Any) -> str:
        """Return what is kept for ``value``."""
        note = "intent" if value.get("job") is None else "job"
        hold(scope.run_id, "delivery" if key == "venice_delivery" else note)
        return json.dumps(value)

    def deserialize_task_state_store_from_ref(self, stored: str) -> Any:
        """Return what was kept."""
        return json.loads(stored)

    def delete(self, scope: Any, key: str) -> None:
        """Delete nothing: the value lies in Airflow's own row."""

    def clear(self, scope: Any) -> None:
        """Clear nothing, for the same reason."""
