"""What a task remembers of one clip from one try to the next, so that no try pays twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission
from airflow_provider_venice.hooks.task_store import task_store

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.api.model import VideoJob


@dataclass(frozen=True)
class Entry:
    """
    The last submission of a clip. Without a job it is an intent: it may have been sent and charged, unless refused.

    :param fingerprint: of the request, see :mod:`airflow_provider_venice.api.fingerprint`.
    :param model: the model that was asked for.
    :param sent_at: epoch seconds.
    :param max_tries: the task instance's, when a try last settled this. A clear changes it, a retry does not.
    :param clear_number: how often tasks of the run had been cleared by then, ``None`` where Airflow does not say.
    :param cost: the quoted US dollars as text, ``None`` where Venice gave no price.
    :param job: the job as it may be stored, its private link encrypted.
    :param failure: why the job ended without a video; without a job, why Venice refused the request.
    :param refunded: whether the charge for a job that failed came back.
    :param costs_nothing: whether it came back, and another submission of the same request may succeed.
    :param doubt_reported: whether the log and the XCom of a try have said that the outcome of an intent is unknown.
    :param reasons: what Venice has said of the failure beside its message, for people.
    :param cause: why the outcome is unknown, as far as the try that sent it could say.
    :param ended_at: when that try found that its answer was lost, in epoch seconds; ``None`` where it could not say.
    :param finding: what the usage history says of an intent whose outcome is unknown, once it was asked.
    :param spent: US dollars, as text, that earlier submissions of this clip have cost and that were not refunded.
    :param unpriced: how many such submissions had no quote, and count at the price of the next one.
    :param media: digests of the media that were sent, see :mod:`airflow_provider_venice.api.media_digests`; ``None``
        where nobody keeps them.
    :param admits_fallback: whether the failure lets another model be bought for the clip.
    :param refused_models: which models had refused the clip before this one was asked, and why; the one that the
        request names stands first.
    """

    fingerprint: str
    model: str
    sent_at: float
    max_tries: int
    clear_number: int | None = None
    cost: str | None = None
    job: Mapping[str, Any] | None = None
    failure: str | None = None
    refunded: bool = False
    costs_nothing: bool = False
    doubt_reported: bool = False
    reasons: Mapping[str, Any] | None = None
    cause: str = ""
    ended_at: float | None = None
    finding: Mapping[str, Any] | None = None
    spent: str = "0"
    unpriced: int = 0
    media: Mapping[str, str] | None = None
    admits_fallback: bool = False
    refused_models: Mapping[str, str] = field(default_factory=dict)

    @property
    def requested_model(self) -> str:
        """The model that the request names; ``model`` may be one that has followed it."""
        return next(iter(self.refused_models), self.model)

    @property
    def refused_by_now(self) -> dict[str, str]:
        """Which models have refused the clip, and why: this one as well, where its failure lets another be bought."""
        own = {self.model: self.failure} if self.failure is not None and self.admits_fallback else {}
        return {**self.refused_models, **own}

    @property
    def is_doubt(self) -> bool:
        """Whether nobody knows if it was accepted and charged."""
        return self.job is None and self.failure is None

    @property
    def is_not_charged(self) -> bool:
        """Whether it is in doubt, and the usage history shows that nothing was charged for it."""
        return self.is_doubt and self.finding is not None and self.finding["answer"] == "not charged"

    @property
    def price(self) -> str:
        """What it costs, for people."""
        return "at an unknown price" if self.cost is None else f"for {dollars(Decimal(self.cost))}"

    @property
    def is_paid(self) -> bool:
        """Whether it was bought, and the charge did not come back."""
        return self.job is not None and not self.refunded

    @property
    def paid(self) -> Decimal:
        """US dollars that this submission and earlier ones of the clip have cost; those without a quote not counted."""
        return Decimal(self.spent) + (Decimal(self.cost) if self.is_paid and self.cost is not None else 0)

    @property
    def sent(self) -> str:
        """When it was sent, for people."""
        return time.strftime("%F %T UTC", time.gmtime(self.sent_at))

    def carried(self) -> tuple[str, int]:
        """Return ``spent`` and ``unpriced`` for the next submission of the same clip: those of this one included."""
        is_charged = (self.is_doubt and not self.is_not_charged) or self.is_paid
        if not is_charged:
            return self.spent, self.unpriced
        if self.cost is None:
            return self.spent, self.unpriced + 1
        return str(Decimal(self.spent) + Decimal(self.cost)), self.unpriced

    def charged(self, price: Decimal) -> Decimal:
        """
        Return the US dollars that the clip has cost so far; a submission in doubt counts as charged.

        :param price: what a submission without a quote counts for.
        """
        spent, unpriced = self.carried()
        return Decimal(spent) + unpriced * price

    def doubt(self) -> VeniceAmbiguousSubmission:
        """Return the error for an intent whose outcome nobody knows."""
        reason = self.cause or "the try that sent it ended before it could say"
        return VeniceAmbiguousSubmission(
            f"a submission to model {self.model!r} of {self.sent}, {self.price}, may have been accepted and charged, "
            f"but no job id came back: {reason}. It is not sent again by itself. {self._advice()}",
            model=self.model,
            sent_at=self.sent_at,
        )

    def _advice(self) -> str:
        """Return what the usage history says of a doubt, where it was asked, and what to do."""
        answer = None if self.finding is None else self.finding["answer"]
        said = "" if self.finding is None else f"By the account's usage history: {answer} ({self.finding['reason']}). "
        if answer == "charged":
            return (
                f"{said}Its clip cannot be had, as its id is not known: report the time and the model to Venice. Clear "
                "the task to buy another clip"
            )
        if answer == "not charged":
            return f"{said}Clear the task to submit it again; on_ambiguous='check' does that by itself"
        return (
            f"{said}Look at the usage page of the Venice account for a charge at that time. If there is none, clear "
            "the task to submit it again; on_ambiguous='resubmit' does that without asking"
        )


class Ledger:
    """
    One clip of the running task, as its tries know it.

    :param context: the task's context.
    :param position: which of the task's clips, where it makes several; from 0.
    :param is_resumed: whether this try has waited in the triggerer.
    """

    def __init__(self, context: Context, position: int | None = None, *, is_resumed: bool = False) -> None:
        self._store = task_store(context, is_resumed=is_resumed)
        ti = context.get("ti")
        self._max_tries: int = getattr(ti, "max_tries", 0) or 0
        self._clear_number: int | None = getattr(context.get("dag_run"), "clear_number", None)
        retries: int | None = getattr(context.get("task"), "retries", None)
        #: Whether all of the task's retries are still ahead, as at the first try and right after a clear.
        self._has_all_retries = retries is not None and getattr(ti, "try_number", None) == self._max_tries - retries + 1
        suffix = "" if position is None else f"_{position}"
        self._key, self._delivery_key = f"venice_submission{suffix}", f"venice_delivery{suffix}"
        self._reuse_key = f"venice_reuse{suffix}"

    def read(self) -> Entry | None:
        """Return the entry that an earlier try, or this one, has left."""
        stored = self._store.get(self._key)
        if stored is None:
            return None
        names = {one.name for one in dataclasses.fields(Entry)}
        return Entry(**{name: value for name, value in stored.items() if name in names})

    def new_entry(self, fingerprint: str, model: str, previous: Entry | None, **fields: Any) -> Entry:
        """
        Return an entry for a submission that is about to be made, not stored yet.

        :param previous: the entry that it takes the place of.
        :param fields: further fields of the entry.
        """
        spent, unpriced = ("0", 0) if previous is None else previous.carried()
        entry = Entry(fingerprint, model, time.time(), self._max_tries, spent=spent, unpriced=unpriced, **fields)
        return self.settled(entry)

    def settled(self, entry: Entry) -> Entry:
        """Return the entry as one that this try has dealt with: the tries that follow are no clears."""
        return dataclasses.replace(entry, max_tries=self._max_tries, clear_number=self._clear_number)

    def write(self, entry: Entry) -> None:
        """Store an entry for the tries to come."""
        self._store.set(self._key, dataclasses.asdict(entry))

    def claim(self, intent: Entry) -> None:
        """
        Store the intent to submit, unless another try has done so.

        :raises ConcurrentTry: when one has.
        :raises TryReplaced: when this try is not the task's current one.
        """
        self._store.claim(self._key, dataclasses.asdict(intent))

    def withdraw(self, previous: Entry | None) -> None:
        """
        Take back an intent that was refused: nothing was bought.

        :param previous: the entry that the intent has taken the place of.
        """
        if previous is None:
            self._store.delete(self._key)
        else:
            self.write(previous)

    def was_cleared_since(self, entry: Entry) -> Literal["yes", "no", "unknown"]:
        """
        Whether a user has cleared the task after that submission.

        Only a clear changes ``max_tries``: to the tries so far plus ``retries``. That may be the same number, where the
        task was running or ``retries`` was lowered. Then it is known whether some task of the run was cleared; it was
        this one if it has all of its retries ahead again.
        """
        return self._cleared_since(entry.max_tries, entry.clear_number)

    def _cleared_since(self, max_tries: int, clear_number: int | None) -> Literal["yes", "no", "unknown"]:
        if self._max_tries != max_tries:
            return "yes"
        if self._clear_number == clear_number:
            return "no"
        return "yes" if self._has_all_retries else "unknown"

    def note_reuse(self) -> None:
        """Remember that a clip that was there is the result; a clear from here on may ask for another one."""
        self._store.set(self._reuse_key, {"max_tries": self._max_tries, "clear_number": self._clear_number})

    def note_another_wanted(self) -> None:
        """Remember that a person has asked for another clip than the one that is there, until it is bought."""
        # No number of tries: whatever try it is, the task was cleared since.
        self._store.set(self._reuse_key, {"max_tries": -1, "clear_number": None})

    def is_another_wanted(self) -> bool:
        """Whether a person has cleared the task since a clip that was there was its result."""
        noted = self._store.get(self._reuse_key)
        return noted is not None and self._cleared_since(noted["max_tries"], noted["clear_number"]) == "yes"

    def delivery(self, job: VideoJob) -> Mapping[str, Any] | None:
        """Return the file that an earlier try has stored of ``job``, or was about to."""
        stored = self._store.get(self._delivery_key)
        return stored["video"] if stored is not None and stored["queue_id"] == job.queue_id else None

    def note_delivery(self, job: VideoJob, video: Mapping[str, Any]) -> None:
        """Remember which file ``job`` becomes, before it appears, so that a later try recognizes it."""
        self._store.set(self._delivery_key, {"queue_id": job.queue_id, "video": dict(video)})
