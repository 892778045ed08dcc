"""Reads an Airflow connection, and tells one that is not defined from one that cannot be read now."""

from __future__ import annotations

from typing import Any

from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceRequestError


def read_connection(conn_id: str) -> Any:
    """
    Return a connection.

    :param conn_id: its id.
    :raises VeniceRequestError: when Airflow has no connection of that id.
    :raises VeniceConnectionError: when Airflow cannot say now: its API server, its database or a secrets backend
        does not answer.
    """
    from airflow_provider_venice.version_compat import AirflowNotFoundException, BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise _reason_for_absence(conn_id) from None
    except Exception as error:
        raise _unreadable(conn_id, type(error).__name__) from error


async def read_connection_async(conn_id: str) -> Any:
    """
    Return a connection without blocking the event loop.

    :param conn_id: its id.
    :raises VeniceRequestError: when Airflow has no connection of that id.
    :raises VeniceConnectionError: when Airflow cannot say now.
    """
    from airflow.sdk import Connection
    from asgiref.sync import sync_to_async

    from airflow_provider_venice.version_compat import AirflowNotFoundException, BaseHook

    try:
        if hasattr(Connection, "aextra_dejson"):
            return await BaseHook.aget_connection(conn_id)
        # Before Airflow 3.3.2, that masks the secrets by a blocking call, which fails while the event loop waits for
        # an answer to another one.
        return await sync_to_async(BaseHook.get_connection)(conn_id)
    except AirflowNotFoundException:
        raise await sync_to_async(_reason_for_absence)(conn_id) from None
    except Exception as error:
        raise _unreadable(conn_id, type(error).__name__) from error


def _reason_for_absence(conn_id: str) -> VeniceRequestError | VeniceConnectionError:
    """
    Return the error for a connection that Airflow has not found.

    Airflow asks one secrets backend after the other and passes over those that fail; where none has answered, it
    reports the same as where none knows the connection. So each is asked once more here, and a failure counts.
    """
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            problem = _ask(backend, conn_id)
        except Exception as error:
            # The type only: some backends show the connection's URI, with its password, in the message.
            problem = f"{type(backend).__name__}: {type(error).__name__}"
        if problem is not None:
            return _unreadable(conn_id, problem)
    return VeniceRequestError(
        f"the connection {conn_id!r} is not defined in Airflow; add it (Admin > Connections, or airflow connections "
        "add), or correct the name",
        fields={"connection": "is not defined"},
    )


def _ask(backend: Any, conn_id: str) -> str | None:
    """Return why a backend may know the connection, ``None`` where it does not."""
    if type(backend).__name__ != "ExecutionAPISecretsBackend":
        return None if backend.get_connection(conn_id) is None else "it was not found before"
    # Airflow 3.1 and later. This backend, too, answers None where the API server does not answer; the supervisor itself
    # names the error.
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import comms, task_runner

    try:
        answer = task_runner.SUPERVISOR_COMMS.send(comms.GetConnection(conn_id=conn_id))
    except AirflowRuntimeError as error:
        answer = error.error
    if isinstance(answer, comms.ErrorResponse):
        return None if answer.error == ErrorType.CONNECTION_NOT_FOUND else answer.error.value
    return "it was not found before" if answer is not None else "no answer"


def _unreadable(conn_id: str, problem: str) -> VeniceConnectionError:
    return VeniceConnectionError(
        f"the connection {conn_id!r} could not be read from Airflow ({problem}). Its API server, its database or a "
        "secrets backend does not answer; try again once they do",
        sent=False,
    )
