"""What must be right before a clip is bought: the requests, their prices, the budget. All of it is free."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api import constraints
from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.model import VideoQuote
from airflow_provider_venice.api.request import VideoRequest

if TYPE_CHECKING:
    from airflow_provider_venice.hooks.venice import VeniceHook


def check_requests(hook: VeniceHook, requests: Sequence[VideoRequest], log: Any) -> None:
    """
    Check requests against the published constraints of their models.

    :raises VeniceRequestError: naming every wrong field and the allowed values.
    """
    models = hook.list_models()
    for model in {m.id: m for m in (constraints.check_request(one, models) for one in requests)}.values():
        if model.deprecation:
            log.warning("Model %s is going to end: %s", model.id, dict(model.deprecation))


def quote_requests(hook: VeniceHook, requests: Sequence[VideoRequest]) -> list[VideoQuote]:
    """Return the price of each request; those that differ in nothing that prices them take one quote."""
    priced_by = [json.dumps(request.to_quote_body(), sort_keys=True, default=repr) for request in requests]
    quotes = {body: hook.quote(request) for body, request in dict(zip(priced_by, requests, strict=True)).items()}
    return [quotes[body] for body in priced_by]


def check_budget(
    budget: Budget, hook: VeniceHook, quotes: Sequence[VideoQuote], what: str, spent: Decimal = Decimal(0)
) -> None:
    """
    Compare prices with what may be spent, and with what must be left.

    :param quotes: the prices of what is to be bought.
    :param what: what that is, for the message.
    :param spent: US dollars that the same task has spent on it already.
    :raises VeniceBudgetError: with the figures, when a limit is passed.
    """
    balance = quotes[-1].balance if quotes else None
    if budget.min_balance is not None and balance is None:
        known = hook.balance()["balances"].get("usd")
        balance = None if known is None else Decimal(known)
    budget.check(sum((quote.estimated_cost for quote in quotes), Decimal(0)), what, balance, spent)
