"""From a finished job to a file in its place, an asset event, and nothing left at the vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VeniceRequestError
from airflow_provider_venice.operators.submission import SubmissionMemory

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.storage import StoredVideo


def deliver(
    task: BaseOperator,
    hook: VeniceHook,
    job: VideoJob | Mapping[str, Any],
    context: Context,
    *,
    output_path: Any,
    overwrite: bool,
    delete_media: bool,
) -> dict[str, Any]:
    """
    Download a clip, tell the task's outlets of it, and delete it at the vendor if asked to.

    :return: plain JSON: ``path``, ``size``, ``sha256``, ``metadata`` and ``job``.
    :raises VeniceError: when no whole file could be stored.
    """
    from airflow_provider_venice.hooks.sealing import seal, unseal

    finished, memory = unseal(job), SubmissionMemory(context)
    stored = _already_delivered(hook, memory, finished, output_path, overwrite=overwrite)
    if stored is None:
        stored = hook.download(finished, output_path, overwrite=overwrite)
    else:
        task.log.info("%s is already there, whole: %s", finished, stored.path)
    memory.delivered(finished, stored.to_dict())
    result = {**stored.to_dict(), "job": seal(finished)}
    _tell_outlets(task, context, result)
    if delete_media:
        _delete(task, hook, finished)
    return result


def _already_delivered(
    hook: VeniceHook, memory: SubmissionMemory, job: VideoJob, output_path: Any, *, overwrite: bool
) -> StoredVideo | None:
    """Return the file that an earlier try has stored: as it was noted, or of the size that Venice announces."""
    from airflow_provider_venice import storage

    noted = memory.delivery(job)
    if overwrite and noted is None:
        return None
    stored = storage.existing_video(output_path)
    if stored is None or (noted is not None and noted["sha256"] == stored.sha256):
        return stored
    if overwrite:
        return None
    metadata = hook.retrieve(job).metadata
    if metadata is not None and metadata.file_size == stored.size:
        return stored
    raise VeniceRequestError(
        f"{stored.path} exists, and it cannot be told whether it is {job}; "
        "remove it, choose another output_path, or pass overwrite=True",
        fields={"output_path": "exists"},
    )


def _tell_outlets(task: BaseOperator, context: Context, result: Mapping[str, Any]) -> None:
    from airflow.sdk import Asset

    for outlet in task.outlets:
        if isinstance(outlet, Asset):
            # Whoever the event reaches needs the file, not the job that made it.
            facts = {name: value for name, value in result.items() if name != "job"}
            context["outlet_events"][outlet].extra.update(facts)


def _delete(task: BaseOperator, hook: VeniceHook, job: VideoJob) -> None:
    """Delete at the vendor; the file is safe, so a failure here is not one of the task."""
    try:
        found = hook.delete_media(job)
    except VeniceError as error:
        task.log.warning("The media of %s could not be deleted at Venice: %s", job, error)
    else:
        task.log.info("The media of %s %s at Venice", job, "was deleted" if found else "was already gone")
