"""What outlives a try of a task: Airflow 3.3's task state store, or Variables on Airflow 3.0 to 3.2."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Least seconds between a claim and its second reading, and how many times longer than writing took that must be:
#: another try that saw nothing before the claim was written has written its own by then.
_SETTLE, _SETTLE_FACTOR = 0.2, 3.0


class TryReplaced(VeniceError):
    """Airflow has given this task to another try. Whatever this one does is of no use; it must buy nothing."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: Airflow has replaced this try of the task by another one (it was taken for lost, cleared or "
            "marked). It does nothing more; the other one continues"
        )


class ConcurrentTry(VeniceError):
    """Another try of the same task writes at the same time. It buys; the next try of this one takes that up."""

    can_heal = True

    def __init__(self) -> None:
        super().__init__(
            "another try of this task has submitted meanwhile; this one has sent nothing. Its retry takes up what "
            "the other one has bought"
        )


class TaskStore(Protocol):
    """Plain JSON per task instance, map index included, through retries and clears."""

    def get(self, key: str) -> Any:
        """
        Return what was stored under ``key``, ``None`` if nothing was.

        :raises VeniceError: when that cannot be known.
        """

    def set(self, key: str, value: Any) -> None:
        """
        Store ``value`` under ``key``.

        :raises TryReplaced: when this try is not the task's current one.
        """

    def claim(self, key: str, value: Any) -> None:
        """
        Store ``value`` under ``key`` if nobody has written there since this try has read it: of several tries, one may.

        :raises ConcurrentTry: when another try has written.
        :raises TryReplaced: when this try is not the task's current one.
        """

    def delete(self, key: str) -> None:
        """Remove what is stored under ``key``."""


class StateStore:
    """
    Airflow 3.3's ``task_state_store``.

    :param accessor: ``context["task_state_store"]``.
    :param older: where the task has stored something if it began before Airflow was upgraded to 3.3; ``None`` if it
        cannot have.
    :param is_first_try: whether one key in Airflow's store shows that the others are not in the older one.
    """

    def __init__(self, accessor: Any, older: VariableStore | None = None, *, is_first_try: bool = False) -> None:
        self._accessor = accessor
        self._older = older
        self._is_first_try = is_first_try
        self._seen: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """
        Return what was stored under ``key``, ``None`` if nothing was.

        :raises VeniceError: when it may be in a Variable, and that cannot be read.
        """
        stored = self._seen[key] = self._accessor.get(key)
        if stored is None and self._older is not None:
            # Invariant: what was bought before the upgrade is known after it. The Variable is only read. What this
            # try makes of it is written to Airflow's store, and counts from then on.
            return self._older.get(key)
        if self._is_first_try:
            self._older = None
        return stored

    def set(self, key: str, value: Any) -> None:
        """Store ``value`` under ``key``, for as long as the run exists."""
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        with _replacement_noticed("its record could not be written"):
            # The default would drop an unsettled submission after 30 days, and a clear would buy again.
            self._accessor.set(key, value, retention=NEVER_EXPIRE)
        self._seen[key] = value

    def claim(self, key: str, value: Any) -> None:
        """Store ``value`` if nobody has written since."""
        # The server refuses the write of a try that was replaced, and the next try starts after that: it reads what
        # this one has written. So this read and this write need no further proof.
        if self._accessor.get(key) != self._seen.get(key):
            raise ConcurrentTry
        self.set(key, value)

    def delete(self, key: str) -> None:
        """Remove what is stored under ``key``."""
        self._accessor.delete(key)
        self._seen[key] = None


