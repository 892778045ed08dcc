"""Finished clips of a run become files; then they are shown as stored; then they may be deleted at Venice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRateLimitError
from airflow_provider_venice.generation.clips import Clip
from airflow_provider_venice.generation.deferral import defer_for_download
from airflow_provider_venice.generation.delivery import DownloadWait, read_cost
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.progress import Progress
from airflow_provider_venice.generation.reports import Reports
from airflow_provider_venice.hooks.billing import CostReader
from airflow_provider_venice.hooks.failures import log_recovery_hint
from airflow_provider_venice.version_compat import TaskDeferred

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.storage import StoredVideo


class Storing:
    """
    Brings the finished clips of a run home.

    :param options: what the task's arguments say.
    :param hook: talks to Venice.
    :param context: the task's context.
    :param reports: shows what is stored.
    :param progress: what the try takes along through a wait for the rate limit.
    :param costs: reads what each job has really cost.
    :param event: comes back with such a wait: that of the jobs which the task has waited for.
    :param log: the task's log.
    """

    def __init__(
        self,
        options: RunOptions,
        hook: VeniceHook,
        context: Context,
        *,
        reports: Reports,
        progress: Progress,
        costs: CostReader,
        event: Mapping[str, Any] | None,
        log: Any,
    ) -> None:
        self._options = options
        self._hook = hook
        self._context = context
        self._reports = reports
        self._progress = progress
        self._costs = costs
        self._event = event
        self._log = log

    def store(self, clips: Sequence[Clip]) -> None:
        """Bring finished clips home."""
        if self._options.delivery is None:
            return
        clips = [clip for clip in clips if clip.stored is None and clip.error is None]
        try:
            for clip in clips:
                self._store_one(clip)
        except TaskDeferred:
            self._clean_up(clips)
            raise
        self._clean_up(clips)

    def _clean_up(self, clips: Iterable[Clip]) -> None:
        """Delete at Venice what was stored, where that is asked for."""
        stored = [clip for clip in clips if clip.stored is not None]
        if stored and self._options.delivery is not None and self._options.delivery.delete_media:
            # Invariant: what is deleted at Venice is stored, checked, and shown as stored. A crash right here leaves
            # a file, and a clip at Venice that the next try deletes.
            self._reports.push_jobs()
            for clip in stored:
                assert clip.job is not None
                self._options.delivery.clean_up(self._hook, clip.job, self._log)

    def _store_one(self, clip: Clip) -> None:
        delivery, job = clip.submission.delivery, clip.job
        assert delivery is not None
        assert job is not None
        try:
            with log_recovery_hint(job, self._log, self._options.next_try):
                clip.stored = self._fetch(clip, job)
            identity, cost = clip.submission.identity_of(job), read_cost(self._costs, job)
            clip.record = delivery.record(
                self._context, job, clip.stored, clip.target, clip.owner, self._log, identity, cost
            )
            # Invariant: a clip whose manifest could not be written does not count as done, so that a retry writes it.
            self._progress.note_stored(clip.position, job, clip.record["stored_at"], cost)
        except Exception as error:
            # The others are worth as much: go on, and fail in the end.
            self._log.error("%s: %s", clip.wanted, error)
            clip.error = error

    def _fetch(self, clip: Clip, job: VideoJob) -> StoredVideo:
        """Store a clip; where the rate limit asks for a longer wait, leave that to the triggerer and come back."""
        delivery, options = clip.submission.delivery, self._options
        assert delivery is not None
        patience = DownloadWait.of(deferrable=options.deferrable, timeout=options.timeout)
        try:
            return delivery.store(
                self._hook,
                job,
                clip.target,
                clip.owner,
                clip.submission.ledger,
                self._log,
                patience,
                clip.wanted.name,
            )
        except VeniceRateLimitError as error:
            now = time.time()
            wait = self._progress.download_wait or [now, now + options.timeout]
            # Too many fetches of a private link are not a rate limit: no waiting gets it back.
            if not options.deferrable or now >= wait[1] or job.download_url is not None:
                raise
            self._progress.download_wait = wait
            self._log.info("%s: %s", job, error)
            self._reports.push()
            travels = {"progress": self._progress.to_dict(), "completed": self._event}
            defer_for_download(options.venice_conn_id, wait, error.retry_after, travels, self._log)
