"""Reads a connection once for the many triggers of a process that start together."""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass, field

from airflow_provider_venice.transport.settings import Settings, decode_extra

#: Seconds for which what was read is believed: a key that was changed reaches the next triggers.
_FRESH = 30.0


@dataclass
class _Known:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    settings: Settings | None = None
    until: float = 0.0


_known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Known]] = weakref.WeakKeyDictionary()


async def async_settings(conn_id: str) -> Settings:
    """
    Return what a connection settles, without blocking the loop.

    Each read asks Airflow's secrets backends and its API server; a triggerer that starts again with
    a thousand triggers would ask them a thousand times.

    :param conn_id: the connection.
    :raises VeniceRequestError: when the connection is not valid.
    """
    from airflow.providers.common.compat.connection import get_async_connection

    known = _known.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, _Known())
    # The lock, not a shared task: a connection can only be read in the context of a trigger.
    async with known.lock:
        if known.settings is None or time.monotonic() > known.until:
            connection = await get_async_connection(conn_id)
            known.settings = Settings.of(connection, decode_extra(connection.extra))
            known.until = time.monotonic() + _FRESH
        return known.settings
