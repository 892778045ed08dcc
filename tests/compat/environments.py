"""An environment for each older Airflow, made once with uv and kept beside ``.venv``."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Release:
    """
    An Airflow that is supported but not the newest.

    :param minor: such as ``3.0``.
    :param version: the patch release to test with.
    :param resolved: the day whose packages fit it; later ones break it at start.
    :param python_below: the first Python that is too new for it.
    :param extra: more packages that it is usually installed with.
    """

    minor: str
    version: str
    resolved: str
    python_below: tuple[int, int]
    extra: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its environment is kept."""
        return ROOT / f".venv-{self.minor}"


RELEASES = [
    # Only with the FAB provider, as in its images, does 3.0 show any provider's own connection form.
    Release("3.0", "3.0.6", "2025-09-10", (3, 13), extra=("apache-airflow-providers-fab",)),
    Release("3.1", "3.1.8", "2026-03-20", (3, 14)),
    Release("3.2", "3.2.2", "2026-06-20", (3, 14)),
]

#: What an environment had before the last install, which must not change it: as with Airflow's own constraints.
CONSTRAINTS = "constraints.txt"

#: Older ones are not taken here: not every client of tests/clients runs on them.
OLDEST_PYTHON = (3, 11)


def _version(python: str) -> tuple[int, int] | None:
    try:
        result = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        major, minor = map(int, result.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return major, minor


def _candidates() -> Iterator[str]:
    yield sys.executable
    for minor in (12, 11):
        yield f"python3.{minor}"
        yield from sorted(glob.glob(str(Path.home() / f".pyenv/versions/3.{minor}.*/bin/python")))


def find_python(wanted_by: str, below: tuple[int, int]) -> str:
    """
    Return an interpreter of this machine from 3.11 to below ``below``, this one if it will do.

    :param wanted_by: what needs it, for the message.
    :raises RuntimeError: when there is none.
    """
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and OLDEST_PYTHON <= version < below:
            return candidate
    newest = ".".join(map(str, below))
    raise RuntimeError(
        f"{wanted_by} needs a Python from 3.11 to below {newest}, and this machine has none on its "
        "PATH or in ~/.pyenv/versions; install one (its environment is then made by itself)"
    )


def find_uv() -> str:
    """Return the path of uv."""
    beside = Path(sysconfig.get_path("scripts")) / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is not installed beside this Python; run the tests with `make test`")
    return uv


def run_uv(*arguments: str) -> str:
    """
    Run uv, which fetches no Python here, and return what it printed.

    :raises RuntimeError: when it fails, with what it printed.
    """
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")}
    result = subprocess.run(
        [find_uv(), *arguments],
        cwd=ROOT,
        env={**env, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if result.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def make_environment(folder: Path, base: str, wanted: str, *installs: Sequence[str]) -> Path:
    """
    Return the Python of an environment; makes it if it is missing or differs from what is wanted.

    :param folder: where it is kept.
    :param base: the interpreter that it is made of.
    :param wanted: what it is to have, to notice a change.
    :param installs: the arguments of each ``uv pip install``; what the ones before have installed stays as it is.
    """
    python, stamp, constraints = folder / "bin" / "python", folder / ".installed", folder / CONSTRAINTS
    if not stamp.exists() or stamp.read_text() != wanted:
        run_uv("venv", "--clear", "--python", base, str(folder))
        for arguments in installs:
            constraints.write_text("\n".join(installed(python)))
            install = ("pip", "install", "--python", str(python), "--constraint", str(constraints))
            run_uv(*install, "--compile-bytecode", *arguments)
        stamp.write_text(wanted)
    return python


def installed(python: Path) -> list[str]:
    """Return what an environment has, each with its version."""
    return run_uv("pip", "list", "--format", "freeze", "--python", str(python)).splitlines()


def what_was_added(folder: Path) -> set[str]:
    """
    Return the names of what the last install has added to an environment.

    :raises AssertionError: when it has changed something that was there, or something does not fit together.
    """
    before, after = set((folder / CONSTRAINTS).read_text().splitlines()), set(installed(folder / "bin" / "python"))
    assert before <= after, f"changed: {sorted(before - after)}"
    run_uv("pip", "check", "--python", str(folder / "bin" / "python"))
    return {line.split("==")[0] for line in after - before}


def project_digest() -> str:
    """Return what changes when the project's own requirements do."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def environment(release: Release) -> Path:
    """
    Return the Python of the release's environment; makes it if it is missing or differs from what is wanted.

    The package is installed as the documentation says: into an Airflow that is there, under constraints.
    """
    base = find_python(f"Airflow {release.version}", release.python_below)
    airflow = (f"apache-airflow=={release.version}", "statsd", *release.extra)
    return make_environment(
        release.folder,
        base,
        f"{release} {airflow} {_version(base)} {project_digest()}",
        ("--exclude-newer", release.resolved, *airflow),
        ("--exclude-newer", release.resolved, "--editable", "."),
    )
