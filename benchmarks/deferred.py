"""
Makes deferred task instances in the database of the Airflow that the environment names, without a worker for each.

``python -m benchmarks.deferred`` reads a list of triggers from its standard input, as pairs of class and arguments.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models.dag_version import DagVersion
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType


def defer(triggers: list[tuple[str, dict[str, Any]]], dag_id: str = "waiting", task_id: str = "wait") -> None:
    """
    Make a DAG run with an instance of one task for each trigger.

    :param triggers: classes and arguments.
    :param dag_id: the DAG, which must be serialized already.
    :param task_id: its task.
    """
    now = datetime.now(timezone.utc)
    with create_session() as session:
        dag = SerializedDagModel.get_dag(dag_id, session=session)
        version = DagVersion.get_latest_version(dag_id, session=session)
        assert dag is not None
        assert version is not None
        run = dag.create_dagrun(
            run_id=f"manual__{now.isoformat()}",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        session.flush()
        for instance in run.get_task_instances(session=session):
            session.delete(instance)
        rows = [Trigger(classpath, arguments) for classpath, arguments in triggers]
        session.add_all(rows)
        session.flush()
        for index, row in enumerate(rows):
            instance = TaskInstance(dag.get_task(task_id), version.id, run.run_id, map_index=index)
            instance.state = TaskInstanceState.DEFERRED
            instance.try_number = 1
            instance.start_date = now
            instance.trigger_id = row.id
            instance.trigger_timeout = now + timedelta(hours=1)
            instance.next_method, instance.next_kwargs = "execute_complete", {}
            session.add(instance)


if __name__ == "__main__":
    defer(json.load(sys.stdin))
