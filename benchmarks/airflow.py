"""A real Airflow with the benchmarks' DAGs, and what its workers cost."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.stack import ROOT, AirflowStack

#: Seconds between two looks at the processes.
_SAMPLED_EVERY = 0.1

#: Tasks that may run at the same time.
PARALLELISM = 16


@dataclass
class Workers:
    """
    What the workers of a stack cost while the ``with`` block runs: each task that is started is a process.

    :param stack: an Airflow.
    :param executors: its components whose children run tasks: the scheduler with LocalExecutor, or Celery's workers.
    :param seconds: for how long each has lived, by its process.
    :param cpu: seconds of processor time of each.
    """

    stack: AirflowStack
    executors: Sequence[str] = ("scheduler",)
    seconds: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Workers:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        executors = {self.stack.pid(name) for name in self.executors}
        # What is left of a run before: a worker's slot is free a few seconds after its task has ended.
        others = {process.pid for process in _tasks(executors)}
        before = time.monotonic()
        while not self._over.wait(_SAMPLED_EVERY):
            now = time.monotonic()
            for process in _tasks(executors):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.pid in others:
                        continue
                    self.seconds[process.pid] = self.seconds.get(process.pid, 0.0) + now - before
                    times = process.cpu_times()
                    self.cpu[process.pid] = times.user + times.system
            before = now


def _tasks(executors: set[int]) -> list[psutil.Process]:
    """Return the processes that run tasks: the children of those that the executors' processes have started."""
    # All processes are read once: asking each for its children would read them all each time.
    processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
    slots = {pid for pid, process in processes.items() if process.info["ppid"] in executors}
    return [process for process in processes.values() if process.info["ppid"] in slots]


@contextlib.contextmanager
def open_airflow(simulator: VeniceSimulator) -> Iterator[AirflowStack]:
    """Start an Airflow that talks to a simulator."""
    connection = {"conn_type": "venice", "host": simulator.base_url, "password": simulator.api_key}
    stack = AirflowStack(
        Path(__file__).parent / "dags",
        env={
            "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
            # As in production: an event may have to wait for it.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
            "BENCHMARK_URL": simulator.base_url,
            "BENCHMARK_KEY": simulator.api_key,
            "PYTHONPATH": str(ROOT),
        },
        connections={"venice_default": json.dumps(connection)},
    )
    with stack:
        yield stack


def run_dag(
    stack: AirflowStack, dag_id: str, output_dir: str = "", executors: Sequence[str] = ("scheduler",)
) -> Workers:
    """Run a DAG to its end, and return what its workers have cost."""
    stack.wait_for_dag(dag_id)
    with Workers(stack, executors) as workers:
        run_id = stack.trigger(dag_id, conf={"output_dir": output_dir})
        state = stack.wait(dag_id, run_id, timeout=1800)
    assert state == "success", stack.failures(dag_id, run_id)
    return workers
