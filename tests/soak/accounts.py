"""
What was paid, told and asked for, clip by clip, and what of it nothing explains.

It is taken from the vendor's journal, from Airflow's logs and from what the user has done, and from nothing
that this package keeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why a clip was paid for once more."""

    REFUND = "refunded"
    DOUBT = "a person cleared a doubt that was told"
    FAILURE = "a person cleared a failed job"


@dataclass(frozen=True)
class Charge:
    """
    One charge of a clip; all times in epoch seconds.

    :param at: when the vendor has accepted the submission.
    :param queue_id: the job.
    :param refunded_at: when its price was given back, if it was.
    :param failed_at: when the vendor first said that it has failed, and gave nothing back.
    """

    at: float
    queue_id: str
    refunded_at: float | None = None
    failed_at: float | None = None


@dataclass(frozen=True)
class Account:
    """
    One clip that was asked for.

    :param name: the run, and the clip's place where it has several.
    :param charges: in their order.
    :param told: when an error in the task's log said that the clip may have been charged.
    :param cleared: when a person has cleared its task.
    :param is_whole: whether its file is there, whole, and of one of its own jobs.
    :param is_cut: whether a file is there that is not.
    """

    name: str
    charges: Sequence[Charge] = ()
    told: Sequence[float] = ()
    cleared: Sequence[float] = ()
    is_whole: bool = False
    is_cut: bool = False

    def reasons(self) -> list[Reason | None]:
        """Return why each charge after the first was made; ``None`` where nothing explains it."""
        return [self._reason(before, charge) for before, charge in zip(self.charges, self.charges[1:], strict=False)]

    def _reason(self, before: Charge, charge: Charge) -> Reason | None:
        if before.refunded_at is not None and before.refunded_at < charge.at:
            return Reason.REFUND
        if any(self._is_cleared(told, charge.at) for told in self.told if told > before.at):
            return Reason.DOUBT
        if before.failed_at is not None and self._is_cleared(before.failed_at, charge.at):
            return Reason.FAILURE
        return None

    def _is_cleared(self, since: float, until: float) -> bool:
        return any(since < cleared < until for cleared in self.cleared)

    @property
    def is_lost(self) -> bool:
        """Whether it was paid for, and the last job may have made a clip, but no whole file of one is there."""
        if self.is_whole or not self.charges:
            return False
        last = self.charges[-1]
        return last.refunded_at is None and last.failed_at is None and not any(told > last.at for told in self.told)


@dataclass(frozen=True)
class Totals:
    """What a soak counts."""

    runs: int = 0
    clips: int = 0
    charges: int = 0
    doubts: int = 0
    asked: int = 0
    refunds: int = 0
    lost: int = 0
    cut: int = 0
    unexplained: int = 0

    @classmethod
    def of(cls, accounts: Sequence[Account], runs: int, doubts: int) -> Totals:
        """
        Add up accounts.

        :param runs: of how many runs they are.
        :param doubts: how many tries have told a doubt of a clip.
        """
        reasons = [reason for account in accounts for reason in account.reasons()]
        return cls(
            runs=runs,
            clips=len(accounts),
            charges=sum(len(account.charges) for account in accounts),
            doubts=doubts,
            asked=reasons.count(Reason.DOUBT) + reasons.count(Reason.FAILURE),
            refunds=reasons.count(Reason.REFUND),
            lost=sum(account.is_lost for account in accounts),
            cut=sum(account.is_cut for account in accounts),
            unexplained=reasons.count(None),
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def per_clip(self) -> float | None:
        """Charges per clip that was asked for."""
        return self.charges / self.clips if self.clips else None

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, cut, or paid without a reason."""
        return not (self.lost or self.cut or self.unexplained)
