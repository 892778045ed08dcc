"""When a trigger may end, at the earliest."""

from __future__ import annotations

import time

from airflow.providers.common.compat.sdk import conf


def earliest_event() -> float:
    """
    Return the time (``time.monotonic``) before which a trigger that starts now should send no event.

    A worker reports the end of the deferred try up to a heartbeat late. A task that is queued again by
    then is failed by the scheduler (seen on Airflow 3.2).
    """
    interval: int = conf.getint("workers", "min_heartbeat_interval", fallback=5)
    return time.monotonic() + interval + 1
