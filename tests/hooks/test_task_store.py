"""What outlives a try, over a slow server that answers for Airflow's supervisor: of two tries, one may submit."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import (
    DeleteVariable,
    ErrorResponse,
    GetVariable,
    OKResponse,
    PutVariable,
    ValidateInletsAndOutlets,
    VariableResult,
)

from airflow_provider_venice.exceptions import VeniceConnectionError
from airflow_provider_venice.hooks.task_store import (
    ConcurrentTry,
    StateStore,
    TryReplaced,
    VariableStore,
    is_replaced,
    task_store,
)

NOT_FOUND = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404, "message": "not found"})


class Server:
    """Airflow's API server, behind its supervisor: Variables, and which tries are current."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, delay: float = 0.0) -> None:
        self.delay = delay
        self.variables: dict[str, str] = {}
        self.replaced: set[str] = set()
        self.answers: list[Any] = []
        self._lock = threading.Lock()
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", self, raising=False)

    def send(self, message: Any) -> Any:
        # Half of the time passes on the way to the server, and half on the way back.
        time.sleep(self.delay / 2)
        with self._lock:
            answer = self.answers.pop(0) if self.answers else self._answer(message)
        time.sleep(self.delay / 2)
        if isinstance(answer, AirflowRuntimeError):
            raise answer
        return answer

    def _answer(self, message: Any) -> Any:
        if isinstance(message, GetVariable):
            value = self.variables.get(message.key)
            absent = ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
            return absent if value is None else VariableResult(key=message.key, value=value)
        if isinstance(message, PutVariable):
            self.variables[message.key] = message.value or ""
            return OKResponse(ok=True)
        if isinstance(message, DeleteVariable):
            return OKResponse(ok=self.variables.pop(message.key, None) is not None)
        assert isinstance(message, ValidateInletsAndOutlets)
        return AirflowRuntimeError(NOT_FOUND) if str(message.ti_id) in self.replaced else OKResponse(ok=True)


def ti(number: int, **fields: Any) -> SimpleNamespace:
    """Return a try of one task instance; the digits of its id are its number."""
    given = {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "dag_id": "dag",
        "run_id": "run",
        "task_id": "task",
        "map_index": -1,
        "try_number": number,
    }
    return SimpleNamespace(**{**given, **fields})


def test_every_task_instance_has_variables_of_its_own() -> None:
    others: list[dict[str, Any]] = [{}, {"map_index": 0}, {"map_index": 1}, {"run_id": "r"}, {"task_id": "t"}]
    assert len({VariableStore(ti(1, **other)).variable_name("venice_submission") for other in others}) == len(others)


def test_a_later_try_reads_what_an_earlier_one_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    VariableStore(ti(1)).set("key", {"model": "wan"})
    store = VariableStore(ti(2))
    assert store.get("key") == {"model": "wan"}
    store.claim("key", {"model": "other"})
    assert VariableStore(ti(2)).get("key") == VariableStore(ti(3)).get("key") == {"model": "other"}
    store.delete("key")
    assert store.get("key") is None
    assert server.variables == {}


@pytest.mark.parametrize("offset", [0.0, 0.005, 0.01, 0.02, 0.06])
def test_of_two_tries_over_a_slow_store_one_may_submit(offset: float, monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch, delay=0.05)

    def attempt(number: int, key: str) -> bool:
        store = VariableStore(ti(number))
        time.sleep(offset * number)
        # As a submission does it: read what earlier tries have left, and claim if they have left nothing.
        if store.get(key) is not None:
            return False
        try:
            store.claim(key, {"model": "wan"})
        except ConcurrentTry:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        rounds = [[pool.submit(attempt, number, f"round-{n}") for number in (1, 2)] for n in range(8)]
        assert [sum(attempt.result() for attempt in both) for both in rounds] == [1] * 8


def test_the_same_try_in_two_processes_submits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch)
    first, second = VariableStore(ti(1)), VariableStore(ti(1))
    assert first.get("key") is second.get("key") is None
    first.claim("key", {"sent_at": 1})
    with pytest.raises(ConcurrentTry):
        second.claim("key", {"sent_at": 1})


def test_a_try_that_was_replaced_submits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    frozen = VariableStore(ti(1))
    frozen.get("key")
    server.replaced.add(str(ti(1).id))
    with pytest.raises(TryReplaced, match="Airflow has replaced this try"):
        frozen.claim("key", {"sent_at": 1})


def test_a_try_that_was_replaced_does_not_overwrite_what_the_next_one_has_bought(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Server(monkeypatch)
    frozen, current = VariableStore(ti(1)), VariableStore(ti(2))
    frozen.get("key")
    current.get("key")
    current.claim("key", {"job": 2})
    for write in (frozen.set, frozen.claim):
        with pytest.raises(ConcurrentTry) as refused:
            write("key", {"job": 1})
        assert refused.value.can_heal
    assert current.get("key") == {"job": 2}


def test_a_run_that_was_deleted_and_made_again_does_not_take_up_its_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    VariableStore(ti(1)).set("key", {"job": "of the deleted run"})
    again = ti(1, id="99999999-0000-0000-0000-000000000000")
    assert VariableStore(again).get("key") is None
    # Nor does its next try.
    assert VariableStore(ti(2)).get("key") is None
    assert server.variables == {}


def test_a_try_that_was_replaced_takes_what_the_next_one_has_written_for_no_older_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch)
    VariableStore(ti(2)).set("key", {"job": 2})
    server.replaced.add(str(ti(1).id))
    with pytest.raises(TryReplaced):
        VariableStore(ti(1)).get("key")
    assert VariableStore(ti(2)).get("key") == {"job": 2}


