"""The one place that decides which failures Airflow must not retry."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VeniceRequestError,
    VideoDownloadError,
    VideoGenerationError,
    VideoTargetUnavailable,
)
from airflow_provider_venice.version_compat import AirflowFailException


class FinalAmbiguousSubmission(VeniceAmbiguousSubmission, AirflowFailException):
    """An ambiguous submission that also stops a task of the user's own, where nothing else would."""


class InvalidArgument(VeniceRequestError, AirflowFailException):
    """An argument of a task is wrong, whatever is rendered: no retry mends it."""


@contextlib.contextmanager
def final_failures() -> Iterator[None]:
    """Turn what cannot heal into ``AirflowFailException``; let through what a retry of the task may mend."""
    try:
        yield
    except VeniceError as error:
        if error.can_heal or isinstance(error, AirflowFailException):
            raise
        raise AirflowFailException(str(error)) from error


#: What a failed task does with a clip that is paid for.
TAKEN_UP = "A retry or a clear of this task takes it up, and pays nothing"


@contextlib.contextmanager
def log_recovery_hint(job: VideoJob, log: logging.Logger | Any, then: str | None = TAKEN_UP) -> Iterator[None]:
    """
    Log how to collect a paid clip, when what is done with it fails.

    :param job: the job that was paid for.
    :param log: the task's log.
    :param then: what another try does; ``None`` where the caller knows nothing of tries.
    :raises VideoDownloadError: which heals, in place of a :class:`VideoTargetUnavailable`, where there are other tries.
    """
    try:
        yield
    except VideoGenerationError:
        raise
    except Exception as error:
        log.error("%s%s", job.how_to_collect, "" if then is None else f". {then}")
        if then is not None and isinstance(error, VideoTargetUnavailable):
            # Such as a mount that is missing on this worker: with a clip paid for, worth a retry.
            raise VideoDownloadError(str(error)) from error
        raise
