"""Runs one task the way a worker and a triggerer do, in this process: rendered, deferred, resumed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger


def run_task(task: Any) -> Any:
    """
    Execute a task and return its result; a deferral passes through JSON, as through the database.

    :param task: the operator or sensor.
    """
    context: dict[str, Any] = {"ti": None, "outlet_events": {}}
    method = task.execute
    arguments: dict[str, Any] = {}
    while True:
        try:
            return json.loads(json.dumps(method(context, **arguments)))
        except TaskDeferred as deferred:
            event = run_trigger(stored(deferred.trigger))
            method = getattr(task, deferred.method_name)
            arguments = {**(deferred.kwargs or {}), "event": event}


def stored(trigger: BaseTrigger) -> BaseTrigger:
    """Return the trigger as the triggerer makes it, out of its row in the database."""
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    return type(trigger)(**json.loads(json.dumps(arguments)))


def run_trigger(trigger: BaseTrigger, *, timeout: float = 60) -> dict[str, Any]:
    """
    Run a trigger to its one event and return that, as it comes back from the database.

    :param timeout: seconds.
    """

    async def only_event() -> Any:
        events = [event async for event in trigger.run()]
        assert len(events) == 1
        return events[0].payload

    payload: dict[str, Any] = json.loads(json.dumps(asyncio.run(asyncio.wait_for(only_event(), timeout))))
    return payload


@contextlib.contextmanager
def forgotten_fernet() -> Iterator[None]:
    """Have Airflow read its Fernet key anew, now and afterwards."""
    from airflow.sdk.crypto import get_fernet

    get_fernet.cache_clear()
    try:
        yield
    finally:
        get_fernet.cache_clear()
