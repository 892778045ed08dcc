"""``VeniceUsageHistoryTrigger``: waits, without a worker slot, until the account's usage history is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_venice.triggers.heartbeat import earliest_event


class VeniceUsageHistoryTrigger(BaseTrigger):
    """
    Wait until the usage history has the charge of a submission in doubt, if there is one.

    It asks Venice nothing: the worker that goes on reads the history. The one event has ``status``: ``success``.

    :param moment: epoch seconds until which it waits.
    """

    def __init__(self, *, moment: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as plain JSON."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"moment": self.moment}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        earliest = earliest_event()
        await asyncio.sleep(max(self.moment - time.time(), earliest - time.monotonic(), 0.0))
        yield TriggerEvent({"status": "success"})
