"""What a trigger reports to a worker of the jobs that it has waited for: the one writer, and the one reader."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceError,
    VideoGenerationError,
    VideoTimeoutError,
)

#: What the server said of a failure, beside the message.
_FAILURE_FIELDS = (
    "status_code",
    "error_type",
    "error_code",
    "details",
    "suggested_prompt",
    "recommended_model",
    "credits_refunded",
)

#: A job, and why it has no video; ``None`` where it has one.
Outcome = tuple[VideoJob, "VeniceError | None"]


def describe_outcomes(outcomes: Sequence[tuple[VideoJob, Exception | None]]) -> dict[str, Any]:
    """
    Return plain JSON: what became of every job, in the order in which they were given.

    :param outcomes: the jobs, as the last polls saw them, each with its error. One that has neither completed nor
        an error is still running.
    """
    jobs: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    is_partial = False
    for job, error in outcomes:
        is_partial = is_partial or (error is None and not job.is_completed())
        if error is not None:
            failures.append(_failure(job, error))
            job = dataclasses.replace(
                job,
                status="failed" if isinstance(error, VideoGenerationError) else job.status,
                error=str(error),
                error_code=getattr(error, "error_code", None) or getattr(error, "error_type", None),
            )
        jobs.append(job.to_dict())
    timed_out = all(failure["timeout"] for failure in failures)
    status = "partial" if is_partial else "success" if not failures else "timeout" if timed_out else "error"
    return {"status": status, "jobs": jobs, "failures": failures}


def job_outcomes(event: Mapping[str, Any] | None) -> list[Outcome]:
    """
    Return what became of each job that has ended. Their private links are still encrypted.

    :param event: what the trigger yielded.
    :raises VeniceError: when it is no event of ours.
    """
    jobs = _jobs(event)
    failures = {failure["queue_id"]: failure for failure in (event or {})["failures"]}
    return [
        (job, read_failure(job, failures[job.queue_id]) if job.queue_id in failures else None)
        for job in jobs
        if job.queue_id in failures or job.is_completed()
    ]


def running_jobs(event: Mapping[str, Any] | None) -> list[VideoJob]:
    """
    Return the jobs that were still running when the trigger handed over the others.

    :param event: what the trigger yielded.
    :raises VeniceError: when it is no event of ours.
    """
    ended = {job.queue_id for job, _ in job_outcomes(event)}
    return [job for job in _jobs(event) if job.queue_id not in ended]


def completed_jobs(event: Mapping[str, Any] | None) -> list[VideoJob]:
    """
    Return the jobs of a trigger's event, if all have ended well.

    It is for a trigger without ``hand_over_after``.

    :param event: what the trigger yielded.
    :raises VideoGenerationError: when some failed; it carries what the server said of the first.
    :raises VeniceAPIError: when some could not be polled, and their state is not known.
    :raises VideoTimeoutError: when the time was up for some, and no other failed.
    :raises VeniceError: when it is no event of ours, when some are still running, or the trigger itself broke.
    """
    outcomes = job_outcomes(event)
    if running := running_jobs(event):
        raise VeniceError(
            f"{len(running)} of {len(running) + len(outcomes)} jobs are still running; read the event with "
            "job_outcomes and running_jobs, or give the trigger no hand_over_after"
        )
    errors = [error for _, error in outcomes if error is not None]
    if not errors:
        return [job for job, _ in outcomes]
    worst = min(errors, key=_severity)
    worst.args = ("; ".join(map(str, errors)),)
    raise worst


def _severity(error: VeniceError) -> int:
    kinds = (VideoGenerationError, VeniceAPIError, VideoTimeoutError)
    # A broken trigger fails all of its jobs alike.
    return next((rank for rank, kind in enumerate(kinds) if isinstance(error, kind)), -1)


def _jobs(event: Mapping[str, Any] | None) -> list[VideoJob]:
    status = event.get("status") if isinstance(event, Mapping) else None
    if event is None or status not in ("success", "partial", "error", "timeout"):
        raise VeniceError(f"the trigger sent an event with the unknown status {status!r}")
    return [VideoJob.of(job) for job in event["jobs"]]


def read_failure(job: VideoJob, failure: Mapping[str, Any]) -> VeniceError:
    """
    Return the error that an event describes.

    :param job: the job that has it, as the event has it.
    :param failure: its entry among the ``failures``.
    """
    message = failure["message"]
    if failure["timeout"]:
        return VideoTimeoutError(message, model=job.model, queue_id=job.queue_id)
    if failure.get("status_code") is None:
        # The trigger itself broke, which a retry of the task may mend.
        return VeniceConnectionError(message, sent=True) if failure.get("heals") else VeniceError(message)
    fields: dict[str, Any] = {name: failure.get(name) for name in _FAILURE_FIELDS}
    if job.status != "failed":
        return VeniceAPIError(message, **fields)
    return VideoGenerationError(message, model=job.model, queue_id=job.queue_id, **fields)


def _failure(job: VideoJob, error: Exception) -> dict[str, Any]:
    # Others have attributes of these names as well, which mean something else.
    known = error if isinstance(error, VeniceError) else None
    fields = {name: getattr(known, name, None) for name in _FAILURE_FIELDS}
    fields["heals"] = known is None or known.can_heal
    fields["timeout"] = isinstance(error, VideoTimeoutError)
    if fields["details"] is not None:
        fields["details"] = str(fields["details"])
    message = str(error) if isinstance(error, VeniceError) else f"{job}: the wait broke off: {error!r}"
    if not isinstance(error, (VideoGenerationError, VideoTimeoutError)):
        message += f". {job.how_to_collect}"
    return {"model": job.model, "queue_id": job.queue_id, "message": message, **fields}
