"""What the account was charged and given back, as the vendor's billing endpoints tell it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Charge:
    """
    One entry of the account's ledger.

    :param time: when it was charged, in epoch seconds.
    :param sku: what was sold.
    :param amount: US dollars; negative for a charge, positive for a refund.
    :param model: display name of the model.
    :param model_type: ``VIDEO`` or ``IMAGE``.
    :param key: fingerprint of the API key.
    :param request_id: the request that it is for.
    """

    time: float
    sku: str
    amount: Decimal
    model: str
    model_type: str
    key: str | None
    request_id: str

    @property
    def is_refund(self) -> bool:
        """Whether money was given back."""
        return self.amount > 0


@dataclass(frozen=True)
class Walk:
    """
    What a cursor stands for: the filters of a walk through the ledger, and how far it has come.

    :param start: first moment, in epoch seconds.
    :param end: the moment after the last, in epoch seconds.
    :param currency: only charges in this currency; ``None`` for all.
    :param size: entries on a page.
    :param done: entries of the ledger that lie behind.
    """

    start: float | None
    end: float | None
    currency: str | None
    size: int
    done: int = 0

    def holds(self, charge: Charge) -> bool:
        """Whether the filters let a charge pass."""
        after = self.start is None or charge.time >= self.start
        return after and (self.end is None or charge.time < self.end) and self.currency in (None, "USD")


class Ledger:
    """All charges in the order in which they were made, and the cursors that were given out."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []
        self._walks: dict[str, Walk] = {}

    def add(self, charge: Charge) -> None:
        """Enter one charge."""
        self.charges.append(charge)

    def walk(self, cursor: str) -> Walk | None:
        """Return what a cursor stands for, if it was given out here."""
        return self._walks.get(cursor)

    def page(self, walk: Walk, until: float) -> tuple[list[Charge], str | None]:
        """
        Return the next charges of a walk, and the cursor of the page after them.

        :param until: charges after this moment do not appear yet, in epoch seconds.
        """
        found: list[Charge] = []
        for position, charge in enumerate(self.visible(until)):
            if position < walk.done or not walk.holds(charge):
                continue
            if len(found) == walk.size:
                return found, self._cursor(Walk(walk.start, walk.end, walk.currency, walk.size, position))
            found.append(charge)
        return found, None

    def visible(self, until: float) -> Iterable[Charge]:
        """Return the charges that appear at ``until``, in epoch seconds."""
        return (charge for charge in self.charges if charge.time <= until)

    def _cursor(self, walk: Walk) -> str:
        cursor = secrets.token_urlsafe(24)
        self._walks[cursor] = walk
        return cursor
