"""200 mapped clips on an Airflow of several machines, and on one: with the package, and with tasks that poll."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_venice.simulator import VeniceSimulator
from benchmarks.airflow import run_dag
from benchmarks.table import Table
from tests.cluster.__main__ import BUCKET, connections
from tests.cluster.cluster import TRIGGERERS, WORKERS, AirflowCluster
from tests.cluster.environment import cluster_python
from tests.system.object_store import ObjectStore
from tests.system.stack import AirflowStack

CLIPS = int(os.environ.get("BENCHMARK_CLIPS", "200"))

#: The simulated vendor is so many times as fast as Venice. Each clip takes so many seconds of Venice's.
SPEED, JOB_SECONDS = 10.0, 145.0

#: Tasks that run at once: on the one machine, and on all workers of the cluster together.
SLOTS = 6

#: Seconds in which so many clips can be had at best: 40 at once, 40 more whenever the minute turns, and the last one's
#: time at Venice.
FLOOR = (60.0 * ((CLIPS - 1) // 40) + JOB_SECONDS) / SPEED

_DAGS = Path(__file__).parent / "dags"

_WORKERS = tuple(f"worker-{number}" for number in range(1, WORKERS + 1))

_COLUMNS = (
    "Airflow",
    "Task",
    "Charged",
    "Stored",
    "Submissions refused",
    "Polls refused",
    "Seconds in all",
    "Times the floor",
    "Worker launches per clip",
    "Worker seconds per clip",
    "Polls per clip",
    "Mean s from finished to detected",
    "Mean s from finished to downloaded",
)

_OURS, _POLLING = "`VeniceGenerateVideoOperator`", "`@task` that polls every 5 s"


def run() -> list[Table]:
    """Run all nights, one after the other."""
    table = Table(f"{CLIPS} mapped clips under one key, into an S3 server", _COLUMNS, _NOTE)
    for queue, dags in (
        (None, {"night_ours": _OURS, "night_polling": _POLLING}),
        ("venice", {"night_one_triggerer": f"{_OURS}, all waits in one triggerer"}),
    ):
        with ObjectStore(BUCKET) as store:
            for dag_id, name in dags.items():
                with _open_venice() as venice, _open_cluster(venice, store, queue) as cluster:
                    table.add("cluster", name, *_measure(cluster, dag_id, venice, store, _WORKERS))
    with ObjectStore(BUCKET) as store:
        for dag_id, name in {"night_ours": _OURS, "night_polling": _POLLING}.items():
            with _open_venice() as venice, _open_machine(venice, store) as stack:
                table.add("one machine", name, *_measure(stack, dag_id, venice, store, ("scheduler",)))
    return [table]


def _open_venice() -> VeniceSimulator:
    return VeniceSimulator(speed=SPEED, job_seconds=JOB_SECONDS, media="shared", balance=1000)


def _environment(venice: VeniceSimulator) -> dict[str, str]:
    return {
        # As in production, where the tests wait less: an event may have to wait for the heartbeat, and a scheduler or
        # a triggerer that is only slow is not taken for lost.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
        "BENCHMARK_ACTIVE": str(2 * SLOTS),
        "BENCHMARK_CLIPS": str(CLIPS),
        "BENCHMARK_KEY": venice.api_key,
        "BENCHMARK_SPEED": str(SPEED),
        "BENCHMARK_URL": venice.base_url,
    }


@contextmanager
def _open_cluster(venice: VeniceSimulator, store: ObjectStore, queue: str | None) -> Iterator[AirflowCluster]:
    with AirflowCluster([_DAGS], env=_environment(venice), queue=queue, concurrency=SLOTS // WORKERS) as cluster:
        _connect(cluster, venice, store)
        yield cluster


@contextmanager
def _open_machine(venice: VeniceSimulator, store: ObjectStore) -> Iterator[AirflowStack]:
    env = {**_environment(venice), "AIRFLOW__CORE__PARALLELISM": str(SLOTS)}
    with AirflowStack(_DAGS, python=cluster_python(), env=env) as stack:
        _connect(stack, venice, store)
        yield stack


def _connect(stack: AirflowStack, venice: VeniceSimulator, store: ObjectStore) -> None:
    for connection in connections(venice, store):
        stack.add_connection(connection)


def _measure(
    stack: AirflowStack, dag_id: str, venice: VeniceSimulator, store: ObjectStore, executors: Sequence[str]
) -> tuple[object, ...]:
    folder = f"{type(stack).__name__}-{dag_id}"
    print(f"Running {folder} ...", flush=True)
    workers = run_dag(stack, dag_id, f"s3://aws_default@{BUCKET}/{folder}", executors)
    detected: dict[str, float] = {}
    downloaded: dict[str, float] = {}
    polls = venice.journal.polls()
    for poll in polls:
        if poll.queue_id is not None and poll.size:
            detected.setdefault(poll.queue_id, poll.time)
            if poll.bytes_delivered >= poll.size:
                downloaded.setdefault(poll.queue_id, poll.time)
    jobs = venice.jobs
    took = max(downloaded.values(), default=math.nan) - min(job.queued_at for job in jobs)
    refused = venice.journal.refusals
    return (
        len(venice.journal.charges),
        len(store.sizes(BUCKET, f"{folder}/")),
        sum(entry.endpoint == "queue" for entry in refused),
        sum(entry.endpoint == "retrieve" for entry in refused),
        took,
        f"{took / FLOOR:.1f}",
        len(workers.seconds) / CLIPS,
        sum(workers.seconds.values()) / CLIPS,
        sum(not poll.refused for poll in polls) / CLIPS,
        *(
            statistics.fmean(found[job.queue_id] - job.ready_at for job in jobs if job.queue_id in found)
            for found in (detected, downloaded)
        ),
    )


_NOTE = (
    f"The simulator is {SPEED:.0f} times as fast as Venice: a clip takes {JOB_SECONDS / SPEED:.1f} s, and 40 "
    f"submissions and 120 polls are allowed in {60 / SPEED:.0f} s. All seconds are those of this machine. The floor is "
    f"{FLOOR:.1f} s: 40 submissions at once, 40 more whenever the rate limit turns, and the time of the last clip. The "
    f"*cluster* has Celery with {WORKERS} workers, {TRIGGERERS} triggerers, two schedulers, two API servers, "
    "PostgreSQL and Redis; the *one machine* has LocalExecutor and SQLite. In both, "
    f"{SLOTS} tasks may run at once, and {2 * SLOTS} may run or be queued; both run on the same processors, with the "
    "S3 server and the simulator. What polls calls the API with `requests`, and waits in its worker for the end of a "
    "refusal. A worker is a process that runs a task; its seconds are counted every tenth of a second."
)
