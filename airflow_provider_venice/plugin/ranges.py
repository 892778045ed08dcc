"""The ``Range`` header of a request for a clip (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """The bytes to send: the first, and the one after the last."""

    start: int
    stop: int


class RangeNotSatisfiable(ValueError):
    """None of the bytes that were asked for exist."""


def requested_span(header: str | None, size: int) -> Span | None:
    """
    Return the part of a file that a request asks for; ``None`` for the whole of it.

    A header of another form, and one that asks for several parts, is passed over, as the RFC allows.

    :param header: the value of ``Range``, ``None`` where there is none.
    :param size: bytes of the file.
    :raises RangeNotSatisfiable: when none of the bytes exist.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    if first:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
    else:
        span = Span(max(0, size - int(last)), size)
    if span.start >= span.stop:
        raise RangeNotSatisfiable(f"bytes */{size}")
    return span
