"""The tasks of these tests, and the connections to the store that they name."""

from __future__ import annotations

from typing import Any

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator

#: Connections that lead to the store: a usual one, one with another secret key, and one that gives up soon.
CONN_ID, WRONG_SECRET, IMPATIENT = "object_store", "wrong_secret", "impatient_store"

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}


def generate(path: Any, **arguments: Any) -> VeniceGenerateVideoOperator:
    """Return a task that makes a clip."""
    return VeniceGenerateVideoOperator(task_id="generate", **{**TEXT, "output_path": path, **arguments})
