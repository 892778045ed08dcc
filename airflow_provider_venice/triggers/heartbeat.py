"""When a trigger may end, at the earliest, and when Airflow ends its wait, at the latest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from airflow_provider_venice.version_compat import conf

#: Seconds beyond a trigger's own deadline after which Airflow ends the wait: its last poll, and the time until another
#: triggerer has taken over from one that was lost.
_GRACE = 120.0

#: What Airflow resumes a task with whose trigger has sent no event.
_LOST = "__fail__"


def latest_event(deadline: float) -> timedelta:
    """
    Return the ``timeout`` of a deferral: without a triggerer, nothing else ends it.

    :param deadline: of the trigger, in epoch seconds.
    """
    return timedelta(seconds=max(0.0, deadline - time.time()) + _GRACE)


def wait_text(what: str, deadline: float) -> str:
    """
    Return what the log says before a deferral.

    :param what: what is waited for.
    :param deadline: of the trigger, in epoch seconds.
    """
    until = time.strftime("%F %T UTC", time.gmtime(deadline))
    return f"Waiting in the triggerer for {what}, until {until} at the latest. A triggerer must be running"


@contextlib.contextmanager
def explain_lost_wait(next_method: str, describe: Callable[[], str]) -> Iterator[None]:
    """
    Say what is left where a wait has ended without an event of its trigger; Airflow raises its own error then.

    :param next_method: what Airflow resumes the task with.
    :param describe: returns what is left, and how to get at it.
    """
    try:
        yield
    except Exception as error:
        if next_method != _LOST:
            raise
        # Of Airflow's own class, which decides whether the task is tried again.
        raise type(error)(
            f"{error}: no trigger has ended the wait in time. A triggerer must be running, and serve the queue of this "
            f"task. {describe()}"
        ) from error


def earliest_event() -> float:
    """
    Return the time (``time.monotonic``) before which a trigger that starts now should send no event.

    A worker reports the end of the deferred try up to a heartbeat late. A task that is queued again by
    then is failed by the scheduler (seen on Airflow 3.2).
    """
    interval: int = conf.getint("workers", "min_heartbeat_interval", fallback=5)
    return time.monotonic() + interval + 1
