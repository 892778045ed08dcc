"""US dollars, as messages show them."""

from __future__ import annotations

from decimal import Decimal
from typing import SupportsFloat

#: Most digits after the point: enough for a price and the limit that it is above to differ.
_MOST_DIGITS = 6


def dollars(amount: Decimal | SupportsFloat) -> str:
    """
    Return an amount such as ``$0.35``: two digits after the point, and up to six where the amount has them.

    :param amount: US dollars.
    """
    exact = amount if isinstance(amount, Decimal) else Decimal(str(float(amount)))
    whole, _, digits = f"{exact:.{_MOST_DIGITS}f}".partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}${whole}.{digits.rstrip('0').ljust(2, '0')}"
