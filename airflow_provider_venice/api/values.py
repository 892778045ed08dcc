"""Values as templates and tables deliver them, brought into the form of JSON; and what a record shows of them."""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

#: What a template makes of a value that is not there: of ``None``, of ``none | tojson``, of the empty cell of a table.
_RENDERED_NONE = frozenset({"None", "null", "nan", "NaN", "NaT", "<NA>"})

#: Deepest nesting of mappings and lists in a request.
_MAX_DEPTH = 50

#: Longest integer in a request, in bits: what a double can hold.
_MAX_BITS = 1024

#: Longest labels, in bytes of JSON: what Airflow stores of a task (64 KB) has to hold them beside the job.
MAX_LABELS = 8192

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.ASCII | re.IGNORECASE)


def is_rendered_none(value: object) -> bool:
    """
    Tell whether a text is a word that a template renders a missing value to, such as ``"None"``.

    :param value: a rendered value; what is not a text is never such a word.
    """
    return isinstance(value, str) and value.strip() in _RENDERED_NONE


def refuse_rendered_none(value: object, where: str = "") -> None:
    """
    Refuse a word that a template renders a missing value to.

    :param value: a rendered value.
    :param where: the place inside the field, for the message.
    :raises ValueError: naming the value and the fix.
    """
    if is_rendered_none(value):
        raise ValueError(
            f"is {value!r}{where}, which a template renders for a missing value; "
            "give the template a default value, or leave the field out"
        )


def is_unset(value: object) -> bool:
    """Tell whether a value means "not given": ``None``, a blank text, or NaN, the empty cell of a table."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or _is_nan(value)


def _is_nan(value: object) -> bool:
    if isinstance(value, (bytes, bytearray, memoryview, Mapping, list, tuple, set, frozenset)):
        return False
    if type(value).__name__ == "NAType":  # pandas.NA, whose comparisons have no truth value
        return True
    try:
        return bool(value != value)  # only a NaN differs from itself
    except Exception:  # an object of somebody else, whose comparison may do anything
        return False


def native(value: Any) -> Any:
    """Return the Python value of a ``Decimal``, or of a scalar of numpy or pandas; anything else as it is."""
    if isinstance(value, Decimal):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if hasattr(type(value), "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def as_duration(value: Any) -> str:
    """
    Return a duration as the API writes it: seconds as ``"5s"``, or a word such as ``auto``.

    :raises TypeError, ValueError: naming the value and what is taken.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"takes seconds such as 5 or '5s', not {value!r}")
    text = str(value).strip()
    number = text[:-1].strip() if text.lower().endswith("s") else text
    try:
        seconds = float(number)
    except ValueError:
        return text
    if seconds == -1:
        return "-1"
    if seconds <= 0 or not seconds.is_integer():
        raise ValueError(f"takes whole seconds above zero such as 5 or '5s', not {value!r}")
    return f"{int(seconds)}s"


def as_boolean(value: Any) -> bool:
    """
    Return a boolean, which may come as text.

    :raises TypeError, ValueError: naming the value and what is taken.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"takes true or false, not {value!r}")


def as_integer(value: Any) -> int:
    """
    Return a whole number of at most 64 bits, which may come as text.

    :raises TypeError, ValueError: naming the value and what is taken.
    """
    number = value
    # Not by way of a float, which would round a large seed.
    with contextlib.suppress(TypeError, ValueError):
        number = int(value) if isinstance(value, str) else operator.index(value)
    if isinstance(value, bool) or not isinstance(number, int):
        number = as_number(value)
        if not number.is_integer():
            raise ValueError(f"takes a whole number, not {value!r}")
        number = int(number)
    if number.bit_length() > 64:
        raise ValueError(f"takes a whole number of at most 64 bits, not one of {number.bit_length()}")
    return number


def as_number(value: Any) -> float:
    """
    Return a finite number, which may come as text.

    :raises TypeError, ValueError: naming the value and what is taken.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"takes a number, not {value!r}") from None
    if number - number != 0:
        raise ValueError(f"takes a finite number, not {value!r}")
    return number


