"""What the triggers of a process share: one session for each connection, and what was learned of each key."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import weakref
from collections.abc import AsyncIterator

from airflow_provider_venice.transport.asynchronous import AsyncTransport
from airflow_provider_venice.transport.limiter import KeyState
from airflow_provider_venice.transport.settings import Settings

#: Seconds for which what was learned of a key is kept when nobody uses it. The rate limits need a minute of it, a job
#: that was submitted by then may still need the run times.
_KEPT = 3600.0


class _Shared:
    """A transport and how many use it."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self.users = 0


#: By running loop and settings: a session belongs to its loop, and is closed when nobody uses it.
_shared: dict[tuple[asyncio.AbstractEventLoop, Settings], _Shared] = {}
#: What was learned outlives the session: whoever comes after a pause must not begin at full speed.
_key_states: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, bytes], KeyState]] = (
    weakref.WeakKeyDictionary()
)


def _key_state(loop: asyncio.AbstractEventLoop, settings: Settings) -> KeyState:
    """Return what is known of a key, and forget those that nobody has used for long: keys are replaced."""
    states = _key_states.setdefault(loop, {})
    for key, state in list(states.items()):
        if state.users == 0 and loop.time() - state.left_at > _KEPT:
            del states[key]
    digest = hashlib.sha256(settings.api_key.encode()).digest()
    return states.setdefault((settings.base_url, digest), KeyState(settings))


@contextlib.asynccontextmanager
async def shared_transport(settings: Settings) -> AsyncIterator[AsyncTransport]:
    """
    Hand out the transport that all users of these settings share on this event loop.

    :param settings: those of the connection.
    """
    key = loop, _ = (asyncio.get_running_loop(), settings)
    # No await between finding and making, nor between leaving and evicting.
    entry = _shared.get(key)
    if entry is None:
        state = _key_state(loop, settings)
        entry = _shared[key] = _Shared(AsyncTransport(settings, state))
        state.users += 1
    entry.users += 1
    try:
        yield entry.transport
    finally:
        entry.users -= 1
        if entry.users == 0:
            _shared.pop(key, None)
            state = entry.transport.key_state
            state.users, state.left_at = state.users - 1, loop.time()
            await entry.transport.close()
