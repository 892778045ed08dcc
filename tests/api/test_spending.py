"""Periods as callers give them, and sums as Venice gives them."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_venice.api.calls import usage_analytics
from airflow_provider_venice.api.responses import Response, ResponseHead
from airflow_provider_venice.api.spending import KeySpending, Period, describe_key
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceRequestError, VeniceResponseError

TODAY = datetime.date(2026, 11, 29)
EAST = datetime.timezone(datetime.timedelta(hours=9))
PERIOD = Period(datetime.date(2026, 11, 27), TODAY)

ANSWER: dict[str, Any] = {
    "lookback": "2026-11-27:2026-11-29",
    "byDate": [
        {"date": "2026-11-29", "USD": 1.1, "DIEM": 0},
        {"date": "2026-11-28", "USD": 0.7, "DIEM": 2.5},
        {"date": "2026-11-27", "USD": -0.35, "DIEM": 0},
    ],
    "byModel": [
        {"modelName": "Wan 2.7", "unitType": "units", "totalUsd": 0.7, "totalDiem": 2.5, "totalUnits": 2},
        {"modelName": "Grok", "unitType": "seconds", "totalUsd": 0.5, "totalDiem": 0, "totalUnits": 2},
        {"modelName": "Grok", "unitType": "units", "totalUsd": 0.25, "totalDiem": 0, "totalUnits": 2},
    ],
    "byKey": [
        {"apiKeyId": None, "description": "Web App", "totalUsd": 0.2, "totalDiem": 0, "totalUnits": 1},
        {"apiKeyId": "k1", "description": "airflow", "totalUsd": 1.25, "totalDiem": 2.5, "totalUnits": 5},
    ],
}


def answer(status: int, body: Any) -> Response:
    return Response(ResponseHead(status, {}, 0.0), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("given", "day"),
    [
        (datetime.date(2026, 11, 1), "2026-11-01"),
        (datetime.datetime(2026, 11, 1, 23, 59), "2026-11-01"),
        (datetime.datetime(2026, 11, 2, 8, 59, tzinfo=EAST), "2026-11-01"),
        ("2026-11-01", "2026-11-01"),
        (" 2026-11-01T23:00:00Z ", "2026-11-01"),
        ("2026-11-02T08:59:00+09:00", "2026-11-01"),
        ("2026-11-01 12:00", "2026-11-01"),
    ],
)
def test_a_day_is_that_in_utc(given: Any, day: str) -> None:
    assert Period.of(given, given, today=TODAY).query == {"startDate": day, "endDate": day}


def test_a_period_ends_today_and_has_90_days_at_most() -> None:
    first = TODAY - datetime.timedelta(days=89)
    assert Period.of(first, None, today=TODAY) == Period(first, TODAY)


@pytest.mark.parametrize(
    ("since", "until", "field", "problem"),
    [
        ("yesterday", None, "since", "is 'yesterday'; give a date, a datetime, or ISO 8601 text such as '2026-11-28'"),
        ("", None, "since", "is ''; give a date"),
        (20261101, None, "since", "is 20261101; give a date"),
        (None, None, "since", "is None; give a date"),
        ("2026-11-30", None, "since", "is 2026-11-30, which is in the future; today is 2026-11-29 in UTC"),
        ("2026-11-01", "2026-12-01", "until", "is 2026-12-01, which is in the future; today is 2026-11-29 in UTC"),
        ("2026-11-02", "2026-11-01", "since", "is 2026-11-02, which is after until=2026-11-01"),
        ("2026-08-31", None, "since", "is 2026-08-31: to 2026-11-29 are 91 days, and Venice sums up 90 at most"),
    ],
)
def test_a_wrong_period_is_named(since: Any, until: Any, field: str, problem: str) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        Period.of(since, until, today=TODAY)
    assert list(caught.value.fields) == [field]
    assert str(caught.value).startswith(f"{field} {problem}")


def test_sums_are_exact_and_in_order() -> None:
    spent = usage_analytics(PERIOD).read(answer(200, ANSWER))
    assert spent.total == Decimal("1.45")
    assert list(spent.by_day.items()) == [
        ("2026-11-27", Decimal("-0.35")),
        ("2026-11-28", Decimal("0.7")),
        ("2026-11-29", Decimal("1.1")),
    ]
    assert list(spent.by_model.items()) == [("Grok", Decimal("0.75")), ("Wan 2.7", Decimal("0.7"))]
    assert spent.by_key == (
        KeySpending("k1", "airflow", Decimal("1.25")),
        KeySpending(None, "Web App", Decimal("0.2")),
    )
    assert spent.diem == Decimal("2.5")


def test_spending_is_plain_json() -> None:
    spent = usage_analytics(PERIOD).read(answer(200, ANSWER))
    assert json.loads(json.dumps(spent)) == {
        "since": "2026-11-27",
        "until": "2026-11-29",
        "total": 1.45,
        "by_day": {"2026-11-27": -0.35, "2026-11-28": 0.7, "2026-11-29": 1.1},
        "by_model": {"Grok": 0.75, "Wan 2.7": 0.7},
        "by_key": [
            {"id": "k1", "description": "airflow", "usd": 1.25},
            {"id": None, "description": "Web App", "usd": 0.2},
        ],
        "diem": 2.5,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"byDate": None},
        {"byDate": [{"date": "2026-11-29", "USD": "1.1", "DIEM": 0}]},
        {"byDate": [{"date": "2026-11-29", "USD": True, "DIEM": 0}]},
        {"byModel": [{"modelName": "Grok"}]},
        {"byKey": [{"apiKeyId": "k", "description": "d", "totalUsd": None}]},
    ],
)
def test_an_answer_of_another_form_is_no_sum(change: dict[str, Any]) -> None:
    with pytest.raises(VeniceResponseError, match="unexpected form"):
        usage_analytics(PERIOD).read(answer(200, {**ANSWER, **change}))


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_may_not_read_it_is_said_to_be_of_the_wrong_kind(status: int) -> None:
    with pytest.raises(VeniceAPIError, match=r"Admin API key required.*Venice may want an ADMIN key"):
        usage_analytics(PERIOD).read(answer(status, {"error": "Admin API key required"}))


@pytest.mark.parametrize(
    ("limits", "ok", "text"),
    [
        (
            {"accessPermitted": True, "apiTier": {"id": "paid"}, "balances": {"USD": 9.65, "DIEM": 0}},
            True,
            "Tier: paid. It may spend 9.65 USD, 0 DIEM: the account's balance, or what is left of the key's spending "
            "limit if that is less",
        ),
        ({"balances": {}}, True, "Tier: unknown. It may spend an amount not reported"),
        ({"accessPermitted": False, "apiTier": {"id": "paid"}}, False, "the key's spending limit"),
    ],
)
def test_a_key_is_described(limits: dict[str, Any], ok: bool, text: str) -> None:
    is_usable, message = describe_key(limits)
    assert is_usable is ok
    assert text in message
