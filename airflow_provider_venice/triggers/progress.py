"""
The XCom ``venice_progress``: what was last seen of the jobs that a task waits for. For people; no task reads it.

A triggerer's process asks its supervisor for each write, which does one after the other and nothing else meanwhile: it
passes on the events of all triggers as well. So the triggers of a process share one writer, which writes seldom.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.triggerer import trigger_comms
from airflow_provider_venice.ui import is_ui_on
from airflow_provider_venice.xcoms import PROGRESS_KEY, TaskKey

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: Fewest seconds between two writes of a process, between two for the same task instance, and after one that failed.
_PAUSE, _PAUSE_OF_TASK, _PAUSE_AFTER_ERROR = 0.5, 10.0, 300.0

#: How many times longer than two writes took, the shorter of them, the pause after them is at least: a supervisor that
#: is slow is left alone.
_PAUSE_FACTOR = 20.0


class SeenJobs:
    """What was last seen of the jobs of one task."""

    def __init__(self) -> None:
        #: By queue id, as the XCom has it.
        self.entries: dict[str, dict[str, Any]] = {}
        self._shown: dict[str, tuple[str, int]] = {}

    def see(self, job: VideoJob) -> bool:
        """
        Take in what a poll has returned.

        :return: whether that is worth a write: the first one of a job, another status, or another tenth of its way.
        """
        self.entries[job.queue_id] = {
            "status": job.status,
            "percent": job.progress,
            "remaining": job.remaining,
            "seen_at": time.time(),
            "average_execution_time": job.average_execution_time,
        }
        shown = (job.status, int((job.progress or 0.0) // 10))
        is_news = self._shown.get(job.queue_id) != shown
        self._shown[job.queue_id] = shown
        return is_news


Send = Callable[[TaskKey, Mapping[str, Any]], Awaitable[None]]


class ProgressWriter:
    """
    Writes what triggers have seen, for all of an event loop: the latest of each task instance, and seldom.

    It runs in a task of its own, which no trigger waits for or cancels: on Airflow 3.1, a request to the supervisor
    that is cancelled leaves its answer to the next one. It ends by itself when nothing is left.

    :param send: writes for one task instance.
    :param pause: fewest seconds between two writes.
    :param pause_of_task: fewest seconds between two writes for the same task instance.
    """

    def __init__(self, send: Send, pause: float = _PAUSE, pause_of_task: float = _PAUSE_OF_TASK) -> None:
        self._send = send
        self._pause = pause
        self._pause_of_task = pause_of_task
        self._pending: dict[TaskKey, Mapping[str, Any]] = {}
        self._written_at: dict[TaskKey, float] = {}
        self._free_at, self._took = 0.0, 0.0
        self._task: asyncio.Task[None] | None = None

    def put(self, key: TaskKey, entries: Mapping[str, Any]) -> None:
        """
        Have something written, in its turn.

        :param entries: read when it is written, so that it is the latest.
        """
        self._pending[key] = entries
        if self._task is None:
            # Not in the context of the trigger, whose log it would fill.
            create = asyncio.get_running_loop().create_task
            self._task = contextvars.Context().run(create, self._run())

    def withdraw(self, key: TaskKey) -> None:
        """Forget a task instance: its trigger ends."""
        self._pending.pop(key, None)
        self._written_at.pop(key, None)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._pending:
                # Who was written last longest ago goes first.
                key = min(self._pending, key=lambda one: self._written_at.get(one, -math.inf))
                due = max(self._free_at, self._written_at.get(key, -math.inf) + self._pause_of_task)
                if (wait := due - clock()) > 0:
                    # A new one may be due before that.
                    await asyncio.sleep(min(wait, max(self._pause, self._free_at - clock())))
                    continue
                entries, begun = self._pending.pop(key), clock()
                self._written_at[key] = begun
                pause = self._pause
                try:
                    await self._send(key, {queue_id: dict(entry) for queue_id, entry in entries.items()})
                except Exception:
                    log.debug("The progress of %s could not be written", key, exc_info=True)
                    pause = _PAUSE_AFTER_ERROR
                took = clock() - begun
                # One that took long says little: the first makes the supervisor load what it answers with.
                self._free_at = clock() + max(pause, _PAUSE_FACTOR * min(took, self._took))
                self._took = took
        finally:
            self._task = None


#: By running loop, as its requests belong to it.
_writers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ProgressWriter] = weakref.WeakKeyDictionary()


class TriggerProgress:
    """
    Shows what a trigger has seen, where that can be shown. It raises nothing, and nobody waits for it.

    :param task_instance: that of the trigger; ``None`` outside a triggerer.
    """

    def __init__(self, task_instance: Any) -> None:
        self._seen = SeenJobs()
        self._key: TaskKey | None = None
        self._writer: ProgressWriter | None = None
        with _unharmed():
            if task_instance is not None and trigger_comms() is not None and is_ui_on():
                ti, loop = task_instance, asyncio.get_running_loop()
                self._key = TaskKey(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
                self._writer = _writers.get(loop) or _writers.setdefault(loop, ProgressWriter(_write))

    def see(self, job: VideoJob) -> None:
        """Take in what a poll has returned."""
        with _unharmed():
            if self._writer is not None and self._key is not None and self._seen.see(job):
                self._writer.put(self._key, self._seen.entries)

    def end(self) -> None:
        """The trigger ends: what is not written is of no use any more."""
        with _unharmed():
            if self._writer is not None and self._key is not None:
                self._writer.withdraw(self._key)


def push_progress(context: Context, seen: SeenJobs) -> None:
    """
    Show what a worker has seen that waits itself. It raises nothing: the clips are paid.

    :param context: the task's context.
    """
    with _unharmed():
        if is_ui_on():
            context["ti"].xcom_push(key=PROGRESS_KEY, value=seen.entries)


@contextlib.contextmanager
def _unharmed() -> Iterator[None]:
    """Log what goes wrong: the clips are paid, and the wait for them continues."""
    try:
        yield
    except Exception:
        log.debug("The XCom %s could not be written", PROGRESS_KEY, exc_info=True)


async def _write(key: TaskKey, entries: Mapping[str, Any]) -> None:
    from airflow.sdk.execution_time.comms import GetTICount, SetXCom

    comms, (dag_id, run_id, task_id, map_index) = trigger_comms(), key
    # The supervisor repeats a write that fails for up to half a minute, in which no event of any trigger gets through.
    # That for a task instance that is gone fails. So it is asked first whether this one waits; reading cannot fail so.
    known = await comms.asend(
        GetTICount(dag_id=dag_id, run_ids=[run_id], task_ids=[task_id], map_index=map_index, states=["deferred"])
    )
    if known.count:
        await comms.asend(
            SetXCom(
                key=PROGRESS_KEY,
                value=dict(entries),
                dag_id=dag_id,
                run_id=run_id,
                task_id=task_id,
                map_index=map_index,
            )
        )
