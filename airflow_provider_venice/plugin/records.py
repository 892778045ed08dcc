"""Reads what tasks have written of their clips from Airflow's database."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_venice.plugin.entries import TaskRecord
from airflow_provider_venice.xcoms import PROGRESS_KEY, RESULTS_KEY, TaskKey

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

#: Most clips of which one answer is made, the newest; a clip takes about 4 KB of the API server's memory.
MOST_CLIPS = 10_000

#: How many XComs one query fetches by their keys.
_FETCHED_AT_ONCE = 300


class Scope(NamedTuple):
    """
    Whose XComs are read.

    :param dag_ids: only those of these DAGs.
    :param run_ids: only those of these DAG runs, if given.
    :param since: only those that were written at this time or later, if given.
    """

    dag_ids: Sequence[str]
    run_ids: Sequence[str] | None = None
    since: datetime | None = None


class _Key(NamedTuple):
    """The primary key of an XCom, and when it was written."""

    dag_run_id: int
    task_id: str
    map_index: int
    key: str
    timestamp: datetime


class TaskRecords:
    """
    What tasks have written of their clips. An XCom that has not changed since is not read again.

    One for each process of the API server; its methods may be called by several threads.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Any] = OrderedDict()
        self._clips_kept = 0
        self._lock = threading.Lock()

    def dag_ids(self, session: Session) -> list[str]:
        """Return the DAGs that have clips, whoever may see them."""
        from airflow.models.xcom import XComModel
        from sqlalchemy import select

        query = select(XComModel.dag_id).where(XComModel.key == RESULTS_KEY).distinct().order_by(XComModel.dag_id)
        return [str(dag_id) for dag_id in session.scalars(query)]

    def run_ids(self, session: Session, dag_id: str, limit: int) -> list[str]:
        """
        Return the DAG runs of a DAG that have clips, newest first.

        :param limit: how many at most.
        """
        from airflow.models.xcom import XComModel
        from sqlalchemy import func, select

        query = (
            select(XComModel.run_id)
            .where(XComModel.key == RESULTS_KEY, XComModel.dag_id == dag_id)
            .group_by(XComModel.run_id)
            .order_by(func.max(XComModel.timestamp).desc())
            .limit(limit)
        )
        return [str(run_id) for run_id in session.scalars(query)]

    def read(self, session: Session, scope: Scope) -> tuple[list[TaskRecord], bool]:
        """
        Return what the tasks of a scope have written, newest first, and whether that is all of it.

        :param session: of Airflow's database.
        :param scope: whose XComs are read.
        """
        rows = session.execute(self._query(scope)).all()
        keys = [_Key(row.dag_run_id, row.task_id, row.map_index, row.key, row.timestamp) for row in rows]
        values = self._values(session, keys)
        progress = {key[:3]: values[key] for key in keys if key.key == PROGRESS_KEY and key in values}
        records: list[TaskRecord] = []
        clips = 0
        for row, key in zip(rows, keys, strict=True):
            entries = values.get(key)
            if key.key != RESULTS_KEY or not isinstance(entries, list):
                continue
            clips += len(entries)
            if clips > MOST_CLIPS and records:
                return records, False
            seen = progress.get(key[:3])
            records.append(
                TaskRecord(
                    TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index),
                    row.timestamp.timestamp(),
                    entries,
                    seen if isinstance(seen, Mapping) else {},
                    row.state,
                    row.run_state,
                    row.operator,
                )
            )
        return records, len(rows) < 2 * MOST_CLIPS

    def entry(self, session: Session, key: TaskKey, position: int) -> Mapping[str, Any] | None:
        """
        Return what a task instance has written of one of its clips, ``None`` where there is no such thing.

        :param session: of Airflow's database.
        :param key: the task instance.
        :param position: which of its clips, from 0.
        """
        from airflow.models.xcom import XComModel
        from sqlalchemy import select

        query = select(XComModel.value).where(
            XComModel.dag_id == key.dag_id,
            XComModel.run_id == key.run_id,
            XComModel.task_id == key.task_id,
            XComModel.map_index == key.map_index,
            XComModel.key == RESULTS_KEY,
        )
        row = session.execute(query).first()
        entries = None if row is None else cleaned(XComModel.deserialize_value(row))
        return entries[position] if isinstance(entries, list) and position < len(entries) else None

    def _query(self, scope: Scope) -> Select[Any]:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel
        from sqlalchemy import and_, select

        query = (
            select(
                XComModel.dag_run_id,
                XComModel.dag_id,
                XComModel.run_id,
                XComModel.task_id,
                XComModel.map_index,
                XComModel.key,
                XComModel.timestamp,
                TaskInstance.state,
                TaskInstance.operator,
                DagRun.state.label("run_state"),
            )
            .join(
                TaskInstance,
                and_(
                    TaskInstance.dag_id == XComModel.dag_id,
                    TaskInstance.run_id == XComModel.run_id,
                    TaskInstance.task_id == XComModel.task_id,
                    TaskInstance.map_index == XComModel.map_index,
                ),
            )
            .join(DagRun, DagRun.id == XComModel.dag_run_id)
            .where(XComModel.key.in_([RESULTS_KEY, PROGRESS_KEY]), XComModel.dag_id.in_(scope.dag_ids))
            .order_by(XComModel.timestamp.desc())
            .limit(2 * MOST_CLIPS)
        )
        if scope.run_ids is not None:
            query = query.where(XComModel.run_id.in_(scope.run_ids))
        if scope.since is not None:
            # What was written of a clip last was written after the clip was bought.
            query = query.where(XComModel.timestamp >= scope.since)
        return query

    def _values(self, session: Session, keys: Sequence[_Key]) -> dict[_Key, Any]:
        """Return the values of XComs, those of an earlier answer from memory."""
        with self._lock:
            values = {key: self._kept[key] for key in keys if key in self._kept}
            for key in values:
                self._kept.move_to_end(key)
        missing = [key for key in keys if key not in values]
        read = dict(self._read_values(session, missing))
        with self._lock:
            for key, value in read.items():
                if key not in self._kept:
                    self._kept[key] = value
                    self._clips_kept += _size(value)
            while self._clips_kept > 2 * MOST_CLIPS:
                self._clips_kept -= _size(self._kept.popitem(last=False)[1])
        return {**values, **read}

    def _read_values(self, session: Session, keys: Sequence[_Key]) -> Iterator[tuple[_Key, Any]]:
        from airflow.models.xcom import XComModel
        from sqlalchemy import select, tuple_

        columns = (XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.key)
        for start in range(0, len(keys), _FETCHED_AT_ONCE):
            part = {key[:4]: key for key in keys[start : start + _FETCHED_AT_ONCE]}
            query = select(*columns, XComModel.value, XComModel.timestamp).where(tuple_(*columns).in_(list(part)))
            for row in session.execute(query):
                # One that was written again meanwhile is newer than its key here says, and is read again next time.
                yield part[tuple(row[:4])], cleaned(XComModel.deserialize_value(row))


def cleaned(value: Any) -> Any:
    """
    Return what a page may need of an XCom. It is what a task has written, so that it may be anything.

    An XCom backend that keeps values outside of the database leaves a reference there, which is passed over.
    """
    if isinstance(value, list):
        return [_entry(entry) for entry in value]
    return value if isinstance(value, Mapping) else None


def _entry(written: Any) -> Mapping[str, Any]:
    """Return an entry whose parts have the types that they should have."""
    entry = dict(written) if isinstance(written, Mapping) else {}
    for name in ("job", "request", "labels"):
        if not isinstance(entry.get(name), Mapping):
            entry[name] = None
    if not isinstance(entry.get("status"), str):
        entry["status"] = "missing"
    if entry["job"] is not None:
        # Invariant: a private link, also an encrypted one, never reaches a page.
        entry["job"] = {name: value for name, value in entry["job"].items() if name != "download_url"}
    return entry


def _size(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1
