"""From a finished job to a file in its place, a record of it, and nothing left at the vendor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
    VideoTargetReserved,
)
from airflow_provider_venice.generation.ledger import Ledger
from airflow_provider_venice.generation.manifest import (
    ManifestNotWritten,
    check_manifest,
    describe_delivery,
    describe_failure,
    write_manifest,
)
from airflow_provider_venice.generation.target_paths import target_paths

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.generation.arguments import Existing
    from airflow_provider_venice.hooks.billing import CostReader
    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.storage import StoredVideo
    from airflow_provider_venice.storage.reservations import Owner

#: Longest wait for the rate limit in a worker, in seconds, where the triggerer can wait as well: about what it costs to
#: start another worker. And such waits in all.
SHORT_WAIT, _SHORT_WAITS = 3.0, 5.0


@dataclass(frozen=True)
class DownloadWait:
    """
    How long a download waits in its worker for the rate limit.

    :param max_wait: longest single wait, in seconds; no limit but the next one if ``None``.
    :param timeout: most seconds in all.
    """

    max_wait: float | None
    timeout: float

    @classmethod
    def of(cls, *, deferrable: bool, timeout: float) -> DownloadWait:
        """
        Return how long a task waits in its worker.

        :param deferrable: whether it may leave longer waits to the triggerer.
        :param timeout: most seconds that it waits in all.
        """
        return cls(SHORT_WAIT, _SHORT_WAITS) if deferrable else cls(None, timeout)


@dataclass(frozen=True)
class Delivery:
    """
    What becomes of finished clips.

    :param output_path: where they go: a path, or for a list a list of paths, or one with ``{index}`` in it.
    :param existing: what becomes of a file that is there already.
    :param delete_media: whether to delete a clip at Venice once its file is stored and checked.
    :param manifest: whether to write a record beside each clip.
    """

    output_path: Any
    existing: Existing
    delete_media: bool
    manifest: bool

    @property
    def overwrite(self) -> bool:
        """Whether a file that is there already may be replaced."""
        return self.existing == "replace"

    def is_reused_unless_cleared(self, on_clear: str) -> bool:
        """Whether a clear asks for another clip than the one that is there; else nothing need be known of a clear."""
        return self.existing == "reuse" and on_clear == "resubmit"

    def targets(self, count: int, *, is_list: bool, map_index: int | None) -> list[Any]:
        """
        Return where each clip goes.

        :param count: how many clips there are.
        :param is_list: whether they are those of a list.
        :param map_index: the task's, where it is mapped: ``{index}`` where there is no list.
        :raises VeniceRequestError: when there are not as many paths as clips.
        """
        return target_paths(self.output_path, count, is_list=is_list, map_index=map_index)

    def check_target(self, target: Any) -> None:
        """
        Refuse a target under which no clip can be stored, before anything is bought; nothing is reserved.

        :raises VeniceRequestError: naming the target and the fix.
        """
        from airflow_provider_venice import storage

        with self._waiting_for_another_task():
            storage.check_target(target, overwrite=self.overwrite)

    @contextlib.contextmanager
    def _waiting_for_another_task(self) -> Iterator[None]:
        """Have a later try find the clip whole that another task makes, or has just stored, where it may be reused."""
        from airflow_provider_venice.storage.errors import TargetExists

        try:
            yield
        except (VideoTargetReserved, TargetExists) as error:
            error.can_heal = error.can_heal or self.existing == "reuse"
            raise

    def reserve(self, target: Any, owner: Owner) -> None:
        """
        Reserve a target before a clip is bought for it, so that no other task buys one.

        :raises VeniceRequestError: when nothing can be stored there, another task has it, or the manifest's name is
            taken.
        """
        from airflow_provider_venice import storage
        from airflow_provider_venice.storage import reservations

        storage.check_space(target)
        if self.manifest:
            check_manifest(target, owner, existing=self.existing)
        with self._waiting_for_another_task():
            reservations.reserve(target, owner, overwrite=self.overwrite)

    def release(self, target: Any, owner: Owner) -> None:
        """Give a target back for which nothing was bought."""
        from airflow_provider_venice.storage import reservations

        reservations.release(target, owner)

    def store(
        self,
        hook: VeniceHook,
        job: VideoJob,
        target: Any,
        owner: Owner,
        ledger: Ledger,
        log: Any,
        patience: DownloadWait,
        name: str = "",
    ) -> StoredVideo:
        """
        Download a clip to its target, or find it where an earlier try has put it.

        :param job: the finished job, its private link readable.
        :param owner: who stores it.
        :param ledger: what the task remembers of the clip.
        :param patience: how long to wait for the rate limit here.
        :param name: which request of a list it is, for the log.
        :raises VeniceRateLimitError: when the rate limit asks for a longer wait.
        :raises VeniceError: when no whole file could be stored.
        """
        from airflow_provider_venice import storage
        from airflow_provider_venice.storage import reservations

        noted = ledger.delivery(job)
        stored = None if noted is None else _already_stored(noted)
        if stored is not None:
            log.info("%s is stored already, whole: %s", job, stored.path)
            storage.remove_leftovers(stored.path, str(owner))
        else:
            # Without the checks of a purchase: what is paid for is stored wherever that can be done.
            reservations.reserve(target, owner, overwrite=self.overwrite)
            with _naming_noted(noted):
                stored = hook.fetch(
                    job,
                    target,
                    overwrite=self.overwrite,
                    # Invariant: the digest tells the clip from any other file under its name. A crash right after this
                    # note leaves no file, and a digest that nothing matches: the next try downloads.
                    before_publish=lambda file: ledger.note_delivery(job, file.to_dict()),
                    writer=str(owner),
                    name=name,
                    max_wait=patience.max_wait,
                    rate_limit_timeout=patience.timeout,
                )
        return stored

    def record(
        self,
        context: Context,
        job: VideoJob,
        stored: StoredVideo,
        target: Any,
        owner: Owner,
        log: Any,
        identity: Mapping[str, Any] | None = None,
        cost: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Return the record of a stored clip, write it where a manifest is asked for, and end the reservation.

        :param identity: of which request the clip is, as :func:`describe_delivery` takes it.
        :param cost: what its job has really cost, as :func:`describe_delivery` takes it.
        :raises VeniceError: when the manifest cannot be written; the clip is stored all the same.
        """
        from airflow_provider_venice.storage import reservations

        record = describe_delivery(context, job, stored.to_dict(), identity=identity, cost=cost)
        try:
            if self.manifest:
                log.info("Wrote %s", write_manifest(stored.path, record, owner, existing=self.existing))
        except Exception as error:
            raise ManifestNotWritten(job, stored.path, error) from error
        finally:
            # Invariant: a clip that nobody reserves has its manifest, by which another task may reuse it. A crash
            # before this leaves a reservation beside the clip, which the next try ends.
            reservations.mark_stored(target, owner)
        return record

    def record_failure(
        self,
        context: Context,
        target: Any,
        job: VideoJob,
        owner: Owner,
        error: VideoGenerationError,
        log: Any,
        costs: CostReader,
    ) -> None:
        """Write the record of a job that has failed, where a manifest is asked for and no other clip is there."""
        from airflow_provider_venice import storage

        if not self.manifest:
            return
        try:
            if storage.size_of(target) is not None:
                log.info("The clip that is at %s keeps its manifest", target)
                return
            record = describe_failure(context, job, error, read_cost(costs, job))
            log.info("Wrote %s", write_manifest(target, record, owner, existing=self.existing))
        except Exception as problem:
            # What was bought, and whether it was refunded, matters more than the record of it.
            log.error("The record of %s could not be written: %s", job, problem)

    def clean_up(self, hook: VeniceHook, job: VideoJob, log: Any) -> None:
        """Delete a stored clip at Venice if asked to; a failure here is not one of the task."""
        if not self.delete_media:
            return
        try:
            found = hook.delete_media(job)
        except VeniceError as error:
            log.warning("The media of %s could not be deleted at Venice: %s", job, error)
        else:
            log.info("The media of %s %s at Venice", job, "was deleted" if found else "was already gone")


