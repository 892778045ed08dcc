"""Reads the account's usage history, with a connection of its own, and asks it whether a submission was charged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.billing import KnownPurchase, UsageHistory
from airflow_provider_venice.api.charges import SLACK, ChargeFinding, find_charge
from airflow_provider_venice.api.costs import ActualCost, find_cost
from airflow_provider_venice.api.spending import Period
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceError, VeniceRequestError

if TYPE_CHECKING:
    from airflow_provider_venice.api.billing import UsageEntry
    from airflow_provider_venice.api.model import VideoJob
    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.transport.blocking import BlockingTransport


#: Days of the sums in which an API key is looked for that both connections list.
_DAYS_OF_SUMS = 7

#: How often the balances of both connections are compared: a purchase between two answers makes them differ.
_COMPARISONS = 3

#: Seconds for which a history is good enough to look up what several jobs have cost.
_FRESH = 60.0

#: Seconds before a submission from which known purchases are looked for in the history, at the most.
_LOOK_BACK = 7200.0


def read_history(
    hook: VeniceHook, since: float, until: float | None = None, *, attempts: int | None = None
) -> UsageHistory:
    """
    Return the account's usage history of a period, all pages, read with the connection of ``admin_conn_id``.

    :param hook: that of the connection which names the admin connection.
    :param since: first moment, in epoch seconds.
    :param until: the moment after the last, in epoch seconds; ``None`` for now.
    :param attempts: how often each page is asked for; as the connection says if ``None``.
    :raises VeniceRequestError: when the connection names no admin connection, or one that is not valid.
    :raises VeniceError: when the history cannot be read; its message names the admin connection.
    """
    try:
        with _admin_transport(hook) as transport:
            try:
                return _walk(transport, since, until, attempts)
            except VeniceAPIError as error:
                if error.status_code != 400:
                    raise
                # "Invalid or expired cursor; restart from the first page".
                return _walk(transport, since, until, attempts)
    except VeniceError as error:
        conn_id = hook.get_conn().settings.admin_conn_id
        if conn_id is not None:
            hint = "; its key has to be an ADMIN key" * (getattr(error, "status_code", None) in (401, 403))
            error.args = (f"the usage history cannot be read with the connection {conn_id!r}{hint}: {error}",)
        raise


@contextlib.contextmanager
def _admin_transport(hook: VeniceHook) -> Iterator[BlockingTransport]:
    """
    Give what carries calls with the ADMIN key.

    :raises VeniceRequestError: when the connection names no admin connection, or one that is not valid.
    """
    admin = admin_hook(hook)
    transport = admin.get_conn()
    try:
        yield transport
    finally:
        if admin is not hook:
            transport.close()


def admin_hook(hook: VeniceHook) -> VeniceHook:
    """
    Return the hook of the connection with the ADMIN key.

    :param hook: that of the connection which names it.
    :raises VeniceRequestError: when it names none.
    """
    conn_id = hook.get_conn().settings.admin_conn_id
    if conn_id is None:
        raise VeniceRequestError(
            f"the connection {hook.venice_conn_id!r} names no admin_conn_id in its extra, and the usage history takes "
            "an ADMIN key; add a second Venice connection with one, and its id there",
            fields={"extra.admin_conn_id": "is not set"},
        )
    return hook if conn_id == hook.venice_conn_id else type(hook)(conn_id)


def check_doubt(
    hook: VeniceHook,
    *,
    model: str,
    sent_at: float,
    ended_at: float,
    cost: Decimal | None,
    known: Sequence[KnownPurchase] = (),
    doubts: int = 1,
) -> ChargeFinding:
    """
    Return whether a submission in doubt was charged. It waits for nothing: before ``billing_delay`` it cannot tell.

    :param hook: that of the connection which the submission was made with.
    :param model: the model that was asked for.
    :param sent_at: when the submission was sent, at the earliest, in epoch seconds.
    :param ended_at: when it had ended on our side, at the latest, in epoch seconds.
    :param cost: the quoted US dollars, ``None`` where there was no quote.
    :param known: purchases that are not in doubt, of this task and of others.
    :param doubts: how many submissions to this model are in doubt, this one included.
    """
    delay = hook.get_conn().settings.billing_delay
    try:
        since = min([sent_at, *(at for one in known if (at := one.bought_at) and at > sent_at - _LOOK_BACK)])
        different = _other_account(hook)
        if different is not None:
            return ChargeFinding("cannot tell", different)
        history = read_history(hook, since - SLACK)
    except VeniceError as error:
        return ChargeFinding("cannot tell", str(error).rstrip("."))
    return find_charge(
        history,
        model=model,
        sent_at=sent_at,
        ended_at=ended_at,
        cost=cost,
        delay=delay,
        known=known,
        other_models=_other_models(hook, model),
        doubts=doubts,
    )


class CostReader:
    """
    Reads what jobs have really cost, where the connection names an admin connection.

    It is called when a clip that is paid for is stored, so it raises nothing, asks once, and not again after a failure.

    :param hook: that of the connection which the jobs were bought with.
    :param log: the task's log.
    """

    def __init__(self, hook: VeniceHook, log: Any) -> None:
        self._hook = hook
        self._log = log
        self._history: UsageHistory | None = None
        self._failure: ActualCost | None = None

    def cost_of(self, job: VideoJob) -> ActualCost | None:
        """Return what a job has cost, as far as the history says by now; ``None`` without an admin connection."""
        try:
            if self._hook.get_conn().settings.admin_conn_id is None:
                return None
            if self._failure is not None:
                return self._failure
            if job.queued_at is None:
                return ActualCost(note="the time of the submission is not known")
            return find_cost(self._read(job.queued_at - SLACK), job.queue_id)
        except Exception as error:
            self._log.warning("What %s has really cost is not known: %s", job, error)
            self._failure = ActualCost(note=str(error).rstrip("."))
            return self._failure

    def _read(self, since: float) -> UsageHistory:
        """Return the history since a time, one that was read a short while ago if it goes back as far."""
        known = self._history
        if known is None or known.since > since or time.time() > known.read_at + _FRESH:
            known = self._history = read_history(self._hook, since, attempts=1)
        return known


def _walk(transport: BlockingTransport, since: float, until: float | None, attempts: int | None) -> UsageHistory:
    # Before the first page: what is charged while the pages are read may be missing.
    read_at = time.time()
    entries: list[UsageEntry] = []
    seen: set[str] = set()
    page = transport.send(calls.usage_history(since, until), attempts=attempts)
    differ = page.clocks_differ
    while True:
        entries += page.entries
        if page.cursor is None:
            return UsageHistory(tuple(entries), since, read_at, differ)
        if page.cursor in seen:
            raise VeniceError("the usage history does not end: Venice has sent a cursor twice")
        seen.add(page.cursor)
        page = transport.send(calls.usage_history(cursor=page.cursor), attempts=attempts)
        differ = max(differ, page.clocks_differ, key=abs)


def _other_account(hook: VeniceHook) -> str | None:
    """Return why the admin connection may be for another account; ``None`` where both are certainly for the same."""
    ours = hook.get_conn()
    with _admin_transport(hook) as theirs:
        names = f"the connections {hook.venice_conn_id!r} and {ours.settings.admin_conn_id!r}"
        if ours.settings.base_url != theirs.settings.base_url:
            return f"{names} have different base URLs: the history may be that of another account"
        for _ in range(_COMPARISONS):
            first, second = (one.send(calls.rate_limits()).get("balances") for one in (ours, theirs))
            if first == second and first:
                return None
        if _share_a_key(ours, theirs):
            return None
    return (
        f"{names} show different balances, and their sums of the last {_DAYS_OF_SUMS} days no API key in common: the "
        "history may be that of another account"
    )


def _share_a_key(ours: BlockingTransport, theirs: BlockingTransport) -> bool:
    """Whether the sums of both list one API key: the balances of one account differ where a key has a limit."""
    today = datetime.now(timezone.utc).date()
    period = Period(today - timedelta(days=_DAYS_OF_SUMS - 1), today)
    first, second = (one.send(calls.usage_analytics(period)).by_key for one in (ours, theirs))
    return not {key.id for key in first if key.id}.isdisjoint(key.id for key in second)


def _other_models(hook: VeniceHook, model: str) -> Collection[str]:
    """Return the ids of the other video models; none where the list cannot be read, which only says less."""
    try:
        return {other.id for other in hook.list_models()} - {model}
    except VeniceError:
        return ()
