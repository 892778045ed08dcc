"""The clips in Airflow's UI: a page for all of them, for those of a DAG run, and for that of a task instance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_venice.links import PAGE
from airflow_provider_venice.ui import is_ui_on

_ICONS = {"icon": "venice/assets/venice.svg", "icon_dark_mode": "venice/assets/venice-dark.svg"}


async def _serve(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Pass a request on. Every process of Airflow loads the plugins; only the API server needs the application."""
    from airflow_provider_venice.plugin.app import app

    await app(scope, receive, send)


_APPS: list[Any] = [{"app": _serve, "url_prefix": "/venice", "name": "Venice"}]

#: Relative to Airflow's own pages, which may be below a base path.
_VIEWS: list[Any] = [
    {"name": "Venice", "destination": "nav", "url_route": "venice", "href": "venice/clips", **_ICONS},
    {
        "name": "Clips",
        "destination": "dag_run",
        "url_route": "venice-run",
        "href": "venice/run?dag_id={DAG_ID}&run_id={RUN_ID}",
        **_ICONS,
    },
    {
        "name": "Clip",
        "destination": "task_instance",
        "url_route": PAGE,
        "href": "venice/clip?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
        **_ICONS,
    },
]


class VenicePlugin(AirflowPlugin):
    """The pages in Airflow's UI, where ``[venice] ui`` has not turned them off and Airflow can show them (3.1.1)."""

    name = "venice"
    fastapi_apps = _APPS if is_ui_on() else []
    external_views = _VIEWS if is_ui_on() else []
