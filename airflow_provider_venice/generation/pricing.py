"""What clips cost, before they are bought, and whether the budget admits it. All of it is free."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.model import VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.generation.clips import is_of_one_request

if TYPE_CHECKING:
    from airflow_provider_venice.generation.checks import Findings
    from airflow_provider_venice.generation.clips import Clip
    from airflow_provider_venice.generation.terms import Terms
    from airflow_provider_venice.hooks.venice import VeniceHook

#: After how many refused quotes no other price is asked for.
_MOST_REFUSED = 5


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


def price_clips(
    clips: Sequence[Clip], terms: Terms, hook: VeniceHook, findings: Findings, log: Any
) -> dict[int, VideoQuote]:
    """
    Return the price of each clip that has a request, by its ``id()``.

    Where no budget needs it, a price that Venice does not give is missing. Else that is a finding, or is raised where
    it would meet any other request as well.

    :param clips: those that are to be bought.
    """
    quotes: dict[int, VideoQuote] = {}
    known: dict[str, VideoQuote | VeniceError] = {}
    for clip in clips:
        if clip.request is None or findings.has(clip):
            continue
        body = json.dumps(clip.request.to_quote_body(), sort_keys=True, default=repr)
        if body not in known:
            try:
                known[body] = hook.quote(clip.request)
            except VeniceError as error:
                known[body] = error
        answer = known[body]
        if isinstance(answer, VideoQuote):
            quotes[id(clip)] = answer
            continue
        if terms.budget.needs_price:
            answer.args = (f"Venice gives no price, and nothing is queued without one: {answer}",)
            with findings.about(clip):
                raise answer
        else:
            log.warning("The price of %s is not known, and no budget is set: %s", clip.submission, answer)
        if not is_of_one_request(answer) or _count_refused(known) >= _MOST_REFUSED:
            # The next would be refused as well; and more than 20 refusals in 30 seconds bring a block.
            break
    return quotes


def _count_refused(known: Mapping[str, VideoQuote | VeniceError]) -> int:
    return sum(isinstance(answer, VeniceError) for answer in known.values())
