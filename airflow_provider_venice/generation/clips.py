"""The clips of a run, how far each has come, and what comes of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VideoBatchError,
    VideoGenerationError,
)
from airflow_provider_venice.generation.clip_request import ClipRequest
from airflow_provider_venice.generation.delivery import describe_stored
from airflow_provider_venice.generation.outcomes import describe_outcome
from airflow_provider_venice.generation.submission import Submission
from airflow_provider_venice.version_compat import AirflowException
from airflow_provider_venice.xcoms import RESULTS_KEY

if TYPE_CHECKING:
    from airflow_provider_venice.storage import StoredVideo
    from airflow_provider_venice.storage.reservations import Owner

#: How many failures a message lists.
_MOST_LISTED = 10


@dataclass
class Clip:
    """
    One of the clips, and how far it has come.

    :param position: which of the task's clips; from 0.
    :param wanted: what it is to be.
    :param submission: buys it, or has bought it.
    :param owner: who reserves its target.
    :param target: where it goes; ``None`` where the task stores none.
    :param request: what to buy, once it is checked.
    :param cost: its price in US dollars, where it is to be bought and Venice gave one.
    :param job: what was bought.
    :param is_finished: whether the job is known to have a video.
    :param noted: the file that an earlier try has stored of the job, or was about to.
    :param stored: its file.
    :param record: the manifest's content.
    :param is_reused: whether it was there already, and nothing is bought.
    :param error: why there is no video, or no file.
    """

    position: int
    wanted: ClipRequest
    submission: Submission
    owner: Owner
    target: Any = None
    request: VideoRequest | None = None
    cost: Decimal | None = None
    job: VideoJob | None = None
    is_finished: bool = False
    noted: Mapping[str, Any] | None = None
    stored: StoredVideo | None = None
    record: Mapping[str, Any] | None = None
    is_reused: bool = False
    error: Exception | None = None

    @property
    def is_missing(self) -> bool:
        """Whether it is still to be bought."""
        return self.job is None and self.error is None

    @property
    def is_doubtful(self) -> bool:
        """Whether nobody knows if it was bought."""
        return isinstance(self.error, VeniceAmbiguousSubmission)

    def result(self) -> dict[str, Any]:
        """Return what the task returns of it: its file and job, or its job where the task stores none."""
        from airflow_provider_venice.hooks.private_links import encrypt_link

        assert self.job is not None
        if self.stored is None:
            return encrypt_link(self.job)
        return describe_stored(self.stored, self.job, is_reused=self.is_reused)

    def outcome(self) -> dict[str, Any]:
        """Return what the XCom ``venice_results`` has of it, with its ``status``."""
        job, entry = self.job, self.submission.entry
        has_failed = self.error is not None and entry is not None and entry.failure is not None
        if job is None and has_failed and entry is not None and entry.job is not None:
            # That of an earlier try.
            job = dataclasses.replace(VideoJob.of(entry.job), status="failed")
        cost = entry.cost if self.cost is None and entry is not None else self.cost
        return describe_outcome(
            job,
            error=self.error,
            stored=self.stored,
            stored_at=None if self.record is None else self.record["stored_at"],
            request=self.wanted.described,
            labels=self.wanted.labels,
            cost=None if cost is None else float(cost),
            reasons=entry.reasons if has_failed and entry is not None else None,
            venice_conn_id=self.submission.venice_conn_id,
            usage_history=entry.finding if self.is_doubtful and entry is not None else None,
            is_reused=self.is_reused,
            refused_models=self.wanted.models.refused,
        )


def raise_failures(clips: Sequence[Clip], *, is_list: bool) -> NoReturn:
    """
    Raise what has become of clips some of which have failed.

    :param clips: all of them.
    :param is_list: whether the task was given a list.
    :raises VideoBatchError: for a list, with what became of each.
    :raises Exception: for one clip, its own error.
    """
    failed = [(clip.wanted, clip.error) for clip in clips if clip.error is not None]
    if not is_list:
        ((_, error),) = failed
        if isinstance(error, VideoGenerationError) and error.costs_nothing:
            # Not one of ours, which would be final: here a retry is wanted, and buys another clip.
            raise AirflowException(f"{error}; a retry submits it anew") from error
        raise error
    listed = [f"{wanted}: {error}" for wanted, error in failed]
    more = f"; and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    raise VideoBatchError(
        f"{describe_clips(clips)} (the XCom {RESULTS_KEY} has each). {'; '.join(listed[:_MOST_LISTED])}{more}",
        results=[clip.outcome() for clip in clips],
        can_heal=any(can_heal(error) for _, error in failed),
    )


def describe_costs(clips: Sequence[Clip]) -> str:
    """Return what clips have cost over all tries, for people."""
    entries = [entry for clip in clips if (entry := clip.submission.entry) is not None]
    unknown = sum(entry.unpriced + (entry.is_paid and entry.cost is None) for entry in entries)
    text = f"Paid {dollars(sum((entry.paid for entry in entries), Decimal(0)))} in all"
    if unknown:
        text += f", and {unknown} clip{'s' if unknown > 1 else ''} at an unknown price"
    refunded = [Decimal(entry.cost) for entry in entries if entry.job and entry.refunded and entry.cost]
    if refunded:
        text += f"; refunded {dollars(sum(refunded, Decimal(0)))}, as Venice says"
    doubtful = [entry for entry in entries if entry.is_doubt]
    if doubtful:
        text += f"; in doubt {dollars(sum((Decimal(entry.cost or 0) for entry in doubtful), Decimal(0)))}"
    return text


def describe_clips(clips: Sequence[Clip]) -> str:
    """Return how many clips have come how far, and what they have cost, for the log."""
    counts = Counter(_fate(clip) for clip in clips)
    listed = ", ".join(f"{count} {fate}" for fate, count in counts.items())
    return f"{len(clips)} clips: {listed}. {describe_costs(clips)}"


def _fate(clip: Clip) -> str:
    if clip.is_doubtful:
        return "in doubt"
    if clip.is_reused:
        return "reused"
    if clip.stored is not None:
        return "stored" if clip.error is None else "stored without its manifest"
    if clip.error is not None:
        # The job that an earlier try has seen fail is in the ledger only.
        entry = clip.submission.entry
        return "failed" if clip.job is not None or (entry is not None and entry.job is not None) else "not bought"
    return "missing" if clip.job is None else clip.job.status


def can_heal(error: Exception) -> bool:
    """Whether another try may bring a clip that has failed like this."""
    refunded = isinstance(error, VideoGenerationError) and error.costs_nothing
    return refunded or not isinstance(error, VeniceError) or error.can_heal
