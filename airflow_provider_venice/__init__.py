"""Apache Airflow provider for making video with the Venice.ai API."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Tell Airflow what this package provides; called through its entry point."""
    from airflow_provider_venice.hooks.form import connection_type

    return {
        "package-name": "airflow-provider-venice",
        "name": "Venice.ai",
        "description": "Video with the `Venice.ai <https://docs.venice.ai/>`__ API.",
        "versions": [__version__],
        "connection-types": [connection_type("airflow_provider_venice.hooks.venice.VeniceHook")],
    }
