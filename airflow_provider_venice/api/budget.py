"""What may be spent, and what must be left: checked before the first charge."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.values import is_rendered_none
from airflow_provider_venice.exceptions import VeniceBudgetError, VeniceRequestError


@dataclass(frozen=True)
class Budget:
    """
    The caller's limits, in US dollars; ``None`` where there is none.

    :param max_cost: most to spend.
    :param min_balance: least that must be left on the account afterwards.
    """

    max_cost: Decimal | None = None
    min_balance: Decimal | None = None

    @classmethod
    def of(cls, *, max_cost: Any = None, min_balance: Any = None) -> Budget:
        """
        Read limits as templates and tables deliver them. Only ``None`` means no limit.

        :raises VeniceRequestError: when one is not an amount; a blank is none either.
        """
        return cls(max_cost=_amount("max_cost", max_cost), min_balance=_amount("min_balance", min_balance))

    @property
    def needs_price(self) -> bool:
        """Whether a price is needed to keep to it."""
        return self.max_cost is not None or self.min_balance is not None

    def check(self, cost: Decimal, what: str, balance: Decimal | None, spent: Decimal = Decimal(0)) -> None:
        """
        Compare a price with the limits.

        :param cost: US dollars.
        :param what: what costs that, for the message.
        :param balance: US dollars on the account; ``None`` where Venice does not report it.
        :param spent: US dollars that were spent on the same before; they count for ``max_cost``.
        :raises VeniceBudgetError: with the figures, when it is above.
        """
        total = cost + spent
        if self.max_cost is not None and total > self.max_cost:
            before = f", with {dollars(spent)} that earlier submissions have cost," if spent else ","
            raise VeniceBudgetError(
                f"{what} costs {dollars(total)}{before} which is above max_cost={dollars(self.max_cost)}; "
                "nothing was queued. Raise max_cost, or choose a shorter clip, a lower resolution or another model",
                quote=cost,
                max_cost=self.max_cost,
            )
        if self.min_balance is None:
            return
        if balance is None:
            raise VeniceBudgetError(
                f"min_balance={dollars(self.min_balance)} cannot be kept, because Venice reports no balance in US "
                "dollars for this key; nothing was queued. Leave min_balance out",
                quote=cost,
                max_cost=self.max_cost,
            )
        if balance - cost < self.min_balance:
            raise VeniceBudgetError(
                f"{what} costs {dollars(cost)} of a balance of {dollars(balance)}, which leaves less than "
                f"min_balance={dollars(self.min_balance)}; nothing was queued. "
                "Top up the account, or lower min_balance",
                quote=cost,
                max_cost=self.max_cost,
            )


def _amount(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    text = str(value).strip()
    if not text or is_rendered_none(text):
        # A template over a missing value must not remove the limit that it was meant to set.
        raise VeniceRequestError(
            f"{name} is {value!r}, which is no amount; give US dollars, such as 2.50. Where a template renders it, "
            f"give the template a default value; leave {name} out for no limit",
            fields={name: "is blank"},
        )
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise VeniceRequestError(f"{name} is {value!r}; give US dollars, such as 2.50", fields={name: "not an amount"})
    return amount
