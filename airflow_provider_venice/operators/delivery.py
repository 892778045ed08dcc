"""From a finished job to a file in its place, a record of it, and nothing left at the vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VeniceRequestError
from airflow_provider_venice.operators.manifest import describe_delivery, write_manifest
from airflow_provider_venice.operators.submission import SubmissionMemory

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.storage import StoredVideo


@dataclass(frozen=True)
class Delivery:
    """
    Where a clip goes, and what is done besides.

    :param output_path: a local path or any ``ObjectStoragePath`` or its URL.
    :param overwrite: whether a file that is already there may be replaced.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    :param manifest: whether to write a record of it as ``<output_path>.json``.
    """

    output_path: Any
    overwrite: bool
    delete_media: bool
    manifest: bool

    def run(
        self, task: BaseOperator, hook: VeniceHook, job: VideoJob | Mapping[str, Any], context: Context
    ) -> dict[str, Any]:
        """
        Download a clip, record it, tell the task's outlets, and delete it at the vendor if asked to.

        :return: plain JSON: ``path``, ``size``, ``sha256``, ``metadata`` and ``job``.
        :raises VeniceError: when no whole file could be stored.
        """
        from airflow_provider_venice.hooks.sealing import seal, unseal

        finished, memory = unseal(job), SubmissionMemory(context)
        stored = self._already_stored(hook, memory, finished)
        if stored is None:
            stored = hook.download(finished, self.output_path, overwrite=self.overwrite)
        else:
            task.log.info("%s is already there, whole: %s", finished, stored.path)
        memory.delivered(finished, stored.to_dict())
        record = describe_delivery(context, finished, stored.to_dict())
        if self.manifest:
            task.log.info("Wrote %s", write_manifest(stored.path, record))
        _tell_outlets(task, context, record)
        if self.delete_media:
            _delete(task, hook, finished)
        return {**stored.to_dict(), "job": seal(finished)}

    def _already_stored(self, hook: VeniceHook, memory: SubmissionMemory, job: VideoJob) -> StoredVideo | None:
        """Return the file of an earlier try: as it was noted, or of the size that Venice announces."""
        from airflow_provider_venice import storage

        noted = memory.delivery(job)
        if self.overwrite and noted is None:
            return None
        stored = storage.existing_video(self.output_path)
        if stored is None or (noted is not None and noted["sha256"] == stored.sha256):
            return stored
        if self.overwrite:
            return None
        if _announced_size(hook, job) == stored.size:
            return stored
        raise VeniceRequestError(
            f"{stored.path} exists, and it cannot be told whether it is {job}; "
            "remove it, choose another output_path, or pass overwrite=True",
            fields={"output_path": "exists"},
        )


def _announced_size(hook: VeniceHook, job: VideoJob) -> int | None:
    """Return the bytes of the clip as Venice announces them; a private link announces them only when it is fetched."""
    from airflow_provider_venice.api import calls

    transport, call = hook.get_conn(), calls.download(job)

    def look() -> int | None:
        with transport.open(call) as answer:
            if not answer.head.is_media:
                call.read(answer.reply())
            return answer.head.content_length

    return transport.repeat(call, look)


def _tell_outlets(task: BaseOperator, context: Context, record: Mapping[str, Any]) -> None:
    from airflow.sdk import Asset

    for outlet in task.outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(record)


def _delete(task: BaseOperator, hook: VeniceHook, job: VideoJob) -> None:
    """Delete at the vendor; the file is safe, so a failure here is not one of the task."""
    try:
        found = hook.delete_media(job)
    except VeniceError as error:
        task.log.warning("The media of %s could not be deleted at Venice: %s", job, error)
    else:
        task.log.info("The media of %s %s at Venice", job, "was deleted" if found else "was already gone")
