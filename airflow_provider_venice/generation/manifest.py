"""A record of what was bought: beside the file, and in the asset event."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
    VideoTargetUnavailable,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.generation.arguments import Existing
    from airflow_provider_venice.storage.reservations import Owner


def describe_delivery(
    context: Context,
    job: VideoJob,
    video: Mapping[str, Any],
    stored_at: str | None = None,
    identity: Mapping[str, Any] | None = None,
    cost: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Return the record of a stored clip, as plain JSON.

    :param context: the task's context.
    :param job: the job, as the last poll saw it.
    :param video: ``path``, ``size``, ``sha256`` and ``metadata`` of the file.
    :param stored_at: when it was stored, as ISO 8601 text; now if ``None``.
    :param identity: ``fingerprint`` and ``media`` of the request that was sent, where they are known.
    :param cost: ``charge`` and ``refund``, where the account's usage history is read.
    """
    origin = {**_origin(context, job), **(identity or {}), **(cost or {})}
    return {"status": "stored", **video, **origin, "stored_at": stored_at or _iso(time.time())}


def describe_failure(
    context: Context, job: VideoJob, error: VideoGenerationError, cost: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Return the record of a job that ended without a clip, as plain JSON.

    :param context: the task's context.
    :param job: the job.
    :param error: why it ended.
    :param cost: ``charge`` and ``refund``, where the account's usage history is read.
    """
    return {
        "status": "failed",
        "error": str(error),
        "error_type": error.error_type,
        "error_code": error.error_code,
        "refunded": error.credits_refunded,
        "recommended_model": error.recommended_model,
        **_origin(context, job),
        **(cost or {}),
        "failed_at": _iso(time.time()),
    }


def read_manifest(output_path: Any) -> tuple[str, Mapping[str, Any] | None] | None:
    """
    Return where the manifest of a clip is, and what it says: ``None`` where it is no manifest.

    :param output_path: where the clip is, or would be.
    :return: ``None`` where there is no file of that name.
    """
    from airflow_provider_venice import storage

    path = _manifest_path(output_path)
    # A manifest is a few kilobytes; of what is larger, the part is no JSON.
    written = storage.read_file(path, 1 << 20)
    if written is None:
        return None
    try:
        record = json.loads(written)
        named = (record[name] for name in ("status", "model", "queue_id", "dag_id", "run_id", "task_id"))
        return path, record if all(isinstance(name, str) for name in named) else None
    except (ValueError, TypeError, KeyError):
        return path, None


def check_manifest(output_path: Any, owner: Owner, *, existing: Existing) -> None:
    """
    Refuse a clip whose manifest could not be written, before the clip is bought.

    :param output_path: where the clip is to be stored.
    :param owner: who is going to write the manifest.
    :param existing: what becomes of a file of its name that somebody else has made. With ``reuse``, a manifest without
        its clip, or of a job that has failed, is replaced, and no other file.
    :raises VeniceRequestError: when such a file must stay, or none can be made under its name.
    """
    found = read_manifest(output_path)
    if found is None or existing == "replace":
        return
    path, record = found
    if record is None or not (existing == "reuse" or _is_by(owner, record)):
        raise VeniceRequestError(
            f"{path!r} exists already, and is not the manifest of an earlier try of this task; remove it, give another "
            "output_path, or existing='replace' to replace it",
            fields={"manifest": "exists"},
        )


def write_manifest(output_path: Any, record: Mapping[str, Any], owner: Owner, *, existing: Existing) -> str:
    """
    Write a record beside the clip, as ``<output_path>.json``, and return where it is.

    :param output_path: where the clip is stored, or would be.
    :param record: what to write.
    :param owner: who writes it.
    :param existing: what becomes of a file of its name that somebody else has made.
    :raises VeniceRequestError: when such a file must stay, or none can be made under its name.
    """
    from airflow_provider_venice import storage

    check_manifest(output_path, owner, existing=existing)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    return storage.store_text(_manifest_path(output_path), text)


class ManifestNotWritten(VeniceError):
    """
    A clip is stored, and its manifest could not be written beside it. Another try does only that.

    :param job: the clip's job.
    :param path: where the clip is stored.
    :param cause: why.
    """

    def __init__(self, job: VideoJob, path: str, cause: Exception) -> None:
        super().__init__(
            f"{job} is stored as {path!r}, and only its manifest could not be written: {cause}. A retry or a clear of "
            "this task writes the manifest, and neither buys nor downloads the clip again"
        )
        self.can_heal = not isinstance(cause, VeniceRequestError) or isinstance(cause, VideoTargetUnavailable)


def _manifest_path(output_path: Any) -> str:
    return f"{output_path}.json"


def _is_by(owner: Owner, record: Mapping[str, Any]) -> bool:
    """Whether a try of the task instance ``owner`` has written a manifest."""
    map_index = -1 if record.get("map_index") is None else record["map_index"]
    writer = (*(record[name] for name in ("dag_id", "run_id", "task_id")), map_index)
    return writer == (owner.dag_id, owner.run_id, owner.task_id, owner.map_index)


def _origin(context: Context, job: VideoJob) -> dict[str, Any]:
    """Return what was asked for, what it cost, and which task did it."""
    ti = context["ti"]
    request = dict(job.request or {})
    return {
        "model": job.model,
        "requested_model": job.requested_model or job.model,
        "refused_models": dict(job.refused_models or {}),
        "queue_id": job.queue_id,
        "request": request,
        "labels": dict(job.labels or {}),
        "seed": request.get("seed"),
        "estimated_cost": job.estimated_cost,
        "currency": "USD",
        "balance_before": job.balance_before,
        "queued_at": _iso(job.queued_at),
        "detected_at": _iso(job.completed_at),
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
