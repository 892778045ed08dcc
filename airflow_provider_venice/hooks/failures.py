"""The one place that tells Airflow which failures no retry can mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError


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
def after_payment(job: VideoJob) -> Iterator[None]:
    """
    Turn every failure into ``AirflowFailException``: a retry of the task would buy the clip again.

    The message tells how to collect it instead.

    :param job: the job that was paid for.
    """
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

    try:
        yield
    except (AirflowFailException, AirflowSkipException):
        raise
    except (Exception, AirflowTaskTimeout) as error:
        what = str(error) or type(error).__name__
        raise AirflowFailException(
            f"{what}. The clip is paid for, so it is not queued again. While Venice keeps it, collect it with "
            "VeniceDownloadVideoOperator or VeniceHook.download, "
            f"job={{'model': {job.model!r}, 'queue_id': {job.queue_id!r}}}"
        ) from error
