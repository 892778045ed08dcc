"""Sends metrics through the ``Stats`` of Airflow, whichever backend that has."""

from __future__ import annotations

import functools
import importlib
import logging
import queue
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow_provider_venice.triggerer import trigger_comms

log = logging.getLogger(__name__)

#: What StatsD with Airflow's InfluxDB tags admits in a tag, and how much of it: name and tags together are 250
#: characters at most, and a metric with more is dropped.
_NOT_IN_TAGS, _LONGEST_TAG = re.compile(r"[^A-Za-z0-9_.-]"), 60

#: How many metrics wait in a triggerer for their server to be reached; more are dropped.
_MOST_WAITING = 1000


def count(name: str, number: int = 1, **tags: Any) -> None:
    """
    Add to a counter. It raises what the backend raises.

    :param name: the metric.
    :param number: how much; whole, as not every backend takes fractions.
    :param tags: those of the metric; the running task's are added.
    """
    _send("incr", name, number, tags)


def timing(name: str, seconds: float, **tags: Any) -> None:
    """
    Record how long something took. It raises what the backend raises.

    :param name: the metric.
    :param seconds: how long; the backends make milliseconds of it.
    :param tags: those of the metric; the running task's are added.
    """
    _send("timing", name, timedelta(seconds=max(0.0, seconds)), tags)


def _send(method: str, name: str, value: Any, tags: dict[str, Any]) -> None:
    cleaned = {key: _clean(text) for key, text in {**_task_tags(), **tags}.items()}
    if trigger_comms() is None:
        getattr(_stats("airflow.sdk.observability.stats"), method)(name, value, tags=cleaned)
    else:
        # The core's, as the triggerer itself: in its processes Airflow sets up no other.
        _sender().put(lambda: getattr(_stats("airflow.observability.stats"), method)(name, value, tags=cleaned))


@functools.cache
def log_failure() -> None:
    """Log the first failure of a process: others would follow with each poll."""
    log.warning("A metric or a span could not be sent; this is logged once", exc_info=True)


def _stats(module: str) -> Any:
    """
    Return Airflow's ``Stats``.

    :param module: where Airflow 3.2 and later have it; older ones have one for all processes.
    """
    try:
        return importlib.import_module(module).Stats
    except ImportError:
        return importlib.import_module("airflow.stats").Stats


def _task_tags() -> dict[str, Any]:
    """Return the tags of the running task, as Airflow's own metrics have them; none where no task runs."""
    from airflow.sdk import get_current_context

    try:
        ti = get_current_context()["ti"]
    except RuntimeError:
        return {}
    return {"dag_id": ti.dag_id, "task_id": ti.task_id}


def _clean(tag: Any) -> str:
    return _NOT_IN_TAGS.sub("_", str(tag))[:_LONGEST_TAG]


class _Sender:
    """
    Sends from a thread of its own.

    The first metric of a process looks up the server's name, and a backend may wait for its socket. Either would hold
    up all triggers of the process.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._run, name="venice-metrics", daemon=True).start()

    def put(self, send: Callable[[], None]) -> None:
        """
        Have a metric sent.

        :raises queue.Full: when too many wait.
        """
        self._waiting.put_nowait(send)

    def _run(self) -> None:
        while True:
            send = self._waiting.get()
            try:
                send()
            except Exception:
                log_failure()


@functools.cache
def _sender() -> _Sender:
    return _Sender()
