"""What a job has really cost: only what Venice says of that very job."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_venice.api.billing import UsageEntry, UsageHistory
from airflow_provider_venice.api.costs import find_cost

ENTRY = {
    "timestamp": "2026-11-29T01:00:00.000Z",
    "sku": "wan-2-7-text-to-video-video-unit",
    "units": 1,
    "pricePerUnitUsd": Decimal("0.35"),
    "amount": Decimal("-0.35"),
    "currency": "USD",
    "notes": "API Inference",
    "inferenceDetails": {"requestId": "ours"},
}
REFUND = {**ENTRY, "amount": Decimal("0.35"), "notes": "API Inference refund"}
ANOTHER = {**ENTRY, "inferenceDetails": {"requestId": "another"}}


def history(*rows: object) -> UsageHistory:
    return UsageHistory(tuple(UsageEntry.of(row) for row in rows), since=0.0, read_at=1_796_000_000.0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([ENTRY], {"charge": 0.35, "refund": 0.0}),
        ([ANOTHER, ENTRY, ANOTHER], {"charge": 0.35, "refund": 0.0}),
        ([ENTRY, REFUND], {"charge": 0.35, "refund": 0.35}),
        ([ENTRY, {**ENTRY, "amount": Decimal("-0.10")}], {"charge": 0.45, "refund": 0.0}),
    ],
)
def test_what_names_the_job_counts(rows: list[object], expected: dict[str, float]) -> None:
    assert find_cost(history(*rows), "ours").to_dict() == expected


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([], "no entry that names the job when it was read, at 2026-11-"),
        ([ANOTHER], "no entry that names the job"),
        ([{**ENTRY, "inferenceDetails": None}], "no entry that names the job"),
        ([ENTRY, {**ENTRY, "currency": "DIEM"}], "no amount of US dollars: -0.35 DIEM"),
        ([{**ENTRY, "amount": "much"}], "no amount of US dollars"),
    ],
)
def test_anything_else_is_not_known(rows: list[object], note: str) -> None:
    cost = find_cost(history(*rows), "ours").to_dict()
    assert (cost["charge"], cost["refund"]) == (None, None)
    assert note in cost["charge_note"]
