"""The link from a task instance to the page of its clips in Airflow's UI."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from airflow_provider_venice.ui import is_ui_on

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

log = logging.getLogger(__name__)

#: What the page is called in the addresses of Airflow's UI.
PAGE = "venice-clip"


class VeniceClipLink(BaseOperatorLink):
    """
    The button "Watch clip" of a task instance.

    Airflow asks for the link when the task's process ends; :func:`push_link` has it there before.
    """

    name = "Watch clip"

    def get_link(self, operator: BaseOperator | None, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the page; empty, which Airflow shows as none, where there is no such page."""
        return clip_url(ti_key)


def clip_url(ti: Any) -> str:
    """
    Return the address of the page of a task instance's clips.

    :param ti: the task instance, or its key.
    :return: the address; empty where Airflow's UI does not show the clips.
    """
    from airflow_provider_venice.version_compat import conf

    if not is_ui_on():
        return ""
    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    parts = ["dags", ti.dag_id, "runs", ti.run_id, "tasks", ti.task_id]
    if ti.map_index is not None and ti.map_index >= 0:
        parts += ["mapped", str(ti.map_index)]
    return "/".join([base, *(quote(part, safe="") for part in parts), "plugin", PAGE])


def push_link(context: Context) -> None:
    """
    Show the link while the task runs, or waits in the triggerer. It raises nothing: clips may be paid.

    :param context: the task's context.
    """
    try:
        if url := clip_url(context["ti"]):
            context["ti"].xcom_push(key=VeniceClipLink().xcom_key, value=url)
    except Exception:
        log.warning("The link to the clips could not be pushed; the task continues", exc_info=True)
