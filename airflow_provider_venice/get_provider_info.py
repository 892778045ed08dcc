"""What this package provides, for Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_venice import __version__
from airflow_provider_venice.hooks.form import connection_type

#: Options in Airflow's configuration.
_CONFIG: dict[str, Any] = {
    "venice": {
        "description": "Video with the Venice.ai API.\n",
        "options": {
            "media_roots": {
                "description": (
                    "Folders and URLs of object storages, separated by commas, below which the files are that tasks "
                    "may send to Venice as media. Empty for any file that the worker can read.\n"
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "/data/media, s3://aws_default@bucket/frames",
                "default": "",
            },
            "ui": {
                "description": "Whether Airflow's UI shows the clips.\n",
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "True",
            },
            "ui_roots": {
                "description": (
                    "Folders, separated by commas, below which the clips are that the API server may show from its own "
                    "disks. Those in an object storage need none.\n"
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "/data/clips, /mnt/videos",
                "default": "",
            },
            "ui_presigned_urls": {
                "description": (
                    "Whether a browser gets a clip from its object storage itself, by a presigned URL. Set it to False "
                    "where browsers cannot reach the storage: the API server then passes the clips on.\n"
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "True",
            },
        },
    },
}


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": "Venice.ai", "python-modules": [f"airflow_provider_venice.{name}" for name in names]}]


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider info; Airflow calls this through an entry point.

    The plugin is not in it: its own entry point registers it. Where Airflow does not load providers lazily, it would
    register the plugin a second time, which Airflow 3.3 shows as an import error.
    """
    return {
        "package-name": "airflow-provider-venice",
        "name": "Venice.ai",
        # Airflow removes the markup and makes a link of an address that is a word of its own.
        "description": "Make video with the `Venice.ai API <https://docs.venice.ai/>`__\n",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Venice.ai",
                "external-doc-url": "https://docs.venice.ai/",
                "logo": "/venice/assets/logo.svg",
                "tags": ["ai", "generative-ai", "service"],
            }
        ],
        "operators": _modules("operators.base", "operators.recover", "operators.video"),
        "sensors": _modules("sensors.video"),
        "hooks": _modules("hooks.venice"),
        "triggers": _modules("triggers.rate_limit", "triggers.usage_history", "triggers.video"),
        "connection-types": [connection_type("airflow_provider_venice.hooks.venice.VeniceHook")],
        "extra-links": ["airflow_provider_venice.links.VeniceClipLink"],
        "cli": ["airflow_provider_venice.cli.definition.get_venice_cli_commands"],
        "config": _CONFIG,
    }