def read_cost(costs: CostReader, job: VideoJob) -> dict[str, Any] | None:
    """Return what a job has really cost, as its record has it; ``None`` where the usage history is not read."""
    cost = costs.cost_of(job)
    return None if cost is None else cost.to_dict()


def describe_stored(stored: StoredVideo, job: VideoJob, *, is_reused: bool = False) -> dict[str, Any]:
    """
    Return what a task returns of a stored clip: its file, ``job`` and ``labels``.

    :param is_reused: whether it was there already; then ``reused`` is ``True``.
    """
    from airflow_provider_venice.hooks.private_links import encrypt_link

    reused = {"reused": True} if is_reused else {}
    return {**stored.to_dict(), "job": encrypt_link(job), "labels": dict(job.labels or {}), **reused}


def owner_of(context: Context, position: int | None) -> Owner:
    """
    Return who reserves a target.

    :param context: the task's context.
    :param position: which of the task's clips, where it makes several.
    """
    from airflow_provider_venice.storage.reservations import Owner

    ti = context["ti"]
    return Owner(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, position)


def job_entry(
    job: VideoJob, stored: StoredVideo | None, noted: Mapping[str, Any] | None, *, is_reused: bool = False
) -> dict[str, Any]:
    """
    Return what the XCom ``venice_job`` has of a job: the job, its link encrypted, and under ``delivery`` its file.

    :param stored: the file, where it is stored.
    :param noted: the file that an earlier try has stored, or was about to.
    :param is_reused: whether its clip was there already, and this task has not bought it.
    """
    from airflow_provider_venice.hooks.private_links import encrypt_link

    file = noted if stored is None else stored.to_dict()
    delivery = {} if file is None else {"delivery": {**file, "is_stored": stored is not None}}
    return {**encrypt_link(job), **delivery, **({"reused": True} if is_reused else {})}


def add_asset_events(context: Context, outlets: Any, record: Mapping[str, Any]) -> None:
    """Put a record into the extra of the asset events of a task."""
    from airflow.sdk import Asset

    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(record)


@contextlib.contextmanager
def _naming_noted(noted: Mapping[str, Any] | None) -> Iterator[None]:
    """
    Name the file of an earlier try where the clip is gone at Venice: its mount may be missing on this worker.

    :param noted: that file, as the ledger has it.
    """
    try:
        yield
    except VideoGenerationError as error:
        if noted is not None:
            error.args = (
                f"{str(error).rstrip('.')}. An earlier try has stored it as {noted['path']!r}, or was about to; it is "
                "not there now. If a mount is missing on this worker, clear the task once it is there",
            )
        raise


def _already_stored(noted: Mapping[str, Any]) -> StoredVideo | None:
    """
    Return the file of an earlier try, wherever that has put it: the digest tells it from any other.

    :param noted: that file, as the ledger has it.
    """
    from airflow_provider_venice import storage

    try:
        stored = storage.existing_video(noted["path"])
    except VeniceRequestError:
        # Something else is there, or it cannot be read: the download decides what becomes of it.
        return None
    return stored if stored is not None and stored.sha256 == noted["sha256"] else None
