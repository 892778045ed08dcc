"""Who may know whom, and what a DAG file costs the dag-processor to import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_provider_venice"

#: What does input and output, reads a clock, sleeps, or is Airflow: nothing for the protocol.
IMPURE = {
    *("aiohttp", "airflow", "asyncio", "http", "httpx", "requests", "select", "selectors", "signal", "socket"),
    *("sqlite3", "subprocess", "tempfile", "tenacity", "threading", "time", "urllib3"),
}

#: And what of the rest would do so by itself.
IMPURE_NAMES = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "urllib.request"}


def impurities(source: str) -> Iterator[str]:
    """Name what a module imports or calls that the protocol may not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [".".join(ast.unparse(node).split(".")[-2:])]
            yield from (name for name in names if name in IMPURE_NAMES)
            continue
        else:
            continue
        for name in names:
            if name.split(".")[0] in IMPURE or any(f"{name}.".startswith(f"{bad}.") for bad in IMPURE_NAMES):
                yield name


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import airflow.sdk",
        "from asyncio import sleep",
        "def f():\n    import requests",
        "from urllib.request import urlopen",
        "import urllib.request",
        "import datetime\nx = datetime.datetime.now()",
    ],
)
def test_impurities_are_found(source: str) -> None:
    assert list(impurities(source))


def test_the_protocol_is_pure() -> None:
    modules = sorted((PACKAGE / "api").rglob("*.py"))
    assert modules
    found = {str(m.relative_to(ROOT)): names for m in modules if (names := list(impurities(m.read_text())))}
    assert not found


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_imports_point_down() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("api/model.py", "import airflow_provider_venice.transport.blocking"),
        ("exceptions.py", "import airflow_provider_venice.api.model"),
        ("transport/blocking.py", "import airflow_provider_venice.hooks.venice"),
        ("hooks/venice.py", "import airflow_provider_venice.triggers.video"),
        ("sensors/video.py", "import airflow_provider_venice.operators.video"),
        ("generation/run.py", "import airflow_provider_venice.operators.video"),
        ("triggers/video.py", "import airflow_provider_venice.generation.ledger"),
        ("plugin/records.py", "import airflow_provider_venice.cli.console"),
        ("operators/video.py", "import airflow_provider_venice.simulator"),
        ("simulator/journal.py", "import airflow_provider_venice.storage"),
        ("simulator/validation.py", "import airflow_provider_venice.api.request"),
        ("api/model.py", "import airflow"),
        ("simulator/journal.py", "import airflow"),
    ],
)
def test_an_import_that_points_up_is_refused(tmp_path: Path, module: str, line: str) -> None:
    for source in PACKAGE.rglob("*.py"):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / "airflow_provider_venice" / module).open("a") as changed:
        changed.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert " broken" in result.stdout


def imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh Python has loaded after a statement."""
    result = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules: list[str] = json.loads(result.stdout.splitlines()[-1])
    return set(modules)


#: What a process that only reads definitions does without.
HEAVY = (
    "aiohttp",
    "requests",
    "urllib3",
    "tenacity",
    "av",
    "PIL",
    "sqlalchemy",
    "airflow.models",
    "airflow.triggers",
)


def heavy_imports(statement: str, base: str) -> set[str]:
    """Return which heavy modules a statement loads that ``base``, which comes before it, has not loaded."""
    loaded = imported_by(f"{base}\n{statement}") - imported_by(base)
    return {name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in HEAVY)}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["operators.video", "sensors.video"])
def test_a_dag_file_pays_for_no_http_client(module: str) -> None:
    base = "from airflow.sdk import DAG, BaseOperator, BaseSensorOperator"
    assert not heavy_imports(f"import airflow_provider_venice.{module}", base)


@pytest.mark.slow
def test_a_command_of_airflow_pays_for_none_of_ours() -> None:
    base = "import airflow.cli.cli_config"
    statement = "from airflow_provider_venice.cli.definition import get_venice_cli_commands as g; g()"
    assert not heavy_imports(statement, base)
    loaded = imported_by(f"{base}\n{statement}") - imported_by(base)
    assert {name for name in loaded if name.startswith("airflow_provider_venice")} == {
        "airflow_provider_venice.cli",
        "airflow_provider_venice.cli.definition",
        "airflow_provider_venice.simulator",
        "airflow_provider_venice.simulator.options",
        "airflow_provider_venice.simulator.settings",
    }


def test_provider_info_imports_nothing_heavy() -> None:
    loaded = imported_by("from airflow_provider_venice.get_provider_info import get_provider_info as g; g()")
    assert not {name.split(".")[0] for name in loaded} & {"airflow", "aiohttp", "requests", "tenacity", "av", "PIL"}
