"""What clips cost, before they are bought, and whether the budget admits it. All of it is free."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.budget import Budget
from airflow_provider_venice.api.model import VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.generation.request_errors import RequestErrors, is_of_one_request

if TYPE_CHECKING:
    from airflow_provider_venice.hooks.venice import VeniceHook

#: After how many refused quotes no other price is asked for.
_MOST_REFUSED = 5


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


def price_requests(
    requests: Mapping[int, VideoRequest],
    hook: VeniceHook,
    problems: RequestErrors,
    *,
    needs_price: bool,
    log: Any,
    fall_back: Callable[[int, VeniceError], VideoRequest | None] = lambda *_: None,
) -> dict[int, VideoQuote]:
    """
    Return the price of each request by its place; those that differ in nothing that prices them take one quote.

    :param requests: those to price, by their places.
    :param problems: gets what Venice refuses to price, where ``needs_price``.
    :param needs_price: whether a missing price is an error; else it is logged.
    :param fall_back: is given a refusal where a price is needed, and returns the request for the next model, if any.
    :raises VeniceError: when no price comes, for a reason that would meet any other request as well.
    """
    quotes: dict[int, VideoQuote] = {}
    known: dict[str, VideoQuote | VeniceError] = {}

    def ask(request: VideoRequest) -> VideoQuote | VeniceError:
        body = json.dumps(request.to_quote_body(), sort_keys=True, default=repr)
        if body not in known:
            known[body] = _quote(hook, request, needs_price=needs_price)
        return known[body]

    for position, request in requests.items():
        answer = ask(request)
        while needs_price and isinstance(answer, VeniceError) and (following := fall_back(position, answer)):
            answer = ask(following)
        if isinstance(answer, VideoQuote):
            quotes[position] = answer
            continue
        if needs_price:
            with problems.about(position):
                raise answer
        else:
            log.warning("%s", answer)
        if not is_of_one_request(answer) or _count_refused(known) >= _MOST_REFUSED:
            # The next would be refused as well; and more than 20 refusals in 30 seconds bring a block.
            break
    return quotes


def _quote(hook: VeniceHook, request: VideoRequest, *, needs_price: bool) -> VideoQuote | VeniceError:
    try:
        return hook.quote(request)
    except VeniceError as error:
        consequence = "nothing is queued without one" if needs_price else "no budget is set that needs one"
        error.args = (f"Venice gives no price, and {consequence}: {error}",)
        return error


def _count_refused(known: Mapping[str, VideoQuote | VeniceError]) -> int:
    return sum(isinstance(answer, VeniceError) for answer in known.values())
