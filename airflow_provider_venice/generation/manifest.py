"""A record of what was bought: beside the file, and in the asset event."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VideoGenerationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def describe_delivery(context: Context, job: VideoJob, video: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the record of a stored clip, as plain JSON.

    :param context: the task's context.
    :param job: the job, as its last look left it.
    :param video: ``path``, ``size``, ``sha256`` and ``metadata`` of the file.
    """
    return {"status": "stored", **video, **_origin(context, job), "stored_at": _iso(time.time())}


def describe_failure(context: Context, job: VideoJob, error: VideoGenerationError) -> dict[str, Any]:
    """
    Return the record of a job that ended without a clip, as plain JSON.

    :param context: the task's context.
    :param job: the job.
    :param error: why it ended.
    """
    return {
        "status": "failed",
        "error": str(error),
        "error_type": error.error_type,
        "error_code": error.error_code,
        "refunded": error.credits_refunded,
        "recommended_model": error.recommended_model,
        **_origin(context, job),
        "failed_at": _iso(time.time()),
    }


def write_manifest(output_path: Any, record: Mapping[str, Any]) -> str:
    """
    Write a record beside the clip, as ``<output_path>.json``, and return where it lies.

    :param output_path: where the clip lies, or would lie.
    :param record: what to write.
    """
    from airflow_provider_venice import storage

    return storage.store_text(f"{output_path}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def _origin(context: Context, job: VideoJob) -> dict[str, Any]:
    """Return what was asked for, what it cost, and which task did it."""
    ti = context["ti"]
    request = dict(job.request or {})
    return {
        "model": job.model,
        "queue_id": job.queue_id,
        "request": request,
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
