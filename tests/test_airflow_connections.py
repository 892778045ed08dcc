"""A connection that is not defined is final, one that cannot be read now heals, and no other store takes its place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, GetConnection
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceRequestError
from airflow_provider_venice.hooks.connections import async_settings
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage import check_target
from tests.running import run_task

#: What Airflow's supervisor answers while the API server is away: as a value, or raised.
AWAY: list[Any] = [
    ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500}),
    AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR)),
    AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)),
    ConnectionResetError("the supervisor is gone"),
]

NOT_FOUND = ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)


class Supervisor:
    """Answers a task's questions for connections, as Airflow's supervisor does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, message: Any) -> Any:
        # What else is asked, such as to mask a secret, has no answer.
        if not isinstance(message, GetConnection):
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def asend(self, message: Any) -> Any:
        return self.send(message)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor(NOT_FOUND)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def test_a_connection_is_read(supervisor: Supervisor) -> None:
    supervisor.answer = ConnectionResult.model_validate(
        {"conn_id": "mine", "conn_type": "venice", "password": "key"}
        | dict.fromkeys(("host", "schema", "login", "port", "extra"))
    )
    assert read_connection("mine").password == "key"
    assert asyncio.run(async_settings("mine")).api_key == "key"


def test_one_that_is_not_defined_is_final(supervisor: Supervisor) -> None:
    for read in (lambda: read_connection("mine"), lambda: asyncio.run(async_settings("mine"))):
        with pytest.raises(VeniceRequestError, match="'mine' is not defined in Airflow; add it") as caught:
            read()
        assert not caught.value.can_heal


@pytest.mark.parametrize("answer", AWAY, ids=repr)
def test_one_that_cannot_be_read_now_heals(supervisor: Supervisor, answer: Any) -> None:
    supervisor.answer = answer
    for read in (
        lambda: read_connection("mine"),
        lambda: asyncio.run(async_settings("mine")),
        lambda: VeniceHook("mine").list_models(),
        lambda: check_target("s3://mine@bucket/clip.mp4"),
    ):
        with pytest.raises(VeniceConnectionError, match="'mine' could not be read from Airflow") as caught:
            read()
        assert caught.value.can_heal
        assert not caught.value.may_have_acted


def test_a_secrets_backend_that_fails_is_not_taken_for_one_that_knows_no_such_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CUT", '{"conn_type": "venice", "password": "secr')
    with pytest.raises(VeniceConnectionError, match="EnvironmentVariablesBackend: JSONDecodeError") as caught:
        read_connection("cut")
    assert "secr'" not in str(caught.value)


def test_a_path_whose_connection_is_not_defined_goes_to_no_other_store(supervisor: Supervisor) -> None:
    with pytest.raises(
        VeniceRequestError, match=r"'s3://nobody@bucket/clip\.mp4' cannot be used: the connection 'nobody'"
    ):
        check_target("s3://nobody@bucket/clip.mp4")


def test_a_path_without_a_connection_asks_for_none(supervisor: Supervisor) -> None:
    supervisor.answer = AWAY[0]
    with pytest.raises(VeniceRequestError, match="install apache-airflow-providers-google"):
        check_target("gs://bucket/clip.mp4")


def test_a_file_system_may_be_attached_under_any_name(supervisor: Supervisor, tmp_path: Path) -> None:
    make: Any = MemoryFileSystem
    attach("memory", conn_id=tmp_path.name, fs=make())
    check_target(f"memory://{tmp_path.name}@bucket/clip.mp4")


def test_the_file_system_that_airflow_makes_without_a_connection_is_not_taken(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    made_by_airflow: Any = type("S3FileSystem", (MemoryFileSystem,), {"__module__": "s3fs.core"})
    attach("s3", conn_id=tmp_path.name, fs=made_by_airflow())
    path = ObjectStoragePath(f"s3://{tmp_path.name}@bucket") / "clip.mp4"
    with pytest.raises(VeniceRequestError, match=rf"the connection '{tmp_path.name}' is not defined in Airflow"):
        check_target(path)


@pytest.mark.usefixtures("venice_connection")
def test_nothing_is_bought_while_the_connection_of_the_path_cannot_be_read(
    venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: dict[str, Any] = {
        "task_id": "generate", "model": "wan-2-7-text-to-video", "prompt": "x", "duration": 5,
        "output_path": "s3://store@bucket/clip.mp4",
    }  # fmt: skip
    with monkeypatch.context() as away:
        away.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "aws"})[:-1])
        with pytest.raises(VeniceConnectionError, match="'store' could not be read"):
            run_task(VeniceGenerateVideoOperator(**task))
    with pytest.raises(AirflowFailException, match="the connection 'store' is not defined"):
        run_task(VeniceGenerateVideoOperator(**task))
    assert venice_simulator.journal.charges == []
