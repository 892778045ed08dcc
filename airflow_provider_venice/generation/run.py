"""
One run over a task's requests, from wherever an earlier try has left off. One clip is a list of one.

In this order:

1. ``_receive``: take in what the trigger has found finished or failed, and store it. Of a list only these clips are
   read; where others still run, the task leaves them to the triggerer again.
2. ``_take_up``: what earlier tries have bought is read, and shown as an XCom. A doubt is reported at once.
3. ``_store``: finished clips become files, then the XCom says so, then they may be deleted at Venice.
4. ``Purchase.buy_missing``: reuse what is there; check, price, reserve the targets, and submit one by one.
5. ``_await_rest``: leave the others to the triggerer; the task comes back with what it has found, at 1.
6. ``Doubts.settle``: where the connection names an admin connection, ask the usage history about what is in doubt.
   With its answers the run begins again at 1.
7. ``_results``: return the clips, or say which are missing, and whether another try may help.

A crash between any two of them leaves to the next try what the ledger, the reservations and the files say.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceError,
    VideoGenerationError,
)
from airflow_provider_venice.generation.clip_request import ClipRequest
from airflow_provider_venice.generation.clips import Clip, describe_clips, raise_failures
from airflow_provider_venice.generation.deferral import (
    defer_until_completed,
)
from airflow_provider_venice.generation.delivery import add_asset_events, owner_of
from airflow_provider_venice.generation.doubts import Doubts
from airflow_provider_venice.generation.ledger import Ledger
from airflow_provider_venice.generation.manifest import describe_delivery
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.progress import Progress
from airflow_provider_venice.generation.purchase import Purchase
from airflow_provider_venice.generation.reports import PAUSE, Reports
from airflow_provider_venice.generation.storing import Storing
from airflow_provider_venice.generation.submission import Submission
from airflow_provider_venice.hooks.billing import CostReader
from airflow_provider_venice.hooks.failures import log_recovery_hint
from airflow_provider_venice.hooks.task_store import stop_if_replaced
from airflow_provider_venice.triggers.progress import SeenJobs, push_progress
from airflow_provider_venice.xcoms import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.triggers.rate_limit import Admission


class GenerationRun:
    """
    One run of a task that buys clips.

    :param options: what the task's arguments say.
    :param hook: talks to Venice.
    :param context: the task's context.
    :param log: the task's log.
    :param outlets: the task's outlets, whose asset events get the records.
    :param is_one_of_many: whether so many tasks may be about to submit that the rate limit would refuse some.
    :param admission: that of the rate limit's trigger, once it has let the task through.
    """

    def __init__(
        self,
        options: RunOptions,
        hook: VeniceHook,
        context: Context,
        *,
        log: Any,
        outlets: Iterable[Any] = (),
        is_one_of_many: Callable[[], bool] = lambda: False,
        admission: Admission | None = None,
    ) -> None:
        self._options = options
        self._hook = hook
        self._context = context
        self._log = log
        self._costs = CostReader(hook, log)
        self._outlets = outlets
        self._is_one_of_many = is_one_of_many
        self._admission = admission
        self._clips: list[Clip] = []
        self._is_resumed = False
        self._try_number: int | None = getattr(context["ti"], "try_number", None)
        self._progress = Progress(self._try_number)

    @property
    def clips(self) -> Sequence[Clip]:
        """The clips, as far as they have come."""
        return self._clips

    def execute(self, event: Mapping[str, Any] | None = None, progress: Mapping[str, Any] | None = None) -> Any:
        """
        Take up what was bought, buy what is missing, wait, and store what has finished.

        :param event: what the trigger has sent, where the task has waited in the triggerer.
        :param progress: what the try knew before it waited, as :class:`Progress` has it.
        :return: plain JSON: for each clip its file and job, or its job where the task stores none; not in a list
            where the task was given one request.
        :raises VeniceError: when some are missing; its ``can_heal`` says whether another try may help.
        """
        if event is not None and event.get("try_number") not in (None, self._try_number):
            # That of an earlier try: Airflow keeps it where a task is cleared while it runs.
            event = None
        # After a wait for the jobs, a download or the usage history, and after one for a submission.
        self._is_resumed = event is not None or progress is not None or self._admission is not None
        self._progress = Progress.of(progress, self._try_number)
        self._clips = self._make_clips(self._targets())
        self._reports = self._make_reports(self._clips)
        self._purchase = Purchase(
            self._clips,
            self._options,
            self._hook,
            self._context,
            reports=self._reports,
            progress=self._progress,
            admission=self._admission,
            is_one_of_many=self._is_one_of_many,
            log=self._log,
        )
        self._storing = Storing(
            self._options,
            self._hook,
            self._context,
            reports=self._reports,
            progress=self._progress,
            costs=self._costs,
            event=event,
            log=self._log,
        )
        if event is not None:
            self._receive(event)
        self._take_up(announce=event is None and self._admission is None)
        self._storing.store([clip for clip in self._clips if clip.is_finished])
        self._purchase.buy_missing()
        while self._options.wait:
            self._await_rest()
            if not any(clip.is_missing for clip in self._clips):
                break
            # A job was refunded, and another model is left for its clip: each time one fewer.
            self._purchase.buy_missing()
        doubts = Doubts(self._clips, self._options, self._hook, self._context, self._progress, self._log)
        if doubts.settle(event):
            return self.execute(event, self._progress.to_dict())
        return self._results()

    def _targets(self) -> list[Any]:
        """Return where each clip goes."""
        options, count = self._options, len(self._options.requests)
        if options.delivery is None:
            return [None] * count
        map_index = self._context["ti"].map_index
        try:
            return options.delivery.targets(count, is_list=options.is_list, map_index=map_index)
        except VeniceError as error:
            clips = self._make_clips([None] * count)
            self._make_reports(clips).show_refusal(clips, error)
            raise

    def _make_reports(self, clips: Sequence[Clip]) -> Reports:
        return Reports(self._context, clips, is_list=self._options.is_list, log=self._log)

    def _make_clips(self, targets: Sequence[Any]) -> list[Clip]:
        return [self._make_clip(position, target) for position, target in enumerate(targets)]

    def _make_clip(self, position: int, target: Any) -> Clip:
        place = position if self._options.is_list else None
        wanted = ClipRequest(self._options, position, self._log)
        ledger = Ledger(self._context, place, is_resumed=self._is_resumed)
        submission = Submission(wanted, self._options, self._hook, ledger, self._log)
        return Clip(position, wanted, submission, owner_of(self._context, place), target)

    # Taking up what is there

    def _take_up(self, *, announce: bool) -> None:
        self._read([clip for clip in self._clips if clip.is_missing], announce=announce)
        if not any(clip.submission.entry for clip in self._clips):
            # A try that was replaced is shown an empty store, whatever is in it.
            stop_if_replaced(self._context["ti"])
        lost = [clip for clip in self._clips if clip.is_missing and clip.position in self._progress.paid]
        if lost:
            # Somebody has deleted their records while the task waited. Buying again would be a second charge.
            stop_if_replaced(self._context["ti"])
            for clip in lost:
                clip.error = VeniceError(
                    "it was bought by this try, and has no record any more: the record was deleted meanwhile. Nothing "
                    f"is bought for it. Its job is in the XCom {JOB_KEY}"
                )
        else:
            self._reports.forget()
        # Airflow has dropped what the last try has pushed.
        self._reports.push_jobs()
        if not all(clip.is_missing for clip in self._clips):
            self._reports.show_results()
        if any(clip.is_doubtful for clip in self._clips):
            self._purchase.stop([clip for clip in self._clips if clip.is_missing])

    def _read(self, clips: Iterable[Clip], *, announce: bool) -> None:
        """Read what is known of clips: two reads of the store for each."""
        for clip in clips:
            clip.error = self._progress.error_of(clip.position)
            if clip.error is not None:
                # Of this try: the next one may buy another, this one does not.
                entry = clip.submission.read()
                clip.job = None if entry is None or entry.job is None else VideoJob.of(entry.job)
                continue
            try:
                clip.job = clip.submission.take_up(announce=announce)
            except VeniceError as error:
                clip.error = error
            if clip.job is not None and self._options.delivery is not None:
                clip.noted = clip.submission.ledger.delivery(clip.job)
                # One that was delivered may be deleted at the vendor by now, and has nothing to wait for.
                clip.is_finished = clip.noted is not None
                self._recall(clip)

    def _recall(self, clip: Clip) -> None:
        """Take the file of a clip as stored that this try has stored before a wait: it is not read again."""
        from airflow_provider_venice.storage import StoredVideo

        stored = self._progress.stored.get(str(clip.position))
        if stored is None or clip.noted is None or clip.job is None or self._options.delivery is None:
            return
        clip.job = dataclasses.replace(clip.job, status="completed", completed_at=stored["completed_at"])
        clip.stored = StoredVideo.of(clip.noted)
        identity = clip.submission.identity_of(clip.job)
        cost = stored.get("cost")
        clip.record = describe_delivery(self._context, clip.job, clip.noted, stored["stored_at"], identity, cost)

    def _receive(self, event: Mapping[str, Any]) -> None:
        """Take in and store what the trigger has found; come back for the jobs that still run."""
        from airflow_provider_venice.triggers.events import job_outcomes, running_jobs

        outcomes = {job.queue_id: (job, error) for job, error in job_outcomes(event)}
        positions = self._progress.waiting
        ended = {positions[queue_id] for queue_id in outcomes if queue_id in positions}
        clips = [
            clip
            for clip in self._clips
            if (clip.position in ended or not positions) and not self._progress.has(clip.position)
        ]
        running = running_jobs(event)
        self._reports.recall()
        self._read(clips, announce=False)
        self._match(clips, outcomes, event)
        self._storing.store([clip for clip in clips if clip.is_finished])
        if running:
            self._reports.push()
            self._defer({job.queue_id: positions[job.queue_id] for job in running}, running, event["deadline"])

    def _match(
        self,
        clips: Sequence[Clip],
        outcomes: Mapping[str, tuple[VideoJob, VeniceError | None]],
        event: Mapping[str, Any],
    ) -> None:
        """Take in what the trigger has found of the jobs of these clips."""
        from airflow_provider_venice.hooks.private_links import decrypt_link

        unmatched = {name: outcome for name, outcome in outcomes.items() if name not in self._progress.replaced}
        for clip in clips:
            polled, error = unmatched.pop(clip.job.queue_id, (None, None)) if clip.job is not None else (None, None)
            if polled is None or clip.job is None:
                continue
            if error is None:
                clip.job = dataclasses.replace(
                    decrypt_link(polled), request=clip.job.request, refused_models=clip.job.refused_models
                )
                clip.is_finished = True
            elif not clip.is_finished:
                self._fail(clip, error)
                failure = next(one for one in event["failures"] if one["queue_id"] == polled.queue_id)
                if clip.error is not None:
                    self._progress.note_failed(clip.position, polled, failure, error)
        if unmatched and any(clip.is_missing for clip in clips):
            # Somebody has deleted the record while the task waited. Buying again would be a second charge.
            stop_if_replaced(self._context["ti"])
            job, _ = next(iter(unmatched.values()))
            raise VeniceError(
                f"the task has waited for {job}, and has no record of it any more: the record was deleted meanwhile. "
                f"Nothing is bought. {job.how_to_collect}"
            )

    # Waiting

    def _await_rest(self) -> None:
        """Leave the jobs that are still running to the triggerer, or wait for them here, one after the other."""
        rest = [clip for clip in self._clips if clip.job is not None and not clip.is_finished and clip.error is None]
        jobs = [clip.job for clip in rest if clip.job is not None]
        if jobs and self._options.deferrable:
            waiting = {job.queue_id: clip.position for clip, job in zip(rest, jobs, strict=True)}
            self._defer(waiting, jobs, time.time() + self._options.timeout)
        deadline, seen = time.monotonic() + self._options.timeout, SeenJobs()
        for clip, job in zip(rest, jobs, strict=True):
            try:
                with log_recovery_hint(job, self._log, self._options.next_try):
                    clip.job = self._hook.wait_for_completion(
                        job,
                        self._options.poll_interval,
                        max(0.0, deadline - time.monotonic()),
                        lambda polled: self._show_progress(polled, seen),
                    )
            except VeniceError as error:
                self._fail(clip, error)
            else:
                clip.is_finished = True
                self._storing.store([clip])
            self._reports.show_results(PAUSE)

    def _show_progress(self, polled: VideoJob, seen: SeenJobs) -> None:
        if seen.see(polled):
            push_progress(self._context, seen)

    def hand_over_after(self, running: int) -> float:
        """
        Return the seconds after the end of a first job at which a list is stored as far as it has come.

        Minutes: each time costs a worker launch and a poll of every job that still runs, so a long list waits longer.
        Ten minutes at most, as Venice keeps a finished clip of an ordinary model for less than an hour, perhaps.

        :param running: how many jobs run.
        """
        return min(600.0, max(120.0, 1.5 * running))

    def _defer(self, waiting: dict[str, int], jobs: Sequence[VideoJob], deadline: float) -> NoReturn:
        self._progress.waiting = waiting
        self._progress.paid = sorted({*self._progress.paid, *waiting.values()})
        # What has ended is stored before the last one ends: Venice does not keep it for long.
        seconds = self.hand_over_after(len(jobs)) if len(jobs) > 1 and self._options.delivery is not None else None
        defer_until_completed(self._options, jobs, deadline, self._progress, seconds, self._log)

    # Failures

    def _fail(self, clip: Clip, error: VeniceError) -> None:
        """Take in that a job has no video, or that nobody knows yet; or that another model is to be bought for it."""
        clip.error = error
        if isinstance(error, VideoGenerationError) and clip.job is not None:
            consequence = clip.submission.failed(clip.job, error)
            if clip.submission.delivery is not None:
                clip.submission.delivery.record_failure(
                    self._context, clip.target, clip.job, clip.owner, error, self._log, self._costs
                )
            error.args = (f"{str(error).rstrip('.')}{consequence}",)
            self._purchase.release([clip])
            job = clip.job
            if consequence and clip.wanted.fall_back(job.model, error):
                clip.job = clip.error = None
                self._progress.note_replaced(clip.position, job)
                return
        self._log.error("%s: %s", clip.wanted, error)

    # What comes of it

    def describe_bought(self) -> str:
        """Return what is paid and not stored, as far as is noted, and how to get at it; for a wait that was lost."""
        # A wait that was lost was one: what it waits for may have been noted before an upgrade to Airflow 3.3.
        self._is_resumed = True
        return self._make_reports(self._make_clips(self._targets())).describe_bought()

    def _results(self) -> Any:
        """Return the clips, or say which are missing."""
        if self._options.is_list:
            self._log.info(
                "%s", describe_clips(self._clips) if self._clips else "The list has no request; nothing is made"
            )
        self._reports.show_results()
        if any(clip.error for clip in self._clips):
            raise_failures(self._clips, is_list=self._options.is_list)
        records = [clip.record for clip in self._clips if clip.record is not None]
        if self._options.delivery is not None:
            add_asset_events(self._context, self._outlets, {"videos": records} if self._options.is_list else records[0])
        results = [clip.result() for clip in self._clips]
        return results if self._options.is_list else results[0]
