"""``VeniceRecoverVideosOperator``: collects paid clips that no task has delivered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError, VideoGenerationError
from airflow_provider_venice.generation import arguments
from airflow_provider_venice.hooks.failures import final_failures, log_recovery_hint
from airflow_provider_venice.operators.base import VeniceOperator
from airflow_provider_venice.operators.video import VideoQueueingOperator
from airflow_provider_venice.xcoms import JOB_KEY, RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context


#: States of a task that has begun, and has not ended well.
_BEGUN = ("running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "failed")

#: Seconds that one clip waits for the rate limit, here in the worker, before the task continues with the others.
RATE_LIMIT_TIMEOUT = 900.0


@dataclass
class _Found:
    """What the tasks of a run show: jobs, and by queue id the paths stored and the files noted."""

    jobs: list[Any]
    delivered: dict[str, str] = field(default_factory=dict)
    noted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unseen: int = 0


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
        from airflow_provider_venice.hooks.private_links import decrypt_link
        from airflow_provider_venice.storage.paths import resolve_target

        with final_failures():
            resolve_target(f"{str(self.output_dir).rstrip('/')}/video.mp4")
            found = self._find(context)
            named = [VideoJob.of(job) for job in found.jobs]
        report: list[dict[str, Any]] = []
        problems: list[Exception] = []
        for job in named:
            fate: dict[str, Any] = {"queue_id": job.queue_id, "model": job.model, "labels": dict(job.labels or {})}
            noted = found.noted.get(job.queue_id)
            try:
                fate |= self._recover(decrypt_link(job), found.delivered.get(job.queue_id), noted)
            except VideoGenerationError as error:
                where = "" if noted is None else f". A task was about to store it as {noted['path']}; it is not there"
                fate |= {"status": "lost", "error": f"{error}{where}"}
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
        if found.unseen:
            self.log.warning(
                "%d tasks of the run have begun and show no job. They have bought nothing, or their last try was "
                "killed before it could show what an earlier one has bought. Retry or clear them",
                found.unseen,
            )
            report.append({"queue_id": None, "model": None, "status": "unseen", "tasks": found.unseen})
        return report

    def _recover(self, job: VideoJob, path: str | None, noted: Mapping[str, Any] | None) -> dict[str, Any]:
        from airflow_provider_venice import storage

        if path is None and noted is not None and _is_there(noted):
            path = str(noted["path"])
        if path is not None:
            return {"status": "delivered", "path": path}
        name = re.sub(r"[^A-Za-z0-9_-]", "_", job.queue_id)
        target = f"{str(self.output_dir).rstrip('/')}/{name}.mp4"
        with log_recovery_hint(job, self.log, "A retry or a clear of this task collects it, and pays nothing"):
            stored = storage.existing_video(target)
            if stored is None:
                if not self.hook.poll(job, rate_limit_timeout=RATE_LIMIT_TIMEOUT).is_completed():
                    return {"status": "processing"}
                stored = self.hook.fetch(job, target, rate_limit_timeout=RATE_LIMIT_TIMEOUT)
        return {"status": "collected", **stored.to_dict()}

    def _find(self, context: Context) -> _Found:
        """Return the jobs of the run, and what its tasks say of their files."""
        if self.jobs is not None:
            return _Found([self.jobs] if isinstance(self.jobs, (VideoJob, Mapping)) else list(self.jobs))
        task_ids = self.external_task_ids
        if task_ids is None:
            if self.external_dag_id not in (None, self.dag_id):
                raise VeniceRequestError(
                    "external_task_ids is missing: name the tasks of the other DAG that queue, generate and download"
                )
            task_ids = [task_id for task_id in context["dag"].task_ids if task_id != self.task_id]
        task_ids = [task_ids] if isinstance(task_ids, str) else list(task_ids)
        found = _Found([], unseen=self._count_unseen(context, task_ids))
        jobs: dict[str, Mapping[str, Any]] = {}
        for job in self._pull(context, task_ids, JOB_KEY):
            if not job.get("queue_id"):
                continue
            jobs.setdefault(job["queue_id"], job)
            if isinstance(delivery := job.get("delivery"), Mapping):
                found.noted[job["queue_id"]] = delivery
                if delivery.get("is_stored"):
                    found.delivered[job["queue_id"]] = delivery["path"]
        for key in ("return_value", RESULTS_KEY):
            for result in self._pull(context, task_ids, key):
                if isinstance(result.get("job"), Mapping) and result.get("path"):
                    found.delivered[result["job"]["queue_id"]] = result["path"]
        found.jobs.extend(jobs.values())
        self.log.info("Found %d clips that were bought, %d of them delivered", len(jobs), len(found.delivered))
        return found

    def _count_unseen(self, context: Context, task_ids: list[str]) -> int:
        """Return how many tasks that may have bought something have begun, and show no job."""
        buyers = self._buyers(context, task_ids)
        if not buyers:
            return 0
        run_id = self.external_run_id or context["ti"].run_id
        states = context["ti"].get_task_states(
            dag_id=self.external_dag_id or self.dag_id, task_ids=buyers, run_ids=[run_id]
        )
        # A mapped task's name is followed by its map index.
        names = {name: task for task in buyers for name in states.get(run_id, {}) if _is_of(task, name)}
        begun = Counter(task for name, task in names.items() if states[run_id][name] in _BEGUN)
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

    def _pull(self, context: Context, task_ids: list[str], key: str) -> Iterator[Mapping[str, Any]]:
        """Yield the dictionaries that these tasks have pushed, singly or in lists, of all map indexes."""
        for pushed in self._pulled(context, task_ids, key):
            for value in pushed if isinstance(pushed, (list, tuple)) else [pushed]:
                if isinstance(value, Mapping):
                    yield value

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


def _is_there(noted: Mapping[str, Any]) -> bool:
    """Whether the file that a task was about to store is there, to be read from here."""
    from airflow_provider_venice import storage

    try:
        stored = storage.existing_video(noted["path"])
    except VeniceRequestError:
        return False
    return stored is not None and stored.sha256 == noted["sha256"]
