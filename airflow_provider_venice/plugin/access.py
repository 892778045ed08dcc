"""Who may see what: Airflow's own permission checks. What cannot be checked is not shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import Request


def may_read_clips(request: Request, user: Any, dag_id: str) -> bool:
    """
    Whether a user may read the clips of a DAG: the DAG itself, its task instances and their XComs.

    :param request: the request of the user.
    :param user: as Airflow has authenticated it.
    :param dag_id: the DAG.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import HTTPException

    try:
        for entity in (None, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM):
            requires_access_dag("GET", entity, dag_id)(request, user)
    except HTTPException:
        return False
    return True


def readable_dags(request: Request, user: Any, dag_ids: Iterable[str]) -> list[str]:
    """
    Return the DAGs whose clips a user may read.

    :param request: the request of the user.
    :param user: as Airflow has authenticated it.
    :param dag_ids: the DAGs in question.
    """
    return [dag_id for dag_id in dag_ids if may_read_clips(request, user, dag_id)]
