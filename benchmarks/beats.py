"""A trigger that measures the event loop that it runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

#: Seconds between two beats. The triggerer's own watchdog counts at this rate, too.
BEAT = 0.1


class BeatsTrigger(BaseTrigger):
    """
    Write a line at each beat: by how many milliseconds it was late, and for how many of them the loop has computed.

    The rest of a delay is a wait, for a socket or for a processor.

    :param path: the file.
    :param until: epoch seconds of the end.
    """

    def __init__(self, path: str, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        return f"{__name__}.{type(self).__name__}", {"path": self.path, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Write until the end."""
        with open(self.path, "a", buffering=1) as file:  # noqa: ASYNC230 - a local file, a line at a time
            while time.time() < self.until:
                began, computed = time.monotonic(), time.thread_time()
                await asyncio.sleep(BEAT)
                late = time.monotonic() - began - BEAT
                file.write(f"{1000 * late} {1000 * min(late, time.thread_time() - computed)}\n")
        yield TriggerEvent(None)