def test_what_cannot_be_read_is_not_taken_for_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    failed = ErrorResponse(error=ErrorType.API_SERVER_ERROR)
    unknown: list[Any] = [failed, AirflowRuntimeError(failed), OKResponse(ok=True), None]
    for answer in unknown:
        server.answers = [answer]
        with pytest.raises(VeniceConnectionError, match="could not be read") as unread:
            VariableStore(ti(1)).get("key")
        assert unread.value.can_heal
    assert VariableStore(ti(1)).get("key") is None


def test_a_variable_that_airflow_did_not_write_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    store = VariableStore(ti(1))
    absent = ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
    store.get("key")
    server.answers = [absent, OKResponse(ok=True), absent]
    with pytest.raises(VeniceConnectionError, match="could not be written"):
        store.set("key", {"job": 1})


def test_who_is_current_is_known_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    assert is_replaced(ti(1)) is False
    for gone in (NOT_FOUND, AirflowRuntimeError(NOT_FOUND)):
        server.answers = [gone]
        assert is_replaced(ti(1)) is True
    server.answers = [ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})]
    with pytest.raises(VeniceConnectionError, match="did not say"):
        is_replaced(ti(1))


class StateAccessor:
    """Airflow 3.3's ``task_state_store``."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, *, retention: Any) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class CountingServer(Server):
    """One that counts the Variables that were asked for."""

    reads = 0

    def _answer(self, message: Any) -> Any:
        self.reads += isinstance(message, GetVariable)
        return super()._answer(message)


@pytest.mark.parametrize(("number", "is_resumed"), [(1, True), (2, False), (3, False), (3, True)])
def test_what_was_bought_before_the_upgrade_to_the_state_store_is_known_after_it(
    number: int, is_resumed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(monkeypatch)
    before = VariableStore(ti(1))
    before.set("submission", {"job": 1})
    before.set("delivery", {"path": "a.mp4"})
    accessor = StateAccessor()
    context: Any = {"ti": ti(number), "task_state_store": accessor}
    store = task_store(context, is_resumed=is_resumed)
    assert store.get("submission") == {"job": 1}
    assert store.get("delivery") == {"path": "a.mp4"}
    store.claim("submission", {"job": 2})
    # From here on the state store counts, for each key that was written there.
    context["ti"] = ti(number + 1)
    after = task_store(context)
    assert after.get("submission") == {"job": 2}
    assert after.get("delivery") == {"path": "a.mp4"}
    assert accessor.values == {"submission": {"job": 2}}


def test_a_variable_that_cannot_be_read_stops_a_retry_on_the_state_store(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    server.answers = [ErrorResponse(error=ErrorType.API_SERVER_ERROR)]
    context: Any = {"ti": ti(2), "task_state_store": StateAccessor()}
    with pytest.raises(VeniceConnectionError, match="could not be read"):
        task_store(context).get("submission")


def test_no_variable_is_asked_for_where_the_task_began_with_the_state_store(monkeypatch: pytest.MonkeyPatch) -> None:
    server = CountingServer(monkeypatch)
    context: Any = {"ti": ti(1), "task_state_store": StateAccessor()}
    store = task_store(context)
    assert store.get("submission") is None
    store.claim("submission", {"job": 1})
    resumed = task_store(context, is_resumed=True)
    assert resumed.get("submission") == {"job": 1}
    assert resumed.get("delivery") is None
    assert server.reads == 0


class Accessor:
    """Airflow 3.3's ``task_state_store``, as of a try that was replaced: its reads find nothing, its writes fail."""

    def get(self, key: str) -> Any:
        return None

    def set(self, key: str, value: Any, *, retention: Any) -> None:
        raise AirflowRuntimeError(NOT_FOUND)


def test_the_state_store_refuses_a_try_that_was_replaced() -> None:
    store = StateStore(Accessor())
    assert store.get("key") is None
    with pytest.raises(TryReplaced):
        store.claim("key", {"job": 1})


def test_the_store_is_the_one_that_airflow_has() -> None:
    context: Any = {"ti": ti(1)}
    assert isinstance(task_store(context), VariableStore)
    context["task_state_store"] = Accessor()
    assert isinstance(task_store(context), StateStore)


def test_what_is_stored_is_plain_json(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    VariableStore(ti(1)).set("key", {"job": {"model": "wan"}})
    (written,) = server.variables.values()
    assert json.loads(written)["value"] == {"job": {"model": "wan"}}
