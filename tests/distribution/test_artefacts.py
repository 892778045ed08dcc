"""The sdist and the wheel: what is in them, and that anybody who builds them gets the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import airflow_provider_venice as package
from tests.compat.environments import run_uv
from tests.distribution.conftest import copy_sources

pytestmark = pytest.mark.slow

DIST_INFO = f"airflow_provider_venice-{package.__version__}.dist-info"


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_has_the_package_and_nothing_else(sources: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    expected = {f"airflow_provider_venice/{name}" for name in files_below(sources / "airflow_provider_venice")}
    assert names == expected | {f"{DIST_INFO}/{name}" for name in metadata}
    assert {"airflow_provider_venice/py.typed", "airflow_provider_venice/plugin/pages/assets/logo.svg"} <= names
    assert {Path(name).suffix for name in expected} == {".css", ".html", ".js", ".json", ".py", ".svg", ".typed"}


def test_the_sdist_has_the_repository_and_nothing_else(sources: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert names == files_below(sources) | {"PKG-INFO"}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", "tests/conftest.py", "docs/conf.py"} <= names


def test_another_folder_time_and_umask_give_the_same_bytes(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    elsewhere = copy_sources(tmp_path / "another" / "folder")
    for path in [elsewhere, *elsewhere.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    # Both from the tree here; the wheel of the fixture is built from the sdist.
    run_uv("build", "--quiet", "--sdist", "--wheel", "--out-dir", str(tmp_path / "built"), str(elsewhere))
    for file in (sdist, wheel):
        assert (tmp_path / "built" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("command", ["twine check --strict", "check_wheel_contents --no-config"])
def test_the_checkers_find_nothing(command: str, sdist: Path, wheel: Path) -> None:
    files = (sdist, wheel) if command.startswith("twine") else (wheel,)
    result = subprocess.run(
        [sys.executable, "-m", *command.split(), *files], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
