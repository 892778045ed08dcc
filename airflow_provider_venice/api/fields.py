"""Reads the fields of a dictionary that others wrote: each has the type it should have, or is refused by name."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_venice.exceptions import VeniceRequestError

#: Epoch seconds from here on are none: milliseconds, mostly.
_MOST_SECONDS = 10**11

#: A number from here on is neither money nor a run time.
_MOST_NUMBER = 10**15


@dataclass(frozen=True)
class Field:
    """
    How a field is read.

    :param read: returns the value; raises ``ArithmeticError``, ``TypeError`` or ``ValueError`` for a wrong one.
    :param wanted: what it should be, for the message.
    """

    read: Callable[[Any], Any]
    wanted: str


def read_fields(values: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> dict[str, Any]:
    """
    Return those of ``values`` that ``fields`` has; ``None`` stands for a value that is not known.

    :param values: what was given.
    :param fields: how each is read.
    :param path: what stands before a field's name in a message.
    :raises VeniceRequestError: naming the first field that is wrong.
    """
    read: dict[str, Any] = {}
    for name, field in fields.items():
        value = values.get(name)
        try:
            if name in values:
                read[name] = None if value is None else field.read(value)
        except VeniceRequestError:
            raise
        except (ArithmeticError, RecursionError, TypeError, ValueError):
            raise VeniceRequestError(
                f"{path}{name} is {_shown(value)}; give {field.wanted}, or leave it out",
                fields={path + name: f"is not {field.wanted}"},
            ) from None
    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not 0 <= value < _MOST_NUMBER:
        raise TypeError
    return float(value) if isinstance(value, Decimal) else value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise TypeError
    return value


def _time(value: Any) -> float:
    if isinstance(value, str):
        # Python 3.10 does not read a Z.
        moment = datetime.datetime.fromisoformat(value.strip().upper().replace("Z", "+00:00"))
        value = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    number = _number(value)
    if number >= _MOST_SECONDS:
        raise ValueError
    return number


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    json.dumps(plain := dict(value), allow_nan=False)
    return plain


TEXT = Field(_text, "text")
#: Money, seconds, milliseconds; a ``Decimal`` becomes a float.
NUMBER = Field(_number, "a number that is not negative")
WHOLE = Field(_whole, "a whole number that is not negative")
#: Epoch seconds, or ISO 8601 text, which is UTC where it names no offset.
TIME = Field(_time, "epoch seconds, or ISO 8601 such as 2026-09-21T14:13:20Z")
MAPPING = Field(_mapping, "a mapping that JSON can hold")


def _shown(value: Any) -> str:
    """A number as it is; else the type, as a text may be a private link."""
    plain = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**30)
    return repr(value) if plain else type(value).__name__
