"""``VeniceRecoverVideosOperator``: collects paid clips that no task has delivered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError, VideoGenerationError
from airflow_provider_venice.hooks.failures import final_failures
from airflow_provider_venice.operators.base import VeniceOperator
from airflow_provider_venice.operators.submission import JOB_KEY
from airflow_provider_venice.triggers.events import RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context


class VeniceRecoverVideosOperator(VeniceOperator):
    """
    Collect clips that were paid for and that no task has delivered: a worker was lost, a run cancelled.

    Venice keeps a clip for an hour or a day, so run it soon: as the last task of the DAG with
    ``trigger_rule="all_done"``, or in a DAG of its own that is triggered with the run's id. The jobs
    are found by the XCom ``venice_job`` that every queue and generate task pushes as soon as it has
    bought a clip. Nothing is bought here, and nothing is deleted at Venice.

    Returns one dictionary per job: ``queue_id``, ``model``, ``status`` and, by status,

    * ``collected``: ``path``, ``size``, ``sha256`` and ``metadata`` of the file;
    * ``delivered``: a task has stored it; ``path``;
    * ``processing``: not finished; run the task again later;
    * ``lost``: failed, or no longer kept; ``error``.

    :param output_dir: where the clips go, as ``<output_dir>/<queue_id>.mp4``: a local directory, or
        an ``ObjectStoragePath`` or its URL. (templated)
    :param jobs: jobs, or their dictionaries, in place of those of a run. (templated)
    :param external_dag_id: the DAG of the run. Default: this one. (templated)
    :param external_run_id: the run. Default: this one. (templated)
    :param external_task_ids: the tasks to look at, those that deliver included. Needed for another
        DAG; default: all tasks of this one. (templated)
    """

    template_fields: Sequence[str] = (
        *VeniceOperator.template_fields,
        "output_dir",
        "jobs",
        "external_dag_id",
        "external_run_id",
        "external_task_ids",
    )

    def __init__(
        self,
        *,
        output_dir: Any,
        jobs: Any = None,
        external_dag_id: str | None = None,
        external_run_id: str | None = None,
        external_task_ids: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_dir = output_dir
        self.jobs = jobs
        self.external_dag_id = external_dag_id
        self.external_run_id = external_run_id
        self.external_task_ids = external_task_ids

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """
        Collect what can be collected, and report on all.

        :raises Exception: the first of what stood in the way; what was collected stays.
        """
        from airflow_provider_venice.hooks.sealing import unseal

        with final_failures():
            jobs, delivered = self._find(context)
            named = [VideoJob.of(job) for job in jobs]
        report: list[dict[str, Any]] = []
        problems: list[Exception] = []
        for job in named:
            fate: dict[str, Any] = {"queue_id": job.queue_id, "model": job.model}
            try:
                fate |= self._recover(unseal(job), delivered.get(job.queue_id))
            except VideoGenerationError as error:
                fate |= {"status": "lost", "error": str(error)}
            except Exception as error:
                self.log.error("%s: %s", job, error)
                # The others are worth as much: go on, and fail in the end.
                problems.append(error)
                continue
            self.log.info("%s: %s %s", job, fate["status"], fate.get("path") or fate.get("error") or "")
            report.append(fate)
        if problems:
            with final_failures():
                raise problems[0]
        return report

    def _recover(self, job: VideoJob, path: str | None) -> dict[str, Any]:
        if path is not None:
            return {"status": "delivered", "path": path}
        from airflow_provider_venice import storage

        name = re.sub(r"[^A-Za-z0-9_-]", "_", job.queue_id)
        target = f"{str(self.output_dir).rstrip('/')}/{name}.mp4"
        stored = storage.existing_video(target)
        if stored is None:
            if not self.hook.retrieve(job).is_completed():
                return {"status": "processing"}
            stored = self.hook.download(job, target)
        return {"status": "collected", **stored.to_dict()}

    def _find(self, context: Context) -> tuple[list[Any], dict[str, str]]:
        """Return the jobs, and the paths of those that a task has delivered, by queue id."""
        if self.jobs is not None:
            return [self.jobs] if isinstance(self.jobs, (VideoJob, Mapping)) else list(self.jobs), {}
        task_ids = self.external_task_ids
        if task_ids is None:
            if self.external_dag_id not in (None, self.dag_id):
                raise VeniceRequestError(
                    "external_task_ids is missing: name the tasks of the other DAG that queue, generate and download"
                )
            task_ids = [task_id for task_id in context["dag"].task_ids if task_id != self.task_id]
        task_ids = [task_ids] if isinstance(task_ids, str) else list(task_ids)
        jobs = {job["queue_id"]: job for job in self._pull(context, task_ids, JOB_KEY) if job.get("queue_id")}
        delivered = {
            result["job"]["queue_id"]: result["path"]
            for key in ("return_value", RESULTS_KEY)
            for result in self._pull(context, task_ids, key)
            if isinstance(result.get("job"), Mapping) and result.get("path")
        }
        self.log.info("Found %d clips that were bought, %d of them delivered", len(jobs), len(delivered))
        return list(jobs.values()), delivered

    def _pull(self, context: Context, task_ids: list[str], key: str) -> Iterator[Mapping[str, Any]]:
        """Yield the dictionaries that these tasks have pushed, singly or in lists, of all map indexes."""
        pulled = context["ti"].xcom_pull(
            task_ids=task_ids,
            dag_id=self.external_dag_id or None,
            run_id=self.external_run_id or None,
            key=key,
        )
        for pushed in pulled or ():
            for value in pushed if isinstance(pushed, (list, tuple)) else [pushed]:
                if isinstance(value, Mapping):
                    yield value
