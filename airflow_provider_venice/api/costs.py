"""What a job has really cost, as the account's usage history says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_venice.api.billing import UsageHistory, utc

#: The fields of :meth:`ActualCost.to_dict`.
COST_FIELDS = ("charge", "refund", "charge_note")


@dataclass(frozen=True)
class ActualCost:
    """
    What a job has cost.

    :param charge: US dollars that were charged, ``None`` where that is not known.
    :param refund: US dollars that came back, ``None`` where that is not known.
    :param note: why it is not known, as a sentence without its full stop.
    """

    charge: Decimal | None = None
    refund: Decimal | None = None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, as a manifest has it; amounts as numbers."""
        charge, refund = (None if amount is None else float(amount) for amount in (self.charge, self.refund))
        return {"charge": charge, "refund": refund, **({} if self.note is None else {"charge_note": self.note})}


def find_cost(history: UsageHistory, queue_id: str) -> ActualCost:
    """
    Return what a job has cost.

    Only an entry that names the job counts. Whether Venice names a job by its ``queue_id`` is not documented; another
    entry of the same model and price may be that of anybody who uses the account.

    :param history: the entries since the submission.
    :param queue_id: the job's id.
    """
    entries = [entry for entry in history.entries if entry.request_id == queue_id]
    if not entries:
        read_at = utc(history.read_at)
        return ActualCost(note=f"the usage history had no entry that names the job when it was read, at {read_at}")
    odd = next((entry for entry in entries if entry.unread or entry.currency != "USD"), None)
    if odd is not None:
        return ActualCost(note=f"the usage history has an entry of the job that is no amount of US dollars: {odd}")
    amounts = [entry.amount for entry in entries]
    return ActualCost(
        charge=-sum((amount for amount in amounts if amount < 0), Decimal(0)),
        refund=sum((amount for amount in amounts if amount > 0), Decimal(0)),
    )
