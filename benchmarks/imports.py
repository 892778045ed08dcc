"""What a DAG file pays for importing operators, ours and those of other providers, and what an image pays for them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Table
from tests.compat.environments import ROOT, find_uv

#: What a DAG file would import of each.
MODULES = {
    "airflow-provider-venice": ("airflow_provider_venice.operators.video", "airflow_provider_venice.sensors.video"),
    "apache-airflow-providers-http": ("airflow.providers.http.operators.http", "airflow.providers.http.sensors.http"),
    "apache-airflow-providers-openai": ("airflow.providers.openai.operators.openai",),
    "apache-airflow-providers-databricks": (
        "airflow.providers.databricks.operators.databricks",
        "airflow.providers.databricks.sensors.databricks",
    ),
}

ROUNDS = 9

#: Imports what every DAG file has imported, then the rest, and tells what that took.
_MEASURE = """
import importlib, json, sys, time
from airflow.sdk import DAG
known, started = len(sys.modules), time.perf_counter()
for module in sys.argv[1:]:
    importlib.import_module(module)
print(json.dumps([time.perf_counter() - started, len(sys.modules) - known]))
"""


def _environment(folder: Path) -> Path:
    """Make an environment with all of them and this Airflow, and return its Python."""
    python = folder / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")}
    packages = [f"apache-airflow=={version('apache-airflow')}", *list(MODULES)[1:], str(ROOT)]
    # uv would take the package as it built it the last time, unless it is told to look again.
    options = ["--compile-bytecode", "--refresh-package", next(iter(MODULES))]
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), *options, *packages],
    ):
        subprocess.run([find_uv(), *command], check=True, capture_output=True, env=env, timeout=600)
    return python


def _wheels(folder: Path, versions: dict[str, str]) -> Table:
    """Compare the wheels."""
    table = Table(
        "The wheel",
        ("Provider", "Version", "KiB", "Files", "KiB unpacked"),
        "Without what each depends on. Ours has the simulator and the pages in Airflow's UI in it.",
    )
    ours, *others = versions
    subprocess.run([find_uv(), "build", "--wheel", "--out-dir", folder, ROOT], check=True, capture_output=True)
    pinned = [f"{name}=={versions[name]}" for name in others]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*download, "--dest", folder, *pinned], check=True)
    for name in (ours, *others):
        (wheel,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        table.add(f"`{name}`", versions[name], wheel.stat().st_size / 1024, len(sizes), sum(sizes) / 1024)
    return table


def run() -> list[Table]:
    """Import each in turn, each time in an interpreter of its own, and weigh the wheels."""
    table = Table(
        "Import of the operators and sensors, on top of `from airflow.sdk import DAG`",
        ("Provider", "Version", "Median ms", "Times ours", "Modules loaded"),
        f"Medians of {ROUNDS} interpreters each, in turn, in one environment with compiled bytecode.",
    )
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in MODULES}
    versions: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        python = _environment(Path(folder, "venv"))
        env = {**os.environ, "AIRFLOW_HOME": folder}
        for _ in range(ROUNDS + 1):
            for name, modules in MODULES.items():
                command = [str(python), "-c", _MEASURE, *modules]
                answer = subprocess.run(command, check=True, capture_output=True, text=True, env=env, cwd=folder)
                seconds, count = json.loads(answer.stdout.splitlines()[-1])
                found[name].append((seconds, count))
        for name in MODULES:
            ask = [str(python), "-c", "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"]
            answer = subprocess.run([*ask, name], check=True, capture_output=True, text=True)
            versions[name] = answer.stdout.strip()
        wheels = _wheels(Path(folder, "wheels"), versions)
    # The first round fills the caches.
    medians = {name: 1000 * statistics.median(seconds for seconds, _ in times[1:]) for name, times in found.items()}
    ours = medians[next(iter(MODULES))]
    for name, median in medians.items():
        table.add(f"`{name}`", versions[name], median, f"{median / ours:.1f}", found[name][-1][1])
    return [table, wheels]
