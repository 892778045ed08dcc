"""The account's usage history, and the purchases that its entries are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from airflow_provider_venice.api.money import dollars


@dataclass(frozen=True)
class UsageEntry:
    """
    One entry of the usage history.

    A field that is missing or has another type has its default here, and its name is in ``unread``.

    :param timestamp: when the entry was made, in epoch seconds by Venice's clock.
    :param sku: the product, such as ``wan-2-7-text-to-video-…``.
    :param amount: what was charged, in ``currency``; negative for a charge.
    :param currency: ``USD``, ``DIEM`` or ``BUNDLED_CREDITS``.
    :param units: how many units of the product.
    :param price_per_unit: US dollars for one unit.
    :param notes: Venice's remark.
    :param request_id: the request that it is for; ``None`` where Venice names none. Whether that of a video is its
        ``queue_id`` is not documented.
    :param unread: names of the fields that could not be read.
    """

    timestamp: float = 0.0
    sku: str = ""
    amount: Decimal = Decimal(0)
    currency: str = ""
    units: Decimal = Decimal(0)
    price_per_unit: Decimal = Decimal(0)
    notes: str = ""
    request_id: str | None = None
    unread: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Any) -> UsageEntry:
        """
        Read a row of ``/billing/usage-history``, whatever it holds.

        :param row: the row, its numbers as ``Decimal`` or ``int``.
        """
        values: Mapping[str, Any] = row if isinstance(row, dict) else {}
        details = values.get("inferenceDetails")
        named = details.get("requestId") if isinstance(details, dict) else None
        read = {
            "timestamp": _moment(values.get("timestamp")),
            "sku": _text(values.get("sku")),
            "amount": _number(values.get("amount")),
            "currency": _text(values.get("currency")),
            "units": _number(values.get("units")),
            "price_per_unit": _number(values.get("pricePerUnitUsd")),
            "notes": _text(values.get("notes")),
        }
        unread = [name for name, value in read.items() if value is None]
        if not (details is None or (isinstance(details, dict) and (named is None or isinstance(named, str)))):
            unread.append("request_id")
        known: dict[str, Any] = {name: value for name, value in read.items() if value is not None}
        return cls(**known, request_id=named if isinstance(named, str) else None, unread=tuple(unread))

    @property
    def is_refund(self) -> bool:
        """Whether it gives money back, as its amount and its notes say."""
        return self.amount > 0 and "refund" in self.notes.lower()

    @property
    def time(self) -> str:
        """When it was made, for people."""
        return utc(self.timestamp)

    def to_dict(self) -> dict[str, Any]:
        """Return what it says as plain JSON; amounts as text."""
        return {
            "time": self.time,
            "sku": self.sku,
            "amount": str(self.amount),
            "currency": self.currency,
            "units": str(self.units),
            "notes": self.notes,
            "request_id": self.request_id,
        }

    def __str__(self) -> str:
        amount = dollars(self.amount) if self.currency == "USD" else f"{self.amount} {self.currency}"
        return f"{amount} at {self.time} for {self.sku!r}" + (f", request {self.request_id}" if self.request_id else "")


@dataclass(frozen=True)
class UsagePage:
    """
    One page of the usage history.

    :param entries: in the order in which Venice lists them.
    :param cursor: leads to the next page; ``None`` on the last one.
    :param clocks_differ: seconds by which Venice's clock is ahead of ours, where the answer's ``Date`` shows that.
    """

    entries: tuple[UsageEntry, ...]
    cursor: str | None
    clocks_differ: float = 0.0


@dataclass(frozen=True)
class UsageHistory:
    """
    All entries of a period, as they were at one moment.

    :param entries: in the order in which Venice lists them.
    :param since: epoch seconds from which it was read.
    :param read_at: epoch seconds at which reading began; later entries may be there or not.
    :param clocks_differ: seconds by which Venice's clock is ahead of ours, where it is known to differ.
    """

    entries: tuple[UsageEntry, ...]
    since: float
    read_at: float
    clocks_differ: float = 0.0


@dataclass(frozen=True)
class KnownPurchase:
    """
    A purchase that is not in doubt: Venice has named its job.

    :param queue_id: the job's id.
    :param model: its model.
    :param bought_at: when the submission was answered, in epoch seconds by the worker's clock; ``None`` if not known.
    :param cost: the quoted US dollars, ``None`` if not known.
    :param is_own: whether it was certainly bought from the same account. It then explains an entry also where Venice
        names requests by other ids; any other purchase explains only what has its id.
    """

    queue_id: str
    model: str
    bought_at: float | None = None
    cost: Decimal | None = None
    is_own: bool = False


def timestamp(moment: float) -> str:
    """
    Return a time as Venice's billing endpoints take it, with milliseconds, rounded down.

    :param moment: epoch seconds.
    """
    whole = math.floor(moment)
    return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%dT%H:%M:%S}.{math.floor((moment - whole) * 1000):03d}Z"


def utc(moment: float) -> str:
    """
    Return a time for people.

    :param moment: epoch seconds.
    """
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _moment(value: Any) -> float | None:
    """Return an ISO 8601 time as epoch seconds; one without a zone is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(timezone.utc).timestamp()


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
