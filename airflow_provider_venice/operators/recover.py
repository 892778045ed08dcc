"""``VeniceRecoverVideosOperator``: collects paid clips that no task has delivered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.generation import arguments
from airflow_provider_venice.hooks.failures import final_failures
from airflow_provider_venice.operators.base import VeniceOperator
from airflow_provider_venice.operators.video import VideoQueueingOperator
from airflow_provider_venice.xcoms import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.generation.lineage import LineageClip
    from airflow_provider_venice.generation.recovery import Recovery


class VeniceRecoverVideosOperator(VeniceOperator):
    """
    Collect clips that were paid for and that no task has delivered: a worker was lost, a run cancelled.

    Venice keeps a clip for an hour or a day, so run it soon: as the last task of the DAG with
    ``trigger_rule="all_done"``, or in a DAG of its own that is triggered with the run's id. The jobs
    are found by the XCom ``venice_job`` that every queue and generate task pushes at the start of each try and as
    soon as it has bought a clip. Nothing is bought here, and nothing is deleted at Venice.

    Returns one dictionary per job: ``queue_id``, ``model``, ``labels``, ``status`` and, by status,

    * ``collected``: ``path``, ``size``, ``sha256`` and ``metadata`` of the file;
    * ``delivered``: a task has stored it; ``path``;
    * ``processing``: not finished; run the task again later;
    * ``lost``: failed, or no longer kept; ``error``.

    Where tasks of the run have begun and show no job, the last dictionary has the status ``unseen`` and their number
    as ``tasks``. They have bought nothing, or their last try was killed before it could show what an earlier one has
    bought: only the task itself can read that. Retry or clear them.

    :param output_dir: where the clips go, as ``<output_dir>/<queue_id>.mp4``: a local directory, or
        an ``ObjectStoragePath`` or its URL. (templated)
    :param jobs: jobs, or their dictionaries, in place of those of a run. (templated)
    :param external_dag_id: the DAG of the run. Default: this one. (templated)
    :param external_run_id: the run. Default: this one. (templated)
    :param external_task_ids: the tasks to read, those that deliver included. Needed for another
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
        self._recovery: Recovery | None = None
        self.output_dir = output_dir
        self.jobs = jobs
        self.external_dag_id = external_dag_id
        self.external_run_id = external_run_id
        self.external_task_ids = external_task_ids
        with arguments.checked(self.task_id):
            arguments.check_folder(output_dir)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """
        Collect what can be collected, and report on all.

        :raises Exception: the first of what stood in the way; what was collected stays.
        """
        from airflow_provider_venice.generation.recovery import UNSEEN, Found, Recovery, find_jobs

        unseen = 0
        with final_failures():
            again = "A retry or a clear of this task collects it, and pays nothing"
            recovery = self._recovery = Recovery(self.hook, self.output_dir, self.log, again)
            if self.jobs is not None:
                found = Found([self.jobs] if isinstance(self.jobs, (VideoJob, Mapping)) else list(self.jobs))
            else:
                task_ids = self._task_ids(context)
                unseen = self._count_unseen(context, task_ids)
                found = find_jobs(lambda key: self._pulled(context, task_ids, key))
                self.log.info(
                    "Found %d clips that were bought, %d of them delivered", len(found.jobs), len(found.delivered)
                )
            report = recovery.collect(found)
            if recovery.problems:
                raise recovery.problems[0][1]
        if unseen:
            self.log.warning(UNSEEN, unseen)
            report.append({"queue_id": None, "model": None, "status": "unseen", "tasks": unseen})
        return report

    def lineage_clips(self) -> list[LineageClip]:
        """Return the clips that were collected, for OpenLineage; what another task has stored is in its event."""
        from airflow_provider_venice.generation.lineage import LineageClip

        if self._recovery is None:
            return []
        return [
            LineageClip("collected", job.model, job, cost=job.estimated_cost, file=file)
            for job, file in self._recovery.collected
        ]

    def _task_ids(self, context: Context) -> list[str]:
        """Return the tasks to read."""
        task_ids = self.external_task_ids
        if task_ids is None:
            if self.external_dag_id not in (None, self.dag_id):
                raise VeniceRequestError(
                    "external_task_ids is missing: name the tasks of the other DAG that queue, generate and download"
                )
            task_ids = [task_id for task_id in context["dag"].task_ids if task_id != self.task_id]
        return [task_ids] if isinstance(task_ids, str) else list(task_ids)

    def _count_unseen(self, context: Context, task_ids: list[str]) -> int:
        """Return how many tasks that may have bought something have begun, and show no job."""
        from airflow_provider_venice.generation.recovery import BEGUN

        buyers = self._buyers(context, task_ids)
        if not buyers:
            return 0
        run_id = self.external_run_id or context["ti"].run_id
        states = context["ti"].get_task_states(
            dag_id=self.external_dag_id or self.dag_id, task_ids=buyers, run_ids=[run_id]
        )
        # A mapped task's name is followed by its map index.
        names = {name: task for task in buyers for name in states.get(run_id, {}) if _is_of(task, name)}
        begun = Counter(task for name, task in names.items() if states[run_id][name] in BEGUN)
        shown = {task: sum(1 for value in self._pulled(context, [task], JOB_KEY) if value) for task in begun}
        return sum(max(0, count - shown[task]) for task, count in begun.items())

    def _buyers(self, context: Context, task_ids: list[str]) -> list[str]:
        """Return the tasks that buy clips; of another DAG, which is not known here, all that were named."""
        if self.external_dag_id not in (None, self.dag_id):
            return task_ids
        return [
            task.task_id
            for task in context["dag"].tasks
            if task.task_id in task_ids
            and issubclass(getattr(task, "operator_class", type(task)), VideoQueueingOperator)
        ]

    def _pulled(self, context: Context, task_ids: list[str], key: str) -> list[Any]:
        """Return what these tasks have pushed, one item for each map index."""
        pulled = context["ti"].xcom_pull(
            task_ids=task_ids,
            dag_id=self.external_dag_id or None,
            run_id=self.external_run_id or None,
            key=key,
        )
        return list(pulled or ())


def _is_of(task_id: str, name: str) -> bool:
    """Whether Airflow calls an instance of a task by that name."""
    return name == task_id or re.fullmatch(rf"{re.escape(task_id)}_\d+", name) is not None