def plain(value: Any, where: str = "", outer: tuple[int, ...] = ()) -> Any:
    """
    Return a copy of nested mappings and lists that shares nothing that can be changed.

    Tuples become lists, ``bytearray`` and ``memoryview`` become ``bytes``. An entry of a mapping that
    is NaN is dropped. Objects of other types stay as they are.

    :param value: the value of a field.
    :param where: the place inside the field, for messages.
    :param outer: ids of the containers around it.
    :raises ValueError: for a text that :func:`is_rendered_none` names, an infinite number, a number beyond
        JSON, a set, a key that is not a text, and for containers that contain themselves.
    """
    value = native(value)
    refuse_rendered_none(value, where)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (set, frozenset)):
        raise ValueError(f"holds a set{where}, which has no order; give a list")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"holds {value}{where}; numbers must be finite")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ValueError(f"holds an integer of {value.bit_length()} bits{where}; at most {_MAX_BITS} are allowed")
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if id(value) in outer or len(outer) >= _MAX_DEPTH:
        raise ValueError(f"contains itself, or is nested more than {_MAX_DEPTH} levels deep; give a flat value")
    outer = (*outer, id(value))
    where = where or " at "
    if not isinstance(value, Mapping):
        return [plain(entry, f"{where}[{index}]", outer) for index, entry in enumerate(value)]
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"has the key {name!r}; keys must be texts")
    return {name: plain(entry, f"{where}[{name!r}]", outer) for name, entry in value.items() if not _is_nan(entry)}


def copied(value: Any) -> Any:
    """Return a copy of the containers in what :func:`plain` has returned."""
    if isinstance(value, dict):
        return {name: copied(entry) for name, entry in value.items()}
    return [copied(entry) for entry in value] if isinstance(value, list) else value


def as_labels(value: Any) -> dict[str, Any]:
    """
    Return labels as plain JSON: what is empty is left out, and what JSON does not have is a text.

    :raises TypeError, ValueError: when they are no mapping, or longer than ``MAX_LABELS`` bytes.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"takes a mapping such as {{'id': 7}}, not {value!r}")
    labels = {str(name): _label(entry) for name, entry in value.items() if entry is not None and not _is_nan(entry)}
    size = len(json.dumps(labels).encode())
    if size > MAX_LABELS:
        # Stored with the job after the charge, where it must fit.
        raise ValueError(
            f"has {size} bytes as JSON; at most {MAX_LABELS} are allowed. Keep an id, and the rest elsewhere"
        )
    return labels


def _label(value: Any, depth: int = 0) -> Any:
    value = native(value)
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {str(name): _label(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, (list, tuple)) and depth < _MAX_DEPTH:
        return [_label(entry, depth + 1) for entry in value]
    is_json = value is None or isinstance(value, (bool, str)) or (isinstance(value, int) and value.bit_length() <= 64)
    if is_json or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None if _is_nan(value) else str(value)


def paths_as_text(value: Any) -> Any:
    """Return what :func:`plain` has returned with its paths as text, which names the same file."""
    if isinstance(value, dict):
        return {name: paths_as_text(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [paths_as_text(entry) for entry in value]
    return str(value) if isinstance(value, os.PathLike) or hasattr(value, "open") else value


def bare_url(text: str) -> str | None:
    """
    Return a URL without its query, fragment and user info, ``None`` where ``text`` is no URL.

    These may hold a signature or a password. Stored fingerprints depend on the result: it must never change.
    """
    text = text.strip()
    match = _SCHEME.match(text)
    if match is None:
        return None
    location = re.split(r"[?#]", text[match.end() :], maxsplit=1)[0]
    authority, slash, path = location.partition("/")
    return f"{match[1].lower()}://{authority.rpartition('@')[2]}{slash}{path}"


def described(value: Any, name: str = "") -> Any:
    """
    Return a value as plain JSON for a record: bytes and data URLs by their size, URLs without their secrets.

    :param value: what :func:`plain` has returned.
    :param name: the field; prompts are shown as they are.
    """
    if isinstance(value, Mapping):
        return {key: described(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [described(entry, name) for entry in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else _text_of(value)
    if "prompt" in name:
        return text
    if text.lstrip()[:5].lower() == "data:":
        return f"{text.partition(',')[0]},… ({len(text)} characters)"
    return bare_url(text) or text


def _text_of(value: object) -> str:
    # After the charge: whatever the object does, the record must be written.
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
