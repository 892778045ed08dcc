"""What a task remembers of its submission, from one try to the next, so that no try pays twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceConnectionError, VeniceError

if TYPE_CHECKING:
    from airflow.sdk import Context

#: XCom key of the job, pushed as soon as it is known: a task that is killed keeps it until its next try.
JOB_KEY = "venice_job"


class TaskStore(Protocol):
    """
    What outlives a try of a task: Airflow 3.3's ``task_state_store``, or :class:`VariableStore`.

    It holds plain JSON per task instance, map index included, through retries and clears.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was stored under ``key``."""

    def set(self, key: str, value: Any) -> None:
        """Store ``value`` under ``key``."""

    def delete(self, key: str) -> None:
        """Forget what is stored under ``key``."""


class VariableStore:
    """
    Airflow Variables as a store, for Airflow 3.0 to 3.2. They stay until somebody deletes them.

    :param owner: DAG, run, task and map index.
    """

    def __init__(self, owner: tuple[str, str, str, int]) -> None:
        self._owner = owner

    def _name(self, key: str) -> str:
        # Hashed, because a run id alone may have as many characters as the name of a Variable.
        return f"{key}_{hashlib.sha256(json.dumps(self._owner).encode()).hexdigest()[:32]}"

    def get(self, key: str, default: Any = None) -> Any:
        """
        Return what was stored under ``key``.

        Asked of the supervisor itself where that can be done: ``Variable.get`` of Airflow 3.1 and 3.2
        takes an API server that cannot answer for a Variable that is not there.

        :raises VeniceConnectionError: when nobody could tell.
        """
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms, task_runner

        name, supervisor = self._name(key), task_runner.SUPERVISOR_COMMS
        if not hasattr(supervisor, "send"):  # Airflow 3.0, which tells the two apart
            return Variable.get(name, default=default, deserialize_json=True)
        answer = supervisor.send(comms.GetVariable(key=name))
        if isinstance(answer, comms.ErrorResponse):
            if answer.error == ErrorType.VARIABLE_NOT_FOUND:
                return default
            raise VeniceConnectionError(f"the Variable {name!r} could not be read: {answer.error}", sent=True)
        value = getattr(answer, "value", None)
        return json.loads(value) if isinstance(value, str) else default

    def set(self, key: str, value: Any) -> None:
        """
        Store ``value`` under ``key``.

        :raises VeniceConnectionError: when it is not there afterwards; Airflow itself only logs that.
        """
        from airflow.sdk import Variable

        dag_id, run_id, task_id, map_index = self._owner
        owner = f"{dag_id}, {run_id}, {task_id}" + (f"[{map_index}]" if map_index >= 0 else "")
        Variable.set(self._name(key), value, description=f"airflow-provider-venice: {owner}", serialize_json=True)
        if self.get(key) != value:
            raise VeniceConnectionError(f"the Variable {self._name(key)!r} of {owner} could not be written", sent=True)

    def delete(self, key: str) -> None:
        """Forget what is stored under ``key``."""
        from airflow.sdk import Variable

        Variable.delete(self._name(key))


def task_store(context: Context) -> TaskStore:
    """
    Return the store of the running task.

    :param context: the task's context.
    """
    store: TaskStore | None = context.get("task_state_store")
    if store is not None:
        return store
    ti = context["ti"]
    return VariableStore((ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index))


@dataclass(frozen=True)
class Submission:
    """
    One submission. Without a job it is an intent: it may have been sent, and may be paid, unless it was refused.

    :param fingerprint: SHA-256 of the request.
    :param model: the model that was asked for.
    :param sent_at: epoch seconds.
    :param max_tries: the task's, when the last person or try settled this. A user's clear changes it, a
        retry does not.
    :param doubted: whether a person was told that the outcome of an intent is unknown.
    :param cost: the quoted US dollars as text, ``None`` where nobody asked.
    :param job: the job as it may be stored, its private link encrypted.
    :param failure: why the job ended without a video; without a job, why Venice refused it.
    :param costs_nothing: whether that failure was refunded and another submission may succeed.
    """

    fingerprint: str
    model: str
    sent_at: float
    max_tries: int
    cost: str | None = None
    job: Mapping[str, Any] | None = None
    failure: str | None = None
    costs_nothing: bool = False
    doubted: bool = False

    @property
    def price(self) -> str:
        """What it costs, for people."""
        return "at a price that was not asked for" if self.cost is None else f"for ${self.cost}"

    @property
    def sent(self) -> str:
        """When it was sent, for people."""
        return time.strftime("%F %T UTC", time.gmtime(self.sent_at))

    def doubt(self, reason: str) -> VeniceAmbiguousSubmission:
        """
        Return the error for an intent whose outcome nobody knows.

        :param reason: why nobody knows.
        """
        return VeniceAmbiguousSubmission(
            f"a submission to model {self.model!r} of {self.sent}, {self.price}, may have been accepted and charged, "
            f"but no job id came back: {reason}. It is not sent again by itself. Look at the usage page of the Venice "
            "account for a charge at that time. If there is none, clear the task to submit it again; "
            "on_ambiguous='resubmit' does that without asking",
            model=self.model,
            sent_at=self.sent_at,
        )


def fingerprint(request: VideoRequest) -> str:
    """Return the SHA-256 of a request; of a file its path counts, not its content."""
    return hashlib.sha256(repr(request).encode()).hexdigest()


class SubmissionMemory:
    """
    The submission of the running task, as its tries know it.

    :param context: the task's context.
    :param position: which of the task's clips, where it buys several; from 0.
    """

    def __init__(self, context: Context, position: int | None = None) -> None:
        self._store = task_store(context)
        ti = context.get("ti")
        self.max_tries: int = getattr(ti, "max_tries", 0) or 0
        suffix = "" if position is None else f"_{position}"
        self._key, self._delivery_key = f"venice_submission{suffix}", f"venice_delivery{suffix}"
        self._known: Any = None

    def recall(self) -> Submission | None:
        """Return the submission of an earlier try."""
        stored = self._known = self._store.get(self._key)
        if stored is None:
            return None
        names = {field.name for field in dataclasses.fields(Submission)}
        return Submission(**{name: value for name, value in stored.items() if name in names})

    def remember(self, submission: Submission) -> None:
        """
        Keep a submission for the tries to come.

        :raises VeniceError: when another try has written since this one has read, and this one is about to submit.
        """
        if submission.job is None and self._store.get(self._key) != self._known:
            raise VeniceError("another try of this task has submitted meanwhile; this one does nothing")
        record = dataclasses.asdict(submission)
        self._store.set(self._key, record)
        self._known = record

    def forget(self) -> None:
        """Drop the submission: it was refused, and nothing was bought."""
        self._store.delete(self._key)
        self._known = None

    def was_cleared_since(self, submission: Submission) -> bool:
        """Whether a user has cleared the task after that submission."""
        return self.max_tries != submission.max_tries

    def delivery(self, job: VideoJob) -> Mapping[str, Any] | None:
        """Return the file that an earlier try was about to store of ``job``."""
        stored = self._store.get(self._delivery_key)
        return stored["video"] if stored is not None and stored["queue_id"] == job.queue_id else None

    def delivering(self, job: VideoJob, video: Mapping[str, Any]) -> None:
        """Keep which file ``job`` becomes, before it appears: what lies there afterwards can be told from another."""
        self._store.set(self._delivery_key, {"queue_id": job.queue_id, "video": dict(video)})
