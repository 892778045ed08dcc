"""The ``Range`` header, by the cases of RFC 9110, section 14.1.2."""

from __future__ import annotations

import pytest

from airflow_provider_venice.plugin.ranges import RangeNotSatisfiable, requested_span


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-499", (0, 500)),
        ("bytes=9500-", (9500, 10000)),
        ("bytes=-500", (9500, 10000)),
        ("bytes=-20000", (0, 10000)),
        ("bytes=9999-20000", (9999, 10000)),
        ("Bytes= 1-2 ", (1, 3)),
    ],
)
def test_a_part_is_read(header: str, span: tuple[int, int]) -> None:
    assert requested_span(header, 10000) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-1,5-6",
        "items=0-1",
        "bytes=--1",
        "bytes=0x1-2",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-2",
        "bytes=0-" + "9" * 40,
        "bytes=1e3-",
    ],
)
def test_what_is_no_single_part_asks_for_the_whole(header: str | None) -> None:
    assert requested_span(header, 10000) is None


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_what_is_not_there_cannot_be_sent(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable, match=r"bytes \*/10000"):
        requested_span(header, 10000)
