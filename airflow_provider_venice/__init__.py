"""Apache Airflow provider for making video with the Venice.ai API."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

#: Options in Airflow's configuration.
_CONFIG: dict[str, Any] = {
    "venice": {
        "description": "Video with the Venice.ai API.",
        "options": {
            "media_roots": {
                "description": (
                    "Folders and URLs of object storages, separated by commas, below which the files are that tasks "
                    "may send to Venice as media. Empty for any file that the worker can read.\n"
                ),
                "version_added": None,
                "type": "string",
                "example": "/data/media, s3://aws_default@bucket/frames",
                "default": "",
            },
            "ui": {
                "description": "Whether Airflow's UI shows the clips.\n",
                "version_added": None,
                "type": "boolean",
                "example": None,
                "default": "True",
            },
            "ui_roots": {
                "description": (
                    "Folders, separated by commas, below which the clips are that the API server may show from its own "
                    "disks. Those in an object storage need none.\n"
                ),
                "version_added": None,
                "type": "string",
                "example": "/data/clips, /mnt/videos",
                "default": "",
            },
            "ui_presigned_urls": {
                "description": (
                    "Whether a browser gets a clip from its object storage itself, by a presigned URL. Where it cannot "
                    "reach that, the API server passes the clip on.\n"
                ),
                "version_added": None,
                "type": "boolean",
                "example": None,
                "default": "True",
            },
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Tell Airflow what this package provides; called through its entry point."""
    from airflow_provider_venice.hooks.form import connection_type

    return {
        "package-name": "airflow-provider-venice",
        "name": "Venice.ai",
        "description": "Video with the `Venice.ai <https://docs.venice.ai/>`__ API.",
        "versions": [__version__],
        "config": _CONFIG,
        "extra-links": ["airflow_provider_venice.links.VeniceClipLink"],
        "cli": ["airflow_provider_venice.cli.definition.get_venice_cli_commands"],
        "connection-types": [connection_type("airflow_provider_venice.hooks.venice.VeniceHook")],
    }
