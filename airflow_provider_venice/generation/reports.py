"""What a task shows of its clips beside its return value: the XComs of jobs and results, and what is outstanding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.generation.clips import Clip
from airflow_provider_venice.generation.delivery import job_entry
from airflow_provider_venice.xcoms import JOB_KEY, RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

#: How many clips a line of the log names.
MOST_NAMED = 10


class Reports:
    """
    Pushes what was bought and what has come of it.

    :param context: the task's context.
    :param clips: all clips of the task.
    :param is_list: whether the task was given a list of requests.
    """

    def __init__(self, context: Context, clips: Sequence[Clip], *, is_list: bool) -> None:
        self._context = context
        self._clips = clips
        self._is_list = is_list
        #: The jobs as this try has pushed them last, while only some of the clips are read.
        self._pushed: list[Mapping[str, Any]] = []

    def recall_jobs(self) -> None:
        """Keep the jobs that were pushed before a wait, until all clips are read."""
        if self._is_list:
            ti = self._context["ti"]
            # Without an index, Airflow returns those of all mapped task instances.
            map_indexes = -1 if ti.map_index is None else ti.map_index
            self._pushed = ti.xcom_pull(key=JOB_KEY, map_indexes=map_indexes) or []

    def forget_jobs(self) -> None:
        """All clips are read: what was pushed before is not needed any more."""
        self._pushed = []

    def push_jobs(self) -> None:
        """Push what was bought: for people, and for VeniceRecoverVideosOperator when the task is killed."""
        entries = {entry["queue_id"]: entry for entry in self._pushed}
        for clip in self._clips:
            if clip.job is not None:
                entries[clip.job.queue_id] = job_entry(clip.job, clip.stored, clip.noted)
        jobs = list(entries.values())
        if jobs:
            self._context["ti"].xcom_push(key=JOB_KEY, value=jobs if self._is_list else jobs[0])

    def push_results(self) -> None:
        """Push what has come of each clip."""
        self._context["ti"].xcom_push(key=RESULTS_KEY, value=[clip.outcome() for clip in self._clips])

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
