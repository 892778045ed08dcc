"""The endpoints about money: balance, ledger, sums."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from airflow_provider_venice.simulator import replies, schema
from airflow_provider_venice.simulator.exchange import Exchange
from airflow_provider_venice.simulator.issues import Issue
from airflow_provider_venice.simulator.ledger import Charge, Walk
from airflow_provider_venice.simulator.replies import Reply

_HISTORY = "/billing/usage-history"
_ANALYTICS = "/billing/usage-analytics"

#: Days that the sums may look back.
_MOST_DAYS = 90


async def balance(x: Exchange) -> Reply:
    """Tell what is left on the account."""
    if x.lacks_admin_key(everywhere=True):
        return replies.admin_only()
    left = x.vendor.balance
    balances = {"diem": None, "usd": float(left)}
    return Reply(
        json={
            "canConsume": left > 0,
            "consumptionCurrency": "USD",
            "balances": balances,
            "diemEpochAllocation": 0,
        }
    )


async def usage(_: Exchange) -> Reply:
    """Refuse: the endpoint has ended."""
    return replies.usage_retired()


async def usage_history(x: Exchange) -> Reply:
    """List the ledger, a page at a time; JSON, or CSV where the client accepts that."""
    if x.lacks_admin_key():
        return replies.admin_only()
    query = schema.typed_query(_HISTORY, x.request.query)
    issues = [*schema.check_query(_HISTORY, query), *_further(query)]
    if issues:
        return replies.invalid(issues)
    walk = x.vendor.ledger.walk(query["cursor"]) if "cursor" in query else _first(query)
    if walk is None:
        return replies.error(400, "Invalid or expired cursor; restart from the first page")
    delay = x.vendor.settings.wall(x.vendor.settings.usage_delay)
    charges, cursor = x.vendor.ledger.page(walk, time.time() - delay)
    rows = [row_of(charge) for charge in charges]
    if "text/csv" in x.request.headers.get("Accept", ""):
        return _csv(rows, cursor)
    return Reply(json={"data": rows, "nextCursor": cursor})


async def usage_analytics(x: Exchange) -> Reply:
    """Sum up the ledger by day, by model and by key."""
    if x.lacks_admin_key(everywhere=True):
        return replies.admin_only()
    query = schema.typed_query(_ANALYTICS, x.request.query)
    issues = schema.check_query(_ANALYTICS, query)
    if issues:
        return replies.invalid(issues)
    today = datetime.now(timezone.utc).date()
    if "startDate" in query and "endDate" in query:
        try:
            first, last = (datetime.fromisoformat(query[name]).date() for name in ("startDate", "endDate"))
        except ValueError:
            return replies.invalid([Issue(("startDate",), "Invalid date")])
        period = f"{first}:{last}"
        if not 0 <= (last - first).days <= _MOST_DAYS:
            return replies.invalid([Issue(("endDate",), f"Must be 0 to {_MOST_DAYS} days after startDate")])
    else:
        days = min(_MOST_DAYS, int(query.get("lookback", "7d")[:-1]))
        first, last, period = today - timedelta(days=days - 1), today, f"{days}d"
    delay = x.vendor.settings.wall(x.vendor.settings.usage_delay)
    charges = [
        charge for charge in x.vendor.ledger.visible(time.time() - delay) if first <= _moment(charge).date() <= last
    ]
    dates = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return Reply(json={"lookback": period, **_sums(charges, [str(date) for date in dates])})


def _further(query: Mapping[str, Any]) -> list[Issue]:
    """Return what the schema cannot say: a cursor stands alone, a period has an order, further names are refused."""
    known = schema.document()["paths"][_HISTORY]["get"]["query"]["properties"]
    unknown = ", ".join(f"'{name}'" for name in query if name not in known)
    issues = [Issue((), f"Unrecognized key(s) in object: {unknown}", "unrecognized_keys")] if unknown else []
    if "cursor" in query and len(query) > 1:
        issues.append(Issue(("cursor",), "A cursor carries its filters; send it alone"))
    moments = {name: query.get(name) for name in ("startTimestamp", "endTimestamp")}
    for name, text in moments.items():
        if isinstance(text, str) and _epoch(text) is None:
            issues.append(Issue((name,), "Must be ISO 8601 in UTC, with a Z at the end", "invalid_string"))
    start, end = (_epoch(text) if isinstance(text, str) else None for text in moments.values())
    if start is not None and end is not None and end <= start:
        issues.append(Issue(("endTimestamp",), "Must be later than startTimestamp"))
    return issues


def _first(query: Mapping[str, Any]) -> Walk:
    start, end = (_epoch(query[name]) if name in query else None for name in ("startTimestamp", "endTimestamp"))
    return Walk(start, end, query.get("currency"), query.get("pageSize", 1000))


def _epoch(text: str) -> float | None:
    """Return an ISO 8601 time in UTC as epoch seconds."""
    if not text.endswith("Z"):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def row_of(charge: Charge) -> dict[str, Any]:
    """Return an entry as the usage history lists it."""
    return {
        "timestamp": f"{_moment(charge).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z",
        "sku": charge.sku,
        "units": 1,
        "pricePerUnitUsd": float(abs(charge.amount)),
        "amount": float(charge.amount),
        "currency": "USD",
        "notes": "API Inference refund" if charge.is_refund else "API Inference",
        "inferenceDetails": {
            "requestId": charge.request_id,
            "promptTokens": None,
            "completionTokens": None,
            "inferenceExecutionTime": None,
        },
    }


def _csv(rows: Iterable[Mapping[str, Any]], cursor: str | None) -> Reply:
    plain = ("timestamp", "sku", "pricePerUnitUsd", "units", "amount", "currency", "notes")
    details = ("requestId", "inferenceExecutionTime", "promptTokens", "completionTokens")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*plain, *(f"inferenceDetails.{name}" for name in details)])
    for row in rows:
        writer.writerow([*(row[name] for name in plain), *(row["inferenceDetails"][name] for name in details)])
    stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"[:-3]
    headers = {"Content-Disposition": f"attachment; filename=billing-usage-history-{stamp}Z.csv"}
    if cursor is not None:
        headers["x-next-cursor"] = cursor
    return Reply(content=text.getvalue().encode(), content_type="text/csv", headers=headers)


def _sums(charges: list[Charge], dates: list[str]) -> dict[str, Any]:
    by_date: dict[str, Decimal] = dict.fromkeys(dates, Decimal(0))
    by_model: dict[tuple[str, str], list[Charge]] = {}
    by_key: dict[str | None, list[Charge]] = {}
    for charge in charges:
        by_date[str(_moment(charge).date())] -= charge.amount
        by_model.setdefault((charge.model, charge.model_type), []).append(charge)
        by_key.setdefault(charge.key, []).append(charge)
    models = [
        {"modelName": name, "unitType": "units", "modelType": kind, **_totals(made)}
        for (name, kind), made in by_model.items()
    ]
    keys = [{"apiKeyId": key, "description": _described(key), **_totals(made)} for key, made in by_key.items()]
    names, descriptions = [name for name, _ in by_model], [_described(key) for key in by_key]
    return {
        "byDate": [{"date": date, "USD": float(amount), "DIEM": 0} for date, amount in by_date.items()],
        "byModel": sorted(models, key=lambda entry: -entry["totalUsd"]),
        "byModelDaily": _daily(dates, names, charges, lambda charge: charge.model),
        "topModels": names,
        "byKey": sorted(keys, key=lambda entry: -entry["totalUsd"]),
        "byKeyDaily": _daily(dates, descriptions, charges, lambda charge: _described(charge.key)),
        "topKeyNames": descriptions,
    }


def _totals(charges: Iterable[Charge]) -> dict[str, Any]:
    made = list(charges)
    units = sum(not charge.is_refund for charge in made)
    return {"totalUsd": float(-sum(charge.amount for charge in made)), "totalDiem": 0, "totalUnits": units}


def _daily(dates: list[str], names: list[str], charges: list[Charge], name_of: Any) -> list[dict[str, float]]:
    rows = []
    for date in dates:
        made = [charge for charge in charges if str(_moment(charge).date()) == date]
        start = datetime.fromisoformat(date).replace(tzinfo=timezone.utc).timestamp()
        sums = {name: float(-sum(charge.amount for charge in made if name_of(charge) == name)) for name in names}
        rows.append({"date": start * 1000, **sums})
    return rows


def _described(key: str | None) -> str:
    return f"Key ...{key[-6:]}" if key else "Web App"


def _moment(charge: Charge) -> datetime:
    return datetime.fromtimestamp(charge.time, timezone.utc)
