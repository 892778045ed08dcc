"""What a task shows of its clips beside its return value: the XComs of jobs and results, and what is outstanding."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.generation.clips import Clip
from airflow_provider_venice.generation.delivery import job_entry
from airflow_provider_venice.generation.outcomes import push_outcomes
from airflow_provider_venice.generation.request_errors import first_line
from airflow_provider_venice.hooks.task_store import TryReplaced
from airflow_provider_venice.xcoms import JOB_KEY, RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

#: How many clips a line of the log names.
MOST_NAMED = 10

#: Fewest seconds between two times that the results are pushed while a worker stores clip after clip of a list: each
#: time costs as much as the list is long.
PAUSE = 10.0


class Reports:
    """
    Pushes what was bought and what has come of it.

    :param context: the task's context.
    :param clips: all clips of the task.
    :param is_list: whether the task was given a list of requests.
    :param log: the task's log.
    """

    def __init__(self, context: Context, clips: Sequence[Clip], *, is_list: bool, log: Any) -> None:
        self._context = context
        self._clips = clips
        self._is_list = is_list
        self._log = log
        #: The jobs and results as this try has pushed them last, while only some of the clips are read.
        self._pushed: list[Mapping[str, Any]] = []
        self._pushed_results: list[dict[str, Any]] = []
        self._is_partial = False
        #: The results that this process has pushed last, and when, on the monotonic clock.
        self._shown: list[dict[str, Any]] | None = None
        self._shown_at = 0.0

    def recall(self) -> None:
        """Keep the jobs and results that were pushed before a wait, until all clips are read."""
        if not self._is_list:
            return
        self._pushed, self._is_partial = self._pull(JOB_KEY), True
        try:
            self._pushed_results = self._pull(RESULTS_KEY)
        except Exception:
            self._log.warning("The XCom %s could not be read; the task continues", RESULTS_KEY, exc_info=True)

    def _pull(self, key: str) -> list[Any]:
        ti = self._context["ti"]
        # Without an index, Airflow returns those of all mapped task instances.
        return ti.xcom_pull(key=key, map_indexes=-1 if ti.map_index is None else ti.map_index) or []

    def forget(self) -> None:
        """All clips are read: what was pushed before is not needed any more."""
        self._pushed, self._pushed_results, self._is_partial = [], [], False

    def push(self) -> None:
        """Push what was bought, and then what has come of each clip."""
        self.push_jobs()
        self.show_results()

    def push_jobs(self) -> None:
        """Push what was bought: for people, and for VeniceRecoverVideosOperator when the task is killed."""
        entries = {entry["queue_id"]: entry for entry in self._pushed}
        for clip in self._clips:
            if clip.job is not None:
                entries[clip.job.queue_id] = job_entry(clip.job, clip.stored, clip.noted, is_reused=clip.is_reused)
        jobs = list(entries.values())
        if jobs:
            self._context["ti"].xcom_push(key=JOB_KEY, value=jobs if self._is_list else jobs[0])

    def push_results(self) -> None:
        """Push what has come of each clip so far; what this process has pushed already is not pushed again."""
        # Invariant: when this returns, the XCom has them, as a doubt counts as reported from then on.
        results = [self._outcome(clip) or clip.outcome() for clip in self._clips]
        if results == self._shown:
            return
        push_outcomes(self._context, results, is_first=self._shown is None)
        self._shown, self._shown_at = results, time.monotonic()

    def show_results(self, pause: float = 0.0) -> None:
        """
        Do what :meth:`push_results` does; a failure is logged: the results are for people, and clips may be paid.

        :param pause: seconds for which they are not pushed again.
        """
        if self._shown is not None and time.monotonic() < self._shown_at + pause:
            return
        if any(isinstance(clip.error, TryReplaced) for clip in self._clips):
            return  # the other try shows its own
        if self._is_partial and any(self._outcome(clip) is None for clip in self._clips):
            return  # what was pushed before the wait could not be read: it stays, and says more of these
        try:
            self.push_results()
        except Exception:
            self._log.warning("The XCom %s could not be pushed; the task continues", RESULTS_KEY, exc_info=True)

    def show_refusal(self, clips: Sequence[Clip], error: Exception) -> None:
        """
        Show clips as failed that nobody buys as things are.

        :param clips: those that were to be bought.
        :param error: what stands in the way; one for a list names each request that is wrong.
        """
        fields = getattr(error, "fields", {})
        for clip in clips:
            own = fields.get(f"request[{clip.position}]")
            clip.error = VeniceError(own or f"not submitted, because {first_line(error)}") if self._is_list else error
        self.show_results()

    def _outcome(self, clip: Clip) -> dict[str, Any] | None:
        """Return the entry of a clip: of one that is not read yet, that from before the wait; ``None`` without one."""
        if self._is_partial and clip.is_missing and clip.submission.entry is None:
            return self._pushed_results[clip.position] if clip.position < len(self._pushed_results) else None
        return clip.outcome()

    def describe_bought(self) -> str:
        """Return what is paid and not stored, as far as is noted, and how to get at it; for a wait that was lost."""
        paid = []
        for clip in self._clips:
            entry = clip.submission.read()
            if entry is not None and entry.job is not None and entry.failure is None:
                job = VideoJob.of(entry.job)
                if clip.submission.ledger.delivery(job) is None:
                    paid.append(f"{job}, bought {entry.price} at {entry.sent}")
        if not paid:
            return "Nothing that was paid is outstanding"
        more = f" and {len(paid) - MOST_NAMED} more" if len(paid) > MOST_NAMED else ""
        return (
            f"Paid and not stored: {'; '.join(paid[:MOST_NAMED])}{more} (the XCom {JOB_KEY} has each). A retry or a "
            "clear of this task takes it up, and pays nothing"
        )
