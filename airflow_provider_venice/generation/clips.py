"""The clips of a run, how far each has come, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VideoBatchError,
    VideoGenerationError,
)
from airflow_provider_venice.generation.submission import Submission
from airflow_provider_venice.xcoms import RESULTS_KEY

if TYPE_CHECKING:
    from airflow_provider_venice.reservations import Owner
    from airflow_provider_venice.storage import StoredVideo

#: How many failures a message lists.
_MOST_LISTED = 10


@dataclass
class Clip:
    """
    One of the clips, and how far it has come.

    :param submission: buys it, or has bought it.
    :param owner: who reserves its target.
    :param target: where it goes; ``None`` where the task stores none.
    :param job: what was bought.
    :param is_finished: whether the job is known to have a video.
    :param noted: the file that an earlier try has stored of the job, or was about to.
    :param stored: its file.
    :param record: the manifest's content.
    :param error: why there is no video, or no file.
    """

    submission: Submission
    owner: Owner
    target: Any = None
    job: VideoJob | None = None
    is_finished: bool = False
    noted: Mapping[str, Any] | None = None
    stored: StoredVideo | None = None
    record: Mapping[str, Any] | None = None
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
        from airflow_provider_venice.hooks.sealing import seal

        assert self.job is not None
        job = seal(self.job)
        return job if self.stored is None else {**self.stored.to_dict(), "job": job}

    def outcome(self) -> dict[str, Any]:
        """Return what the XCom ``venice_results`` has of it, with its ``status``."""
        from airflow_provider_venice.hooks.sealing import seal

        if self.stored is not None:
            # Its manifest may be missing.
            return {"status": "stored", **self.result(), **({} if self.error is None else {"error": str(self.error)})}
        job = None if self.job is None else seal(self.job)
        if self.error is None:
            return {"status": "missing" if self.job is None else self.job.status, "error": None, "job": job}
        return {"status": "doubt" if self.is_doubtful else "failed", "error": str(self.error), "job": job}


def raise_failures(clips: Sequence[Clip], *, is_list: bool) -> NoReturn:
    """
    Raise what has become of clips some of which have failed.

    :param clips: all of them.
    :param is_list: whether the task was given a list.
    :raises VideoBatchError: for a list, with what became of each.
    :raises Exception: for one clip, its own error.
    """
    failed = [(clip.submission, clip.error) for clip in clips if clip.error is not None]
    if not is_list:
        ((_, error),) = failed
        if isinstance(error, VideoGenerationError) and error.costs_nothing:
            # Not one of ours, which would be final: here a retry is wanted, and buys another clip.
            raise AirflowException(f"{error}; a retry submits it anew") from error
        raise error
    listed = [f"{submission}: {error}" for submission, error in failed]
    more = f"; and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    raise VideoBatchError(
        f"{len(failed)} of {len(clips)} clips failed, {sum(clip.stored is not None for clip in clips)} are stored "
        f"(the XCom {RESULTS_KEY} has each). {'; '.join(listed[:_MOST_LISTED])}{more}",
        results=[clip.outcome() for clip in clips],
        can_heal=any(can_heal(error) for _, error in failed),
    )


def can_heal(error: Exception) -> bool:
    """Whether another try may bring a clip that has failed like this."""
    refunded = isinstance(error, VideoGenerationError) and error.costs_nothing
    return refunded or not isinstance(error, VeniceError) or error.can_heal
