"""Runs one task the way a worker and a triggerer do, in this process: rendered, deferred, resumed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time.context import NEVER_EXPIRE
from airflow.triggers.base import BaseTrigger


class MemoryStore(dict[str, Any]):
    """A stand-in for Airflow's ``task_state_store``: plain JSON that outlives a try, for as long as it is asked to."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert retention is NEVER_EXPIRE
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.pop(key, None)


class OutletEvents:
    """A stand-in for the asset events that a task sends: the extra of each."""

    def __init__(self, extras: dict[Any, dict[str, Any]]) -> None:
        self._extras = extras

    def __getitem__(self, asset: Any) -> SimpleNamespace:
        return SimpleNamespace(extra=self._extras.setdefault(asset, {}))


@dataclass
class Tries:
    """What Airflow keeps of a task instance between its tries."""

    store: MemoryStore = field(default_factory=MemoryStore)
    max_tries: int = 2
    task_count: int = 1
    deferred_to: list[str] = field(default_factory=list)
    xcoms: dict[str, Any] = field(default_factory=dict)
    outlet_extras: dict[Any, dict[str, Any]] = field(default_factory=dict)
    upstream: dict[str, list[Any]] = field(default_factory=dict)
    clear_number: int = 0
    states: dict[str, str | None] = field(default_factory=dict)
    run_id: str = "run"
    map_index: int = -1
    try_number: int = 2

    def clear(self) -> None:
        """Clear the task, as a user does."""
        self.max_tries += 1
        self.clear_number += 1


def clips(folder: Path) -> list[Path]:
    """Return what is in a folder, the reservations of targets apart."""
    return sorted(path for path in folder.iterdir() if ".reserved" not in path.name)


def context_of(task: Any, tries: Tries) -> Any:
    """Return the context of a try."""
    return {
        "task": SimpleNamespace(retries=2),
        "ti": SimpleNamespace(
            max_tries=tries.max_tries,
            try_number=tries.try_number,
            dag_id="dag",
            run_id=tries.run_id,
            task_id=task.task_id,
            map_index=tries.map_index,
            get_ti_count=lambda **_: tries.task_count,
            get_task_states=lambda **_: {tries.run_id: tries.states},
            # Without a task it is the one that asks.
            xcom_pull=lambda **pull: (tries.upstream if "task_ids" in pull else tries.xcoms).get(pull["key"]),
            xcom_push=lambda key, value: tries.xcoms.update({key: json.loads(json.dumps(value))}),
        ),
        "dag_run": SimpleNamespace(clear_number=tries.clear_number),
        "dag": SimpleNamespace(task_ids=["queue", task.task_id], tasks=[task]),
        "task_state_store": tries.store,
        "outlet_events": OutletEvents(tries.outlet_extras),
    }


def run_task(task: Any, tries: Tries | None = None) -> Any:
    """
    Execute a task and return its result; a deferral passes through JSON, as through the database.

    :param task: the operator or sensor.
    :param tries: what earlier tries have left.
    """
    tries = tries or Tries()
    context = context_of(task, tries)
    method = task.execute
    arguments: dict[str, Any] = {}
    while True:
        try:
            return json.loads(json.dumps(method(context, **arguments)))
        except TaskDeferred as deferred:
            tries.deferred_to.append(type(deferred.trigger).__name__)
            event = run_trigger(stored(deferred.trigger))
            method = getattr(task, deferred.method_name)
            arguments = {**(deferred.kwargs or {}), "event": event}


class Steps:
    """A task, one launch of its worker at a time; what travels between them passes through JSON."""

    def __init__(self, task: Any, tries: Tries) -> None:
        self.task, self.tries = task, tries
        self.deferred = self.launch("execute")

    def launch(self, method: str, **arguments: Any) -> TaskDeferred:
        """Run the worker up to its next deferral."""
        try:
            result = getattr(self.task, method)(context_of(self.task, self.tries), **arguments)
        except TaskDeferred as deferred:
            return deferred
        raise AssertionError(f"the task did not defer: {result}")

    @property
    def waiting(self) -> dict[str, Any]:
        """The arguments of the trigger."""
        arguments: dict[str, Any] = json.loads(json.dumps(self.deferred.trigger.serialize()[1]))
        return arguments

    def event(self) -> dict[str, Any]:
        """Run the trigger, and return the arguments of the method that takes its event."""
        kwargs = json.loads(json.dumps(self.deferred.kwargs or {}))
        return {**kwargs, "event": run_trigger(stored(self.deferred.trigger))}

    def go_on(self) -> None:
        """Run the trigger, and the worker up to its next deferral."""
        self.deferred = self.launch(self.deferred.method_name, **self.event())

    def end(self) -> Any:
        """Run the trigger, and the worker to its end; return its result."""
        arguments = self.event()
        method = getattr(self.task, self.deferred.method_name)
        return json.loads(json.dumps(method(context_of(self.task, self.tries), **arguments)))


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
