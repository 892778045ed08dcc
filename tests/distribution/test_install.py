"""The wheel changes nothing in an Airflow that is there, and what it needs is there for every Python."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.compat.environments import CONSTRAINTS, ROOT, installed, run_uv, what_was_added
from tests.distribution.facts import WITH_AIOHTTP

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_the_wheel_changes_no_other_package(wheel: Path, tmp_path: Path) -> None:
    folder, python = tmp_path / "airflow", tmp_path / "airflow" / "bin" / "python"
    install = ("pip", "install", "--python", str(python))
    run_uv("venv", "--python", sys.executable, str(folder))
    run_uv(*install, f"apache-airflow=={version('apache-airflow')}")
    (folder / CONSTRAINTS).write_text("\n".join(installed(python)))
    run_uv(*install, "--constraint", str(folder / CONSTRAINTS), str(wheel))
    assert what_was_added(folder) <= {"airflow-provider-venice", *WITH_AIOHTTP}
    printed = subprocess.run(
        [python, "-c", "import airflow_provider_venice.operators.video as module; print(module.__file__)"],
        env={"PATH": "", "AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    assert str(folder) in printed


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_all_that_is_needed_has_wheels(python: str, tmp_path: Path) -> None:
    this_airflow = tmp_path / "constraints.txt"  # an older one might do with less
    this_airflow.write_text(f"apache-airflow=={version('apache-airflow')}")
    run_uv(
        *("pip", "compile", "--quiet", "--python-version", python, "--only-binary", ":all:"),
        *("--constraint", str(this_airflow), "--extra", "simulator", "--extra", "openlineage"),
        str(ROOT / "pyproject.toml"),
    )
