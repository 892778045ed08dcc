"""What a clip costs the workers: in four tasks, in one, in a list, and in one that sleeps."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_venice.simulator import VeniceSimulator
from benchmarks.airflow import open_airflow, run_dag
from benchmarks.table import Table

#: Seconds that each clip takes, half of what is usual.
CLIP = 60.0

_NAMES = {
    "workers_chain": "quote, queue, sensor, download",
    "workers_single": "`VeniceGenerateVideoOperator`",
    "workers_list": "the same with a list of all",
    "workers_sleeping": "`@task` that sleeps and polls",
}


def run() -> list[Table]:
    """Run all DAGs, one after the other, in one Airflow."""
    table = Table(
        "Five clips in a real Airflow with LocalExecutor",
        ("Task", "Clips stored", "Worker launches per clip", "Worker seconds per clip", "CPU s of workers per clip"),
        f"Each clip takes {CLIP:.0f} s. For one that takes 120 s the sleeping task holds its worker for 60 s more, and "
        "nothing else changes. A worker is a process that runs a task; its seconds are counted every tenth of a "
        "second.",
    )
    with (
        TemporaryDirectory() as folder,
        VeniceSimulator(media="shared", balance=1000, job_seconds=CLIP) as venice,
        open_airflow(venice) as stack,
    ):
        for dag_id, name in _NAMES.items():
            output = Path(folder, dag_id)
            workers = run_dag(stack, dag_id, str(output))
            count = len(list(output.glob("*.mp4")))
            table.add(
                name,
                count,
                len(workers.seconds) / count,
                sum(workers.seconds.values()) / count,
                sum(workers.cpu.values()) / count,
            )
    return [table]
