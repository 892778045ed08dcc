"""Collects paid clips that no task has delivered: for the operator and for the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_venice import storage
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceRequestError, VideoGenerationError
from airflow_provider_venice.hooks.failures import log_recovery_hint
from airflow_provider_venice.hooks.private_links import decrypt_link
from airflow_provider_venice.storage.paths import resolve_target
from airflow_provider_venice.xcoms import JOB_KEY, RESULTS_KEY

if TYPE_CHECKING:
    from airflow_provider_venice.hooks.venice import VeniceHook

#: States of a task that has begun, and has not ended well.
BEGUN = ("running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "failed")

#: Seconds that one clip waits for the rate limit, here in the worker, before the others follow.
RATE_LIMIT_TIMEOUT = 900.0

#: What is said of their number, where they show no job.
UNSEEN = (
    "%d of the run's tasks have begun and show no job. They have bought nothing, are in doubt, or their last try was "
    "killed before it could show what an earlier one has bought. Retry them; a doubt says in its error what to do"
)


@dataclass
class Found:
    """
    What the tasks of a run show.

    :param jobs: what was bought: jobs, or their dictionaries.
    :param delivered: the path of each stored clip, by queue id.
    :param noted: the file that a task was about to store, by queue id.
    """

    jobs: list[Any]
    delivered: dict[str, str] = field(default_factory=dict)
    noted: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def find_jobs(pushed: Callable[[str], Iterable[Any]]) -> Found:
    """
    Return what was bought, and what has come of it.

    :param pushed: returns what the tasks have pushed under a key, one item for each task instance.
    """
    found = Found([])
    jobs: dict[str, Mapping[str, Any]] = {}
    for job in _mappings(pushed(JOB_KEY)):
        if not job.get("queue_id"):
            continue
        jobs.setdefault(job["queue_id"], job)
        if isinstance(delivery := job.get("delivery"), Mapping):
            found.noted[job["queue_id"]] = delivery
            if delivery.get("is_stored"):
                found.delivered[job["queue_id"]] = delivery["path"]
    for key in ("return_value", RESULTS_KEY):
        for result in _mappings(pushed(key)):
            if isinstance(result.get("job"), Mapping) and result.get("path"):
                found.delivered[result["job"]["queue_id"]] = result["path"]
    found.jobs.extend(jobs.values())
    return found


class Recovery:
    """
    Downloads what is paid and not stored. Nothing is bought here, and nothing is deleted at Venice.

    :param hook: the connection.
    :param output_dir: where the clips go, as ``<output_dir>/<queue_id>.mp4``.
    :param log: takes what becomes of each.
    :param hint: what the log says of a clip that could not be fetched now.
    :raises VeniceRequestError: when no file can be made there.
    """

    def __init__(self, hook: VeniceHook, output_dir: Any, log: Any, hint: str) -> None:
        self._folder = str(output_dir).rstrip("/")
        resolve_target(f"{self._folder}/video.mp4")
        self._hook = hook
        self._log = log
        self._hint = hint
        #: The clips that may be fetched later, each with what stood in the way.
        self.problems: list[tuple[VideoJob, Exception]] = []
        #: The clips that were collected, each with its file.
        self.collected: list[tuple[VideoJob, dict[str, Any]]] = []

    def collect(self, found: Found) -> list[dict[str, Any]]:
        """
        Collect what can be collected; what stands in the way of one is kept in ``problems``, and hides no other.

        :return: one dictionary for each of the others: ``queue_id``, ``model``, ``labels``, ``status``, and ``path`` or
            ``error``.
        :raises VeniceRequestError: when one of the jobs is none.
        """
        report: list[dict[str, Any]] = []
        for job in [VideoJob.of(job) for job in found.jobs]:
            try:
                fate = self._fate(job, found.delivered.get(job.queue_id), found.noted.get(job.queue_id))
            except Exception as error:
                self._log.error("%s: %s", job, error)
                # The others are worth as much: go on, and fail in the end.
                self.problems.append((job, error))
                continue
            self._log.info("%s: %s %s", job, fate["status"], fate.get("path") or fate.get("error") or "")
            if fate["status"] == "collected":
                self.collected.append((job, fate))
            named = {"queue_id": job.queue_id, "model": job.model, "labels": dict(job.labels or {})}
            report.append({**named, **fate})
        return report

    def _fate(self, job: VideoJob, path: str | None, noted: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            return self._recover(decrypt_link(job), path, noted)
        except VideoGenerationError as error:
            where = "" if noted is None else f". A task was about to store it as {noted['path']}; it is not there"
            return {"status": "lost", "error": f"{error}{where}"}

    def _recover(self, job: VideoJob, path: str | None, noted: Mapping[str, Any] | None) -> dict[str, Any]:
        if path is None and noted is not None and _is_there(noted):
            path = str(noted["path"])
        if path is not None:
            return {"status": "delivered", "path": path}
        name = re.sub(r"[^A-Za-z0-9_-]", "_", job.queue_id)
        target = f"{self._folder}/{name}.mp4"
        with log_recovery_hint(job, self._log, self._hint):
            stored = storage.existing_video(target)
            if stored is None:
                if not self._hook.poll(job, rate_limit_timeout=RATE_LIMIT_TIMEOUT).is_completed():
                    return {"status": "processing"}
                stored = self._hook.fetch(job, target, rate_limit_timeout=RATE_LIMIT_TIMEOUT)
        return {"status": "collected", **stored.to_dict()}


def _mappings(pushed: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the dictionaries that tasks have pushed, singly or in lists."""
    for values in pushed:
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if isinstance(value, Mapping):
                yield value


def _is_there(noted: Mapping[str, Any]) -> bool:
    """Whether the file that a task was about to store is there, to be read from here."""
    try:
        stored = storage.existing_video(noted["path"])
    except VeniceRequestError:
        return False
    return stored is not None and stored.sha256 == noted["sha256"]
