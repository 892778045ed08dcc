"""Whose turn it is, where many jobs of one key want to be looked at and few may."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import time
from collections.abc import AsyncIterator, Callable

from airflow_provider_venice.api.limits import Pace

log = logging.getLogger(__name__)

#: How urgent a request is at an epoch second; the largest goes first.
Urgency = Callable[[float], float]


class Turns:
    """
    Lets requests out at a pace, the most urgent one first.

    No job starves: the urgency of one that is passed over grows, that of one that had its turn starts anew.

    :param pace: when the next one may go.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        #: A dictionary, as thousands may wait, and leave when their time is up.
        self._waiting: dict[asyncio.Future[None], Urgency] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def turn(self, urgency: Urgency) -> AsyncIterator[None]:
        """
        Wait for a turn, and hold it while the request runs. One who is cancelled meanwhile gives it back.

        :param urgency: how urgent it is.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = urgency
        if self._timer is None:
            self._arrange()
        try:
            await turn
            yield
        finally:
            self._waiting.pop(turn, None)
            if turn.done() and not turn.cancelled():
                self.pace.done()
                self._arrange()

    def _urgency(self, turn: asyncio.Future[None], now: float) -> float:
        """Return how urgent one is; what is wrong with it must not stop all others of the key."""
        try:
            return self._waiting[turn](now)
        except Exception:
            log.exception("The urgency of a request is not known; it goes first")
            return math.inf

    def _arrange(self) -> None:
        """Give a turn to whom it is due, and come back when the next one is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            now = time.time()
            due = self.pace.next_at(now)
            if due > now:
                # In a context of its own: the current one may belong to one trigger, and to its log.
                self._timer = asyncio.get_running_loop().call_later(
                    due - now, self._arrange, context=contextvars.Context()
                )
                return
            turn = max(self._waiting, key=lambda one: self._urgency(one, now))
            del self._waiting[turn]
            if not turn.cancelled():
                self.pace.take(now)
                turn.set_result(None)
