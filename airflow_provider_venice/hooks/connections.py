"""Connects the many triggers of a process that start together: one reading, one client, one session for all."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_venice.airflow_connections import read_connection_async
from airflow_provider_venice.exceptions import VeniceConnectionError
from airflow_provider_venice.transport.settings import Settings, decode_extra

if TYPE_CHECKING:
    from airflow_provider_venice.transport.asynchronous import AsyncTransport

#: Seconds for which what was read is believed: a key that was changed reaches the next triggers.
_FRESH = 30.0


@dataclass
class _Known:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    settings: Settings | None = None
    #: When its reading began, on the monotonic clock.
    read_at: float = 0.0


_known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Known]] = weakref.WeakKeyDictionary()


async def async_settings(conn_id: str, *, read_after: float = 0.0) -> Settings:
    """
    Return what a connection settles, without blocking the loop.

    Each read asks Airflow's secrets backends and its API server; a triggerer that starts again with
    a thousand triggers would ask them a thousand times.

    :param conn_id: the connection.
    :param read_after: time on the monotonic clock; what was read before is not believed. Who finds a key refused
        names that moment: one reading serves all that found it refused before.
    :raises VeniceRequestError: when the connection is not valid, or not defined.
    :raises VeniceConnectionError: when it cannot be read now.
    """
    known = _known.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, _Known())
    # The lock, not a shared task: a connection can only be read in the context of a trigger.
    async with known.lock:
        now = time.monotonic()
        if known.settings is None or known.read_at < max(now - _FRESH, read_after):
            connection = await read_connection_async(conn_id)
            known.settings = Settings.of(connection, decode_extra(connection.extra))
            known.read_at = now
        return known.settings


#: Whether the HTTP client of the triggers is loaded.
_client_loaded = False


async def _load_client() -> None:
    """Load it in a thread, as that takes up to half a second, for which no other trigger of the process would run."""
    global _client_loaded

    def load() -> None:
        from airflow_provider_venice.transport import asynchronous

        asynchronous.read_authorities()

    if not _client_loaded:
        await asyncio.to_thread(load)
        _client_loaded = True


@contextlib.asynccontextmanager
async def async_transport(conn_id: str) -> AsyncIterator[AsyncTransport]:
    """
    Give the transport that all triggers of this connection share, without blocking the loop.

    :param conn_id: the connection.
    :raises VeniceRequestError: when the connection is not valid, or not defined.
    :raises VeniceConnectionError: when it cannot be read now.
    """
    await _load_client()
    from airflow_provider_venice.transport.shared import shared_transport

    async with shared_transport(await async_settings(conn_id)) as transport:
        yield transport


@contextlib.contextmanager
def reading_again(conn_id: str) -> Iterator[None]:
    """
    Turn whatever goes wrong while a connection is read again into a failure that passes.

    A key that is being replaced, or an API server that is away for a moment, ends no wait for a paid clip.

    :param conn_id: the connection.
    :raises VeniceConnectionError: in place of any exception.
    """
    try:
        yield
    except Exception as error:
        raise VeniceConnectionError(
            f"the connection {conn_id!r} could not be read again: {error}", sent=False
        ) from error
