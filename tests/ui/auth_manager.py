"""Airflow's simple auth manager, with one DAG that not everybody may read."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

#: The DAG, and the user who may read it.
HIDDEN, READER = "hidden", "admin"


class PartialAuthManager(SimpleAuthManager):
    """Hides a DAG from all users but one, as an auth manager with permissions for each DAG does."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Whether a user may do something with a DAG."""
        if details is not None and details.id == HIDDEN and user.get_name() != READER:
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
