"""The sdist and the wheel, built as for a release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.compat.environments import ROOT, run_uv


def copy_sources(target: Path) -> Path:
    """Copy what is in the repository, without what .gitignore names."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [Path(line).name for line in lines if line and not line.startswith("#")]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".git", *ignored))
    return target


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository."""
    return copy_sources(tmp_path_factory.mktemp("sources") / "repository")


@pytest.fixture(scope="module")
def artefacts(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("artefacts")
    run_uv("build", "--quiet", "--out-dir", str(folder), str(sources))
    return folder


@pytest.fixture(scope="module")
def sdist(artefacts: Path) -> Path:
    """The sdist."""
    (file,) = artefacts.glob("*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(artefacts: Path) -> Path:
    """The wheel."""
    (file,) = artefacts.glob("*.whl")
    return file
