"""
Prints what the Airflow of the Python that runs this knows of the provider. It imports nothing of the tests.

Airflow compares the provider info with its own schema, and raises where it does not fit.
"""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

from airflow import plugins_manager
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf

#: What ``airflow providers`` is asked; each answers as JSON.
COMMANDS = ("list", "get airflow-provider-venice --full", "hooks", "links", "triggers", "configs", "widgets")


def ask(command: str) -> Any:
    """Return what a command of Airflow prints."""
    arguments = get_parser().parse_args([*command.split(), "--output", "json"])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        arguments.func(arguments)
    return json.loads(printed.getvalue())


def import_errors() -> dict[str, str]:
    """Return the plugins that could not be loaded, and why."""
    errors = getattr(plugins_manager, "import_errors", None)  # Airflow 3.0 and 3.1
    return plugins_manager.get_import_errors() if errors is None else errors


if __name__ == "__main__":
    known = {command.split()[0]: ask(f"providers {command}") for command in COMMANDS}
    known["plugins"] = ask("plugins")
    known["import_errors"] = import_errors()
    known["ui_presigned_urls"] = conf.get("venice", "ui_presigned_urls")
    print(json.dumps(known))