class VariableStore:
    """
    Airflow Variables as a store, for Airflow 3.0 to 3.2. They stay until somebody deletes them.

    :param ti: the running task instance.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self._owner = (ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
        #: What this try has last read or written, so that it notices another one.
        self._seen: dict[str, Any] = {}
        #: Tells its own writes from those of a process that runs the very same try.
        self._writer = secrets.token_hex(8)

    def variable_name(self, key: str) -> str:
        """Return the name of the Variable that holds ``key``."""
        # Hashed, because a run id alone may have as many characters as the name of a Variable.
        return f"{key}_{hashlib.sha256(json.dumps(self._owner).encode()).hexdigest()[:32]}"

    def get(self, key: str) -> Any:
        """
        Return what was stored under ``key``, ``None`` if nothing was.

        :raises TryReplaced: when a later try has written it.
        :raises VeniceConnectionError: when nobody could say.
        """
        stored = self._seen[key] = self._read(key)
        if stored is None:
            return None
        if self._is_of_another_run(stored):
            # To a try that was replaced, what the next one has written looks alike.
            if is_replaced(self._ti):
                raise TryReplaced("it does not know what was bought")
            self.delete(key)
            return None
        return stored["value"]

    def set(self, key: str, value: Any) -> None:
        """
        Store ``value`` under ``key``.

        :raises ConcurrentTry: when another try has written since this one has read.
        :raises VeniceConnectionError: when it is not there afterwards; Airflow itself only logs that.
        """
        from airflow.sdk import Variable

        if key in self._seen and self._read(key) != self._seen[key]:
            raise ConcurrentTry
        dag_id, run_id, task_id, map_index = self._owner
        owner = f"{dag_id}, {run_id}, {task_id}" + (f"[{map_index}]" if map_index >= 0 else "")
        name, written = self.variable_name(key), {**self._this_try(), "writer": self._writer, "value": value}
        Variable.set(name, written, description=f"airflow-provider-venice: {owner}", serialize_json=True)
        found = self._read(key)
        if found != written:
            if found == self._seen.get(key):
                raise VeniceConnectionError(f"the Variable {name!r} of {owner} could not be written", sent=True)
            raise ConcurrentTry
        self._seen[key] = written

    def claim(self, key: str, value: Any) -> None:
        """Store ``value`` if nobody has written since: in steps, as Variables know no compare-and-set."""
        # 1. Look, and write. Two tries may both see that nobody has written.
        began = time.monotonic()
        self.set(key, value)
        # 2. Wait until whoever saw the same has written, too, and read: only the last one finds its own claim. A try
        # that is held up for longer between its read and its write is caught by the third step.
        time.sleep(max(_SETTLE, _SETTLE_FACTOR * (time.monotonic() - began)))
        if self._read(key) != self._seen[key]:
            raise ConcurrentTry
        # 3. Ask whether this try is still the task's. The next one starts only after this one was replaced; if that
        # has not happened by now, the next one reads the claim that was written above.
        if is_replaced(self._ti):
            raise TryReplaced("nothing was submitted")

    def delete(self, key: str) -> None:
        """Remove what is stored under ``key``."""
        from airflow.sdk import Variable

        Variable.delete(self.variable_name(key))
        self._seen[key] = None

    def _this_try(self) -> dict[str, Any]:
        return {"ti_id": str(self._ti.id), "try_number": self._ti.try_number}

    def _is_of_another_run(self, stored: dict[str, Any]) -> bool:
        """
        Whether a run of the same id, deleted since, has left this.

        Within one run the number of tries only grows, and each try has an id of its own.
        """
        this = self._this_try()
        return bool(stored["try_number"] >= this["try_number"] and stored["ti_id"] != this["ti_id"])

    def _read(self, key: str) -> Any:
        """
        Return the content of a Variable, ``None`` if there is none.

        Asked of the supervisor itself where that can be done: ``Variable.get`` of Airflow 3.1 and 3.2
        takes an API server that cannot answer for a Variable that is not there.
        """
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms, task_runner

        name, supervisor = self.variable_name(key), task_runner.SUPERVISOR_COMMS
        if not hasattr(supervisor, "send"):  # the first patch releases of Airflow 3.0, which tell the two apart
            return Variable.get(name, default=None, deserialize_json=True)
        try:
            answer = supervisor.send(comms.GetVariable(key=name))
        except AirflowRuntimeError as error:
            answer = error.error
        if isinstance(answer, comms.ErrorResponse) and answer.error == ErrorType.VARIABLE_NOT_FOUND:
            return None
        if not isinstance(answer, comms.VariableResult) or not isinstance(answer.value, str):
            reason = getattr(answer, "error", None) or f"the answer was {type(answer).__name__}"
            raise VeniceConnectionError(f"the Variable {name!r} could not be read: {reason}", sent=True)
        return json.loads(answer.value)


def task_store(context: Context, *, is_resumed: bool = False) -> TaskStore:
    """
    Return the store of the running task.

    :param context: the task's context.
    :param is_resumed: whether this try has waited in the triggerer.
    """
    ti, accessor = context["ti"], context.get("task_state_store")
    if accessor is None:
        return VariableStore(ti)
    is_first_try = getattr(ti, "try_number", 1) == 1
    # A first try that has not waited began under this Airflow.
    may_be_older = (is_resumed or not is_first_try) and _has_supervisor()
    return StateStore(accessor, VariableStore(ti) if may_be_older else None, is_first_try=is_first_try)


def stop_if_replaced(ti: Any) -> None:
    """
    Stop a try that Airflow has replaced by another one, before it buys anything.

    :param ti: the running task instance.
    :raises TryReplaced: when it was replaced.
    :raises VeniceConnectionError: when Airflow could not say.
    """
    if is_replaced(ti):
        raise TryReplaced("nothing was submitted") from None


def is_replaced(ti: Any) -> bool:
    """
    Whether Airflow has given the task to another try.

    :param ti: the running task instance.
    :raises VeniceConnectionError: when Airflow could not say.
    """
    from airflow.sdk.execution_time import comms, task_runner

    supervisor: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    ti_id = getattr(ti, "id", None)
    if ti_id is None or not hasattr(supervisor, "send"):
        return False
    # Any request that the server answers for current tries only will do; this one changes nothing.
    try:
        answer = supervisor.send(comms.ValidateInletsAndOutlets(ti_id=ti_id))
    except AirflowRuntimeError as error:
        answer = error.error
    if not isinstance(answer, comms.ErrorResponse):
        return False
    if _is_not_found(answer):
        return True
    raise VeniceConnectionError(f"Airflow did not say whether this try is still the current one: {answer}", sent=True)


def _has_supervisor() -> bool:
    from airflow.sdk.execution_time import task_runner

    return hasattr(getattr(task_runner, "SUPERVISOR_COMMS", None), "send")


@contextlib.contextmanager
def _replacement_noticed(what: str) -> Iterator[None]:
    try:
        yield
    except AirflowRuntimeError as error:
        if _is_not_found(error.error):
            raise TryReplaced(what) from error
        raise


def _is_not_found(error: Any) -> bool:
    return (getattr(error, "detail", None) or {}).get("status_code") == 404
