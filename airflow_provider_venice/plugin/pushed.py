"""Reads what the tasks of one DAG run have pushed, as it stands: with encrypted links, so that no page may show it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.plugin.entries import part_of
from airflow_provider_venice.xcoms import JOB_KEY

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session


class RunTasks:
    """
    The task instances of a DAG run.

    :param session: of Airflow's database.
    :param dag_id: the DAG.
    :param run_id: the DAG run.
    """

    def __init__(self, session: Session, dag_id: str, run_id: str) -> None:
        self._session = session
        self._run = {"dag_id": dag_id, "run_id": run_id}

    def exist(self) -> bool:
        """Whether there are any."""
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import select

        query = select(TaskInstance.task_id).filter_by(**self._run).limit(1)
        return self._session.scalar(query) is not None

    def pushed(self, key: str) -> list[Any]:
        """Return what they have pushed under a key, one item for each; what cannot be read is left out."""
        from airflow.models.xcom import XComModel
        from sqlalchemy import select

        values = []
        for row in self._session.execute(select(XComModel.value).filter_by(**self._run, key=key)):
            with contextlib.suppress(Exception):  # a task may return an object of a class that is not here
                values.append(XComModel.deserialize_value(row))
        return values

    def count_unseen(self, states: Collection[str]) -> int:
        """
        Return how many that buy clips are in one of these states, and show no job.

        :param states: Airflow's states of a task instance.
        """
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel
        from sqlalchemy import select

        shown = select(XComModel.task_id, XComModel.map_index).filter_by(**self._run, key=JOB_KEY)
        seen = {tuple(row) for row in self._session.execute(shown)}
        begun = (
            select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.operator)
            .filter_by(**self._run)
            .where(TaskInstance.state.in_(states))
        )
        return sum(
            part_of(row.operator) == "buys" and tuple(row[:2]) not in seen for row in self._session.execute(begun)
        )
