"""What every supported Airflow knows of the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.compat.environments import ROOT

PACKAGE = "airflow-provider-venice"

#: What may come along with the package into an Airflow without any provider that has it already.
WITH_AIOHTTP = (
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "async-timeout",
    "attrs",
    "frozenlist",
    "multidict",
    "propcache",
    "yarl",
)


def known_to_airflow(folder: Path, python: Path | str = sys.executable) -> dict[str, Any]:
    """
    Return what an Airflow knows, one that loads all providers at its start: plugins of the provider info, too.

    :param folder: an empty one.
    :param python: the interpreter whose Airflow is asked.
    """
    result = subprocess.run(
        [python, ROOT / "tests" / "distribution" / "known.py"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS": "False",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    known: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return known


def check_what_is_known(known: dict[str, Any]) -> None:
    """Compare what an Airflow knows with what this package is to be known by."""
    (listed,) = (row for row in known["list"] if row["package_name"] == PACKAGE)
    assert listed["description"] == "Make video with the Venice.ai API https://docs.venice.ai/"
    (hook,) = (row for row in known["hooks"] if row["connection_type"] == "venice")
    assert hook["class"] == "airflow_provider_venice.hooks.venice.VeniceHook"
    assert hook["hook_name"] == "Venice.ai"
    assert {"extra_link_class_name": "airflow_provider_venice.links.VeniceClipLink"} in known["links"]
    assert len([row for row in known["triggers"] if row["package_name"] == PACKAGE]) == 3
    assert PACKAGE in [row["provider_config"][0] for row in known["configs"]]
    assert known["get"][0]["name"] == "Venice.ai"
    assert known["ui_presigned_urls"] == "True"
    assert [row["name"] for row in known["plugins"]].count("venice") == 1
    assert {source: text for source, text in known["import_errors"].items() if "venice" in f"{source}{text}"} == {}
