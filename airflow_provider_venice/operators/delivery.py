"""From a finished job to a file in its place, a record of it, and nothing left at the vendor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VeniceRequestError
from airflow_provider_venice.operators.base import VeniceOperator
from airflow_provider_venice.operators.manifest import describe_delivery, write_manifest
from airflow_provider_venice.operators.submission import SubmissionMemory

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.storage import StoredVideo


class DeliveringOperator(VeniceOperator):
    """
    What stores a clip, and does what follows from it.

    :param output_path: a local path or any ``ObjectStoragePath`` or its URL, such as
        ``s3://aws_default@bucket/clip.mp4``. (templated)
    :param overwrite: whether a file that is already there may be replaced.
    :param delete_media: whether to delete the clip at Venice once the file is stored and checked.
    :param manifest: whether to write a record of the clip, ``<output_path>.json``: what was asked for,
        what it cost, when, which file came of it, and which task did it.
    """

    template_fields: Sequence[str] = (*VeniceOperator.template_fields, "output_path")

    def __init__(
        self,
        *,
        output_path: Any,
        overwrite: bool = False,
        delete_media: bool = False,
        manifest: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.overwrite = overwrite
        self.delete_media = delete_media
        self.manifest = manifest

    def deliver(self, job: VideoJob | Mapping[str, Any], context: Context) -> dict[str, Any]:
        """
        Download a clip, record it, delete it at the vendor if asked to, and tell the task's outlets.

        :return: plain JSON: ``path``, ``size``, ``sha256``, ``metadata`` and ``job``.
        :raises VeniceError: when no whole file could be stored.
        """
        result, record = self.store(job, self.output_path, SubmissionMemory(context), context)
        self.tell_outlets(context, record)
        return result

    def store(
        self, job: VideoJob | Mapping[str, Any], path: Any, memory: SubmissionMemory, context: Context
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Download a clip, record it, and delete it at the vendor if asked to.

        :param path: where it goes.
        :param memory: what the task remembers of this clip.
        :return: what :meth:`deliver` returns, and the record, both plain JSON.
        """
        from airflow_provider_venice.hooks.sealing import seal, unseal

        finished = unseal(job)
        stored = self._already_stored(memory, finished)
        if stored is None:
            stored = self.hook.download(
                finished,
                path,
                overwrite=self.overwrite,
                before_publish=lambda file: memory.delivering(finished, file.to_dict()),
            )
        else:
            self.log.info("%s is already there, whole: %s", finished, stored.path)
        record = describe_delivery(context, finished, stored.to_dict())
        if self.manifest:
            self.log.info("Wrote %s", write_manifest(stored.path, record))
        if self.delete_media:
            self._delete(finished)
        return {**stored.to_dict(), "job": seal(finished)}, record

    @staticmethod
    def _already_stored(memory: SubmissionMemory, job: VideoJob) -> StoredVideo | None:
        """Return the file of an earlier try, wherever that has put it: the digest tells it from any other."""
        from airflow_provider_venice import storage

        noted = memory.delivery(job)
        if noted is None:
            return None
        try:
            stored = storage.existing_video(noted["path"])
        except VeniceRequestError:
            # Something else lies there, or nobody can tell: the download decides what becomes of it.
            return None
        return stored if stored is not None and stored.sha256 == noted["sha256"] else None

    def tell_outlets(self, context: Context, record: Mapping[str, Any]) -> None:
        """Put a record into the extra of the asset events."""
        from airflow.sdk import Asset

        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(record)

    def _delete(self, job: VideoJob) -> None:
        """Delete at the vendor; the file is safe, so a failure here is not one of the task."""
        try:
            found = self.hook.delete_media(job)
        except VeniceError as error:
            self.log.warning("The media of %s could not be deleted at Venice: %s", job, error)
        else:
            self.log.info("The media of %s %s at Venice", job, "was deleted" if found else "was already gone")
