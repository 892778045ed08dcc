"""Whether a submission in doubt was charged, as the account's usage history shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_venice.api.billing import KnownPurchase, UsageEntry, UsageHistory, utc

#: Seconds by which the time of an entry may differ from that which a worker has noted: the clocks of both, and the time
#: that Venice took to answer a submission.
SLACK = 300.0

#: US dollars by which an amount may differ from the quote that it was made of: numbers of JSON are rounded.
_ROUNDING = Decimal("0.0001")

#: How the names of products end that are no video: tokens of text models, and images. They are those of the examples in
#: Venice's OpenAPI document, ``zai-org-glm-5-1-llm-output-mtoken`` and ``grok-imagine-image-image-unit``.
_NO_VIDEO = ("-mtoken", "-image-unit")


@dataclass(frozen=True)
class ChargeFinding:
    """
    What the usage history says of a submission in doubt.

    :param answer: whether it was charged, as far as can be said.
    :param reason: why, as a sentence without its full stop; "it" is the usage history.
    :param entry: the charge, where there is one.
    :param read_at: epoch seconds at which the history was read; ``None`` where it could not be read.
    """

    answer: Literal["charged", "not charged", "cannot tell"]
    reason: str
    entry: UsageEntry | None = None
    read_at: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "answer": self.answer,
            "reason": self.reason,
            "entry": None if self.entry is None else self.entry.to_dict(),
            "read_at": None if self.read_at is None else utc(self.read_at),
        }


@dataclass
class _Search:
    """What is left of the entries while those are set aside that belong to other purchases."""

    model: str
    cost: Decimal | None
    known: Sequence[KnownPurchase]
    models: Collection[str]
    entries: list[UsageEntry] = field(default_factory=list)

    def owner(self, entry: UsageEntry) -> str | None:
        """Return the model that the name of the product begins with: the longest id of those that are known."""
        named = [model for model in self.models if entry.sku == model or entry.sku.startswith(f"{model}-")]
        return max(named, key=len, default=None)

    def may_be_ours(self, entry: UsageEntry) -> bool:
        """Whether an entry may be the charge; only what is certainly something else is none."""
        owner = self.owner(entry)
        if owner is None:
            return not entry.sku.endswith(_NO_VIDEO)
        is_of_another = not (owner.startswith(self.model) or self.model.startswith(owner))
        # Venice may serve a model that it gives up by another one, and name that: at the price that it has quoted.
        return not is_of_another or self.cost is None or is_charge_of(entry, self.cost)

    def set_named_aside(self) -> set[str]:
        """Set the entries aside that name a known job; return the ids of these jobs."""
        ids = {purchase.queue_id for purchase in self.known}
        found = {entry.request_id for entry in self.entries if entry.request_id in ids}
        self.entries = [entry for entry in self.entries if entry.request_id not in found]
        return {queue_id for queue_id in found if queue_id is not None}

    def set_counted_aside(self, certain: Iterable[KnownPurchase], delay: float) -> KnownPurchase | None:
        """
        Set one entry aside for each known purchase; return the first purchase that has none.

        Which entry it is does not matter: each purchase has one of its own, so that with all of these taken and none
        left, there is none for the submission in doubt.
        """
        for purchase in sorted(certain, key=lambda one: one.bought_at or 0.0):
            bought_at = purchase.bought_at or 0.0
            for entry in self.entries:
                fits = self.owner(entry) == purchase.model and is_charge_of(entry, purchase.cost)
                if fits and _is_in_time(entry, bought_at, delay):
                    self.entries.remove(entry)
                    break
            else:
                return purchase
        return None


def find_charge(
    history: UsageHistory,
    *,
    model: str,
    sent_at: float,
    ended_at: float,
    cost: Decimal | None,
    delay: float,
    known: Sequence[KnownPurchase] = (),
    other_models: Collection[str] = (),
    doubts: int = 1,
) -> ChargeFinding:
    """
    Return whether a submission in doubt was charged.

    What must hold of the history for "not charged" to be certain is in ``docs/reliability.md``. Whatever does not fit
    is "cannot tell".

    :param history: the entries since ``SLACK`` before the submission, or since before the purchases that are known.
    :param model: the model that was asked for.
    :param sent_at: when the submission was sent, at the earliest, in epoch seconds.
    :param ended_at: when it had ended on our side, at the latest, in epoch seconds.
    :param cost: the quoted US dollars, ``None`` where there was no quote.
    :param delay: seconds after that until a charge is in the history, at the latest.
    :param known: purchases that are not in doubt, of this task and of others.
    :param other_models: ids of the other models that Venice has: a product that is named after one, at another price,
        is no clip of this one.
    :param doubts: how many submissions to this model are in doubt, this one included.
    """

    def cannot_tell(reason: str) -> ChargeFinding:
        return ChargeFinding("cannot tell", reason, read_at=history.read_at)

    problem = _problem(history, sent_at, ended_at + delay)
    if problem is not None:
        return cannot_tell(problem)
    models = {model, *other_models, *(purchase.model for purchase in known)}
    search = _Search(model, cost, known, models, [entry for entry in history.entries if not entry.is_refund])
    own = {purchase.queue_id: purchase for purchase in known if purchase.is_own}
    certain = [purchase for purchase in own.values() if _has_entry(purchase, history, delay)]
    named = search.set_named_aside()
    missing = next((purchase for purchase in certain if purchase.queue_id not in named), None)
    if not named:
        # Either Venice names jobs by other ids here, or no purchase that is known falls into the period.
        missing = search.set_counted_aside(certain, delay)
    if missing is not None:
        return cannot_tell(f"it has no entry for job {missing.queue_id}, which was bought at that time")
    left = [entry for entry in search.entries if search.may_be_ours(entry)]
    if not left:
        # Invariant: this answer may buy another clip. It is given only where the history is complete, fits throughout,
        # and each of its entries is a refund, a purchase that is known, or no clip of this model.
        return ChargeFinding("not charged", "it has no entry that may be its charge", read_at=history.read_at)
    fitting = [
        entry
        for entry in left
        if search.owner(entry) == model
        and is_charge_of(entry, cost)
        and sent_at - SLACK <= entry.timestamp <= ended_at + delay + SLACK
    ]
    # A purchase that has no entry for certain, such as one of another task, may explain one of these all the same.
    settled = {*named, *(purchase.queue_id for purchase in certain)}
    rivals = [
        purchase
        for purchase in known
        if purchase.queue_id not in settled
        and purchase.model == model
        and (purchase.bought_at is None or any(_is_in_time(entry, purchase.bought_at, delay) for entry in left))
    ]
    if len(left) == len(fitting) == doubts and not rivals:
        reason = f"it has an entry of that model, price and time that no known purchase explains: {fitting[0]}"
        return ChargeFinding("charged", reason, fitting[0], history.read_at)
    shown = "; ".join(map(str, left[:3])) + (f"; and {len(left) - 3} more" if len(left) > 3 else "")
    return cannot_tell(f"it has entries that may be its charge or another purchase: {shown}")


def is_charge_of(entry: UsageEntry, cost: Decimal | None) -> bool:
    """Whether an entry charges that many US dollars; ``False`` where the price is not known."""
    return cost is not None and entry.currency == "USD" and abs(entry.amount + cost) <= _ROUNDING


def _problem(history: UsageHistory, sent_at: float, due: float) -> str | None:
    """Return why the history cannot show that there is no charge; ``None`` where it can."""
    if history.read_at < due:
        return f"it may lack the charge until {utc(due)}, and was read at {utc(history.read_at)}"
    if history.since > sent_at - SLACK:
        return f"it was read from {utc(history.since)} only, and the submission was sent at {utc(sent_at)}"
    if abs(history.clocks_differ) > 0:
        return f"Venice's clock and the clock here differ by {abs(history.clocks_differ):.0f} s"
    unread = next((entry for entry in history.entries if entry.unread), None)
    if unread is not None:
        return f"it has an entry whose {', '.join(unread.unread)} cannot be read"
    times = [entry.timestamp for entry in history.entries]
    if any(later < earlier for earlier, later in itertools.pairwise(times)):
        return "its entries are not in the order of their times"
    if times and not (times[0] >= math.floor(history.since) and times[-1] <= history.read_at + SLACK):
        return "it has entries outside of the period that was asked for"
    return None


def _is_in_time(entry: UsageEntry, bought_at: float, delay: float) -> bool:
    """Whether an entry may be for a purchase of that time."""
    return bought_at - SLACK <= entry.timestamp <= bought_at + delay + SLACK


def _has_entry(purchase: KnownPurchase, history: UsageHistory, delay: float) -> bool:
    """Whether the history must have the entry of a purchase: neither just before its begin, nor too new."""
    bought_at = purchase.bought_at
    return bought_at is not None and history.since + SLACK <= bought_at <= history.read_at - delay
