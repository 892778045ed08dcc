"""``VeniceRateLimitTrigger``: waits, without a worker slot, until a key's rate limit admits a request of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_venice import observability
from airflow_provider_venice.api.limits import RateLimit
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError, VeniceRateLimitError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.transport.limiter import ADMISSION_SECONDS, FirstInFirstOut
from airflow_provider_venice.triggers.heartbeat import earliest_event

if TYPE_CHECKING:
    from airflow_provider_venice.transport.asynchronous import AsyncTransport

#: Seconds that a download counts as more urgent than it is: Venice does not keep a clip for long, and a poll can wait.
_BEFORE_POLLS = 86400.0

#: For how many seconds a submission is admitted, by how many admissions its task has missed already, and as how many
#: submissions it counts. Tasks that were admitted one by one may get their worker slots together, as many as were
#: admitted within that time. So those of a minute and that time together must stay below the limit of a minute. The
#: third admission has no end, so that no task asks for ever.
_ADMISSIONS: tuple[tuple[float | None, int], ...] = ((ADMISSION_SECONDS, 1), (70.0, 2), (None, 3))


class Admission(NamedTuple):
    """
    What the rate limit's trigger reports to a task.

    :param since: epoch seconds since which the task waits.
    :param deadline: epoch seconds until which it may.
    :param expires_at: epoch seconds until which the submission is admitted; ``None`` for no end.
    :param missed: how many admissions the task has missed before.
    """

    since: float
    deadline: float
    expires_at: float | None = None
    missed: int = 0


class VeniceRateLimitTrigger(BaseTrigger):
    """
    Wait until the key's rate limit admits one more submission or download, which a worker then makes.

    A trigger submits nothing itself: it is run again when its triggerer is lost, and would pay twice.
    All that wait in one triggerer are let through one by one, at the pace of the limit; who has waited
    longest goes first. The one event has ``status`` (``success``, ``error``, ``timeout``) and what
    :func:`admission` reads.

    :param venice_conn_id: the connection.
    :param since: epoch seconds since which the task waits.
    :param deadline: epoch seconds at which to give up.
    :param refused_until: epoch seconds until which Venice has refused submissions, where it has; all
        that wait for the same key wait for that.
    :param budget: the rate limit: ``queue`` for a submission, ``retrieve`` for a download, which goes before all polls.
    :param missed: how many admissions the task has missed, as no worker slot was free in time.
    """

    def __init__(
        self,
        *,
        venice_conn_id: str,
        since: float,
        deadline: float,
        refused_until: float | None = None,
        budget: Literal["queue", "retrieve"] = "queue",
        missed: int = 0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.venice_conn_id = venice_conn_id
        self.since = since
        self.deadline = deadline
        self.refused_until = refused_until
        self.budget = budget
        self.missed = missed

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "venice_conn_id": self.venice_conn_id,
                "since": self.since,
                "deadline": self.deadline,
                "refused_until": self.refused_until,
                "budget": self.budget,
                "missed": self.missed,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        earliest = earliest_event()
        event: dict[str, Any] = {"since": self.since, "deadline": self.deadline, "missed": self.missed}
        try:
            async with VeniceHook(self.venice_conn_id).async_transport() as transport:
                self._tell(transport)
                # An admission is of use only to a task that can be resumed at once.
                await asyncio.sleep(max(0.0, earliest - time.monotonic()))
                # Only the wait itself: a connection that cannot be read in time says nothing of the rate limit.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wait_for_admission(transport), max(0.0, self.deadline - time.time()))
                    seconds, _ = self._admission
                    event |= {"status": "success", "expires_at": None if seconds is None else time.time() + seconds}
            event.setdefault("status", "timeout")
        except Exception as error:
            self.log.exception("The wait for the rate limit broke off")
            heals = not isinstance(error, VeniceError) or error.can_heal
            event |= {"status": "error", "message": str(error) or repr(error), "heals": heals}
        await asyncio.sleep(max(0.0, earliest - time.monotonic()))
        yield TriggerEvent(event)

    def _tell(self, transport: AsyncTransport) -> None:
        """Let all that wait for this key know that it was refused."""
        now = time.time()
        if self.refused_until is not None and self.refused_until > now:
            pace = transport.key_state.limiters[self.budget].pace
            unknown = RateLimit(limit=None, remaining=None, resets_at=None)
            pace.observe(unknown, self.refused_until - now, asyncio.get_running_loop().time())

    async def _wait_for_admission(self, transport: AsyncTransport) -> None:
        limiter, clock = transport.key_state.limiters[self.budget], asyncio.get_running_loop().time
        waited = time.time() - self.since + (_BEFORE_POLLS if self.budget == "retrieve" else 0.0)
        async with limiter.acquire(FirstInFirstOut(clock() - waited)):
            self.log.info("The rate limit admits the request, after %.0f s", time.time() - self.since)
            observability.rate_limit_waited(self.budget, time.time() - self.since)
            _, count = self._admission
            limiter.pace.expect(count - 1, clock())

    @property
    def _admission(self) -> tuple[float | None, int]:
        """For how many seconds the request is admitted, and as how many it counts."""
        return (None, 1) if self.budget == "retrieve" else _ADMISSIONS[min(self.missed, len(_ADMISSIONS) - 1)]


def admission(event: Mapping[str, Any] | None) -> Admission:
    """
    Return the admission, if the task was let through.

    :param event: what the trigger yielded.
    :raises VeniceRateLimitError: when the time was up before it was admitted.
    :raises VeniceError: when it is no event of ours, or the trigger broke.
    """
    status = event.get("status") if isinstance(event, Mapping) else None
    if event is None or status not in ("success", "error", "timeout"):
        raise VeniceError(f"the trigger sent an event with the unknown status {status!r}")
    if status == "timeout":
        waited = event["deadline"] - event["since"]
        raise VeniceRateLimitError(
            f"the rate limit admitted no submission within {waited:.0f} s; nothing was sent. "
            "Raise timeout, or start fewer tasks at once",
            429,
        )
    if status == "error":
        raise VeniceConnectionError(event["message"], sent=False) if event["heals"] else VeniceError(event["message"])
    return Admission(event["since"], event["deadline"], event.get("expires_at"), event.get("missed", 0))
