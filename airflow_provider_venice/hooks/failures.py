"""The one place that tells Airflow which failures no retry can mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VideoGenerationError, VideoTimeoutError


@contextlib.contextmanager
def final_failures() -> Iterator[None]:
    """Turn what cannot heal into ``AirflowFailException``; let through what a retry of the task may mend."""
    try:
        yield
    except VeniceError as error:
        if error.can_heal:
            raise
        from airflow.providers.common.compat.sdk import AirflowFailException

        raise AirflowFailException(str(error)) from error


@contextlib.contextmanager
def after_payment(job: VideoJob | None = None) -> Iterator[None]:
    """
    Turn every failure into ``AirflowFailException``: a retry of the task would buy the clip again.

    :param job: the job that was paid for, to tell how to collect it; not where the failure tells it itself.
    """
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

    try:
        yield
    except (AirflowFailException, AirflowSkipException):
        raise
    except (Exception, AirflowTaskTimeout) as error:
        message = str(error) or type(error).__name__
        if job is not None and not isinstance(error, (VideoGenerationError, VideoTimeoutError)):
            message = f"{message}. {job.how_to_collect}"
        raise AirflowFailException(message) from error
