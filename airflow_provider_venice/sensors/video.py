"""``VeniceVideoSensor``: waits for video jobs that were queued anywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_venice import observability
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import seconds
from airflow_provider_venice.exceptions import (
    VeniceError,
    VeniceRequestError,
    VideoGenerationError,
    VideoTimeoutError,
)
from airflow_provider_venice.generation import arguments
from airflow_provider_venice.hooks.failures import final_failures
from airflow_provider_venice.links import VeniceClipLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook
    from airflow_provider_venice.triggers.progress import SeenJobs

#: Seconds between two polls from a worker where the user names none.
_POKE_INTERVAL = 30.0

#: How many jobs a message names.
_MOST_NAMED = 10


class VeniceVideoSensor(BaseSensorOperator):
    """
    Wait for a job, or for all jobs of a list, and return it, or them, completed.

    By default it waits in the triggerer and holds no worker slot. A job that ends without a video
    fails the task at once, with all that Venice said; the others of a list are waited for first. When
    the time is up, the task fails as every sensor does, without a retry: clear it to wait on.

    The XCom ``venice_results`` has an entry for each job, also of one: ``job``, its ``status`` and, if it has failed
    or the time was up, ``error``.

    :param job: the job that a queue task returned, or a list of them. (templated)
    :param venice_conn_id: the connection. (templated)
    :param deferrable: whether to wait in the triggerer; else ``mode`` says how the worker waits. If ``None``, what
        ``AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE`` is set to, and ``True`` where it is not set.
    :param poke_interval: fewest seconds between two polls of a job. By default the triggerer chooses
        them from the model's run times, and a worker polls every 30 seconds.
    :param timeout: most seconds to wait.
    """

    template_fields: Sequence[str] = ("job", "venice_conn_id")
    operator_extra_links = (VeniceClipLink(),)
    ui_color = "#f3e3d3"

    def __init__(
        self,
        *,
        job: Any,
        venice_conn_id: str = "venice_default",
        deferrable: bool | None = None,
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        deferrable = arguments.default_deferrable() if deferrable is None else deferrable
        with arguments.checked(str(kwargs.get("task_id"))):
            self.poll_interval = None if poke_interval is None else seconds("poke_interval", poke_interval)
            arguments.check_seconds("poke_interval", self.poll_interval)
            seconds("timeout", timeout)
            arguments.check_connection(venice_conn_id)
            arguments.check_job(job, many=True)
            arguments.check_flags(deferrable=deferrable)
        super().__init__(
            poke_interval=_POKE_INTERVAL if poke_interval is None else poke_interval, timeout=timeout, **kwargs
        )
        self.job = job
        self.venice_conn_id = venice_conn_id
        self.deferrable = deferrable
        if not deferrable and self.reschedule and isinstance(job, (list, tuple)):
            raise ValueError(
                "mode='reschedule' forgets between two pokes which jobs of a list have ended; "
                "use deferrable=True, mode='poke', or map the sensor over the jobs"
            )
        self._ended: dict[str, VideoJob | VeniceError] = {}
        self._has_news = False

    @cached_property
    def hook(self) -> VeniceHook:
        """The hook of the connection."""
        from airflow_provider_venice.hooks.venice import VeniceHook

        return VeniceHook(self.venice_conn_id)

    @cached_property
    def _seen(self) -> SeenJobs:
        from airflow_provider_venice.triggers.progress import SeenJobs

        return SeenJobs()

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer or here."""
        with final_failures():
            jobs = self._jobs()
        self._show(context, jobs)
        if not self.deferrable:
            return self._poke_until_ended(context, jobs)
        from airflow_provider_venice.triggers.heartbeat import latest_event, wait_text
        from airflow_provider_venice.triggers.video import VeniceVideoTrigger

        deadline = time.time() + float(self.timeout)
        self.log.info(wait_text(str(jobs[0]) if len(jobs) == 1 else f"{len(jobs)} video jobs", deadline))
        self.defer(
            trigger=VeniceVideoTrigger(
                jobs=jobs,
                venice_conn_id=self.venice_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=latest_event(deadline),
        )

    def _poke_until_ended(self, context: Context, jobs: Sequence[VideoJob]) -> Any:
        from airflow_provider_venice.version_compat import AirflowSensorTimeout

        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            self._show(context, jobs, {**{job.queue_id: error for job in jobs}, **self._ended})
            raise

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the wait; where that was lost, the error says how to get at the jobs."""
        from airflow_provider_venice.triggers.heartbeat import explain_lost_wait

        with explain_lost_wait(next_method, self._describe):
            return super().resume_execution(next_method, next_kwargs, context)

    def _describe(self) -> str:
        """Return which jobs are waited for, and what to do."""
        jobs = self._jobs()
        names = ", ".join(map(str, jobs[:_MOST_NAMED])) + (", …" if len(jobs) > _MOST_NAMED else "")
        return f"Still running at Venice, or finished, and paid: {names}. Clear this task to wait on; that pays nothing"

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        Return the job, or the jobs, as the trigger saw them last.

        :raises AirflowFailException: when one has failed.
        :raises AirflowSensorTimeout: when the time was up.
        """
        from airflow_provider_venice.triggers.events import completed_jobs, job_outcomes

        try:
            outcomes = job_outcomes(event)
            self._show(context, [job for job, _ in outcomes], {job.queue_id: error for job, error in outcomes})
            seen = completed_jobs(event)
        except VeniceError as error:
            self._fail(error)
        return self._result(seen)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll every job that has not ended yet, and one that seems to have ended a second time."""
        jobs, ended = self._jobs(), len(self._ended)
        for job in jobs:
            if job.queue_id in self._ended:
                continue
            try:
                self._poll_job(job)
            except VeniceError as error:
                self._show(context, jobs, {**self._ended, job.queue_id: error})
                self._fail(error)
        if self._has_news:
            from airflow_provider_venice.triggers.progress import push_progress

            push_progress(context, self._seen)
            self._has_news = False
        if len(self._ended) > ended:
            self._show(context, jobs, self._ended)
        if len(self._ended) < len({job.queue_id for job in jobs}):
            return PokeReturnValue(is_done=False)
        outcomes = [self._ended[job.queue_id] for job in jobs]
        errors = [outcome for outcome in outcomes if isinstance(outcome, VeniceError)]
        if errors:
            self._fail(errors[0], message="; ".join(map(str, errors)))
        seen = [outcome for outcome in outcomes if isinstance(outcome, VideoJob)]
        return PokeReturnValue(is_done=True, xcom_value=self._result(seen))

    def _poll_job(self, job: VideoJob) -> None:
        try:
            # The next poke is the next attempt, but forgets this one where the task is rescheduled: so what a single
            # poll is not believed, an end or a refused key, is confirmed within the poke.
            seen = self.hook.poll(job)
        except VideoGenerationError as error:
            self._ended[job.queue_id] = error
        except VeniceError as error:
            if not error.can_heal:
                raise
            self.log.warning("%s; the next poke is in %.0f s", error, self.poke_interval)
        else:
            self._has_news = self._seen.see(seen) or self._has_news
            self.log.info("%s is %s, %s %%", seen, seen.status, "?" if seen.progress is None else seen.progress)
            if seen.is_completed():
                observability.clip_rendered(seen)
                self._ended[job.queue_id] = seen

    def _jobs(self) -> list[VideoJob]:
        if isinstance(self.job, (VideoJob, Mapping)):
            return [VideoJob.of(self.job)]
        # A template that was not rendered natively, and what is no list at all.
        if not hasattr(self.job, "__iter__") or hasattr(self.job, "encode"):
            raise VeniceRequestError(
                f"job is {type(self.job).__name__}; give the job that the queue task returned (its .output), or a list"
            )
        jobs = [VideoJob.of(job) for job in self.job]
        if not jobs:
            self.log.info("There is no job to wait for")
        return jobs

    def _show(
        self,
        context: Context,
        jobs: Sequence[VideoJob],
        ended: Mapping[str, VideoJob | Exception | None] | None = None,
    ) -> None:
        """
        Push what has become of each job so far: for people, and for tasks that continue with those that ended well.

        :param ended: by queue id, the job as it was seen last, or why it has no video.
        """
        from airflow_provider_venice.generation.outcomes import describe_outcome, show_outcomes

        def entry(job: VideoJob) -> dict[str, Any]:
            end = (ended or {}).get(job.queue_id)
            if end is None or isinstance(end, VideoJob):
                return describe_outcome(end or job)
            # Any other failure is one of the wait: the job is still running at Venice, as far as anybody knows.
            has_failed = isinstance(end, VideoGenerationError)
            return describe_outcome(job, error=end, status="failed" if has_failed else job.status)

        show_outcomes(context, [entry(job) for job in jobs], self.log, is_first=ended is None)

    def _result(self, seen: Sequence[VideoJob]) -> Any:
        """Return what may be stored: one job for one, a list for a list."""
        from airflow_provider_venice.hooks.private_links import encrypt_link

        results = [encrypt_link(job) for job in seen]
        return results[0] if isinstance(self.job, (VideoJob, Mapping)) else results

    def _fail(self, error: VeniceError, message: str | None = None) -> NoReturn:
        """Fail as a sensor fails: without a retry, or by a skip where ``soft_fail`` asks for it."""
        from airflow_provider_venice.version_compat import AirflowFailException, AirflowSkipException

        text = message or str(error)
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(text) from error
        if error.can_heal and not isinstance(error, VideoTimeoutError):
            raise error  # which Airflow retries
        if isinstance(error, VideoTimeoutError):
            from airflow_provider_venice.version_compat import AirflowSensorTimeout

            raise AirflowSensorTimeout(text) from error
        raise AirflowFailException(text) from error
