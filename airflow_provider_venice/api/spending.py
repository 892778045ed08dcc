"""What an account has spent, and what a key may still spend."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from airflow_provider_venice.api.plain import PlainObject, as_json
from airflow_provider_venice.exceptions import VeniceRequestError

#: Most days that ``/billing/usage-analytics`` sums up (the vendor's OpenAPI document).
MOST_DAYS = 90

#: An amount from here on is no amount of US dollars.
_MOST_MONEY = 10**15


@dataclass(frozen=True)
class Period:
    """
    Days in UTC, the first and the last included.

    :param since: the first day.
    :param until: the last day.
    """

    since: datetime.date
    until: datetime.date

    @classmethod
    def of(cls, since: Any, until: Any, *, today: datetime.date) -> Period:
        """
        Read a period as callers give it: dates, datetimes or ISO 8601 text; a time without an offset is UTC.

        :param until: the last day; today if ``None``.
        :param today: the current day in UTC.
        :raises VeniceRequestError: when one is no day, is in the future, or the order or the length is wrong.
        """
        first = _day("since", since)
        last = today if until is None else _day("until", until)
        for name, day in (("since", first), ("until", last)):
            if day > today:
                _refuse(name, f"is {day}, which is in the future; today is {today} in UTC")
        if first > last:
            _refuse("since", f"is {first}, which is after until={last}; give the earlier day as since")
        if (count := (last - first).days + 1) > MOST_DAYS:
            _refuse("since", f"is {first}: to {last} are {count} days, and Venice sums up {MOST_DAYS} at most")
        return cls(first, last)

    @property
    def query(self) -> dict[str, str]:
        """The query of ``/billing/usage-analytics``."""
        return {"startDate": str(self.since), "endDate": str(self.until)}


@dataclass(frozen=True)
class KeySpending:
    """
    What one API key has spent.

    :param id: the key's id at Venice; ``None`` for what was spent in Venice's web app.
    :param description: the name that the key was given at Venice.
    :param usd: US dollars.
    """

    id: str | None
    description: str
    usd: Decimal


@dataclass(frozen=True)
class Spending(PlainObject):
    """
    What an account has spent in a period, in US dollars: charges less refunds.

    :param since: the first day, in UTC.
    :param until: the last day, in UTC; included.
    :param total: the sum of ``by_day``.
    :param by_day: by the day in UTC, as ``2026-11-28``.
    :param by_model: by the model's display name, the largest first.
    :param by_key: by API key, the largest first.
    :param diem: what was paid in Diem, which the US dollars do not include.
    """

    since: datetime.date
    until: datetime.date
    total: Decimal
    by_day: Mapping[str, Decimal]
    by_model: Mapping[str, Decimal]
    by_key: tuple[KeySpending, ...]
    diem: Decimal = Decimal(0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON; money as numbers, days as text."""
        values = dataclasses.asdict(self)
        plain: dict[str, Any] = as_json({**values, "since": str(self.since), "until": str(self.until)})
        return plain

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any], period: Period) -> Spending:
        """
        Read an answer of ``/billing/usage-analytics``.

        :raises ArithmeticError, AttributeError, LookupError, TypeError, ValueError: when it has another form.
        """
        days = {str(entry["date"]): entry for entry in payload["byDate"]}
        by_day = {day: _amount(entry["USD"]) for day, entry in sorted(days.items())}
        by_model: dict[str, Decimal] = {}
        for entry in payload["byModel"]:
            # A model stands there once for each unit that it is billed in.
            name = str(entry["modelName"])
            by_model[name] = by_model.get(name, Decimal(0)) + _amount(entry["totalUsd"])
        keys = [
            KeySpending(entry["apiKeyId"], str(entry["description"]), _amount(entry["totalUsd"]))
            for entry in payload["byKey"]
        ]
        return cls(
            period.since,
            period.until,
            _sum(by_day.values()),
            by_day,
            dict(sorted(by_model.items(), key=lambda item: -item[1])),
            tuple(sorted(keys, key=lambda key: -key.usd)),
            _sum(_amount(entry["DIEM"]) for entry in days.values()),
        )


def describe_key(limits: Mapping[str, Any]) -> tuple[bool, str]:
    """
    Return whether a key may be used, and what it may spend, for people.

    Venice does not give the key's spending limit to the key itself. Its balances are those of the key: the
    account's, or what is left of the key's limit where that is less (the vendor's agent skills of October 2026).

    :param limits: the answer of ``/api_keys/rate_limits``.
    """
    tier = (limits.get("apiTier") or {}).get("id", "unknown")
    if limits.get("accessPermitted") is False:
        reasons = "the balance, the key's spending limit, or the account stands in the way"
        return False, f"The key is known (tier {tier}), but it may not use the API: {reasons}"
    balances = ", ".join(f"{value} {name}" for name, value in (limits.get("balances") or {}).items())
    left = f"{balances}: the account's balance, or what is left of the key's spending limit if that is less"
    return True, f"The key is valid. Tier: {tier}. It may spend {left if balances else 'an amount not reported'}"


def _day(name: str, value: Any) -> datetime.date:
    """Return the day in UTC that a value names."""
    moment = value
    if isinstance(value, str):
        text = value.strip()
        try:
            # Python 3.10 does not read a Z.
            moment = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)
        except ValueError:
            moment = None
    if isinstance(moment, datetime.datetime):
        return (moment if moment.tzinfo is None else moment.astimezone(datetime.timezone.utc)).date()
    if not isinstance(moment, datetime.date):
        _refuse(name, f"is {value!r}; give a date, a datetime, or ISO 8601 text such as '2026-11-28'")
    return moment


def _refuse(name: str, problem: str) -> NoReturn:
    raise VeniceRequestError(f"{name} {problem}", fields={name: problem})


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise TypeError
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount) >= _MOST_MONEY:
        raise ValueError
    return amount


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
