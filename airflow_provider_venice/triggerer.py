"""Whether this process runs triggers."""

from __future__ import annotations

from typing import Any


def trigger_comms() -> Any:
    """Return what a triggerer's process asks its supervisor with; ``None`` in any other process."""
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return comms if type(comms).__name__ == "TriggerCommsDecoder" else None
