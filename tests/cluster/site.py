"""A cluster with the vendor and the object store that it works with, and what a test asks of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.simulator import Fault, VeniceSimulator
from tests.cluster.__main__ import BUCKET, connections
from tests.cluster.cluster import WORKERS, AirflowCluster
from tests.reliability.runs import CLIP_SIZE, DOUBT, MODELS
from tests.system.object_store import ObjectStore
from tests.system.stack import ROOT

CLIP = "cluster_clip"

#: Seconds for which an answer of the vendor is held back; the machine that waits for it is lost long before.
HELD = 240.0


@dataclass
class Site:
    """
    A cluster, and what it works with.

    :param cluster: its machines.
    :param simulator: the vendor.
    :param store: the object store.
    """

    cluster: AirflowCluster
    simulator: VeniceSimulator
    store: ObjectStore

    def start(self, name: str, kind: str = "inline") -> str:
        """Start a run that makes one clip, and return its id."""
        conf = {"prompt": f"a clip of <{name}>", "model": MODELS[kind]}
        return self.cluster.trigger(CLIP, conf=conf)

    def hold(self, name: str, endpoint: str, **effects: Any) -> Fault:
        """Have the vendor act and hold its answer back, when it is asked for this run's clip."""
        return self.simulator.fail(endpoint, match=f"<{name}>", hang=HELD, **effects)

    def is_waiting(self, run_id: str) -> bool:
        """Whether the task of a run waits in a triggerer."""
        return self.cluster.task_states(CLIP, run_id).get("make") == "deferred"

    def charges(self, name: str) -> int:
        """Return how often a clip of this name was paid for."""
        jobs = {job.queue_id for job in self.simulator.jobs if f"<{name}>" in job.prompt}
        return sum(entry.queue_id in jobs for entry in self.simulator.journal.charges)

    def check(self, name: str, run_id: str, timeout: float = 300) -> None:
        """Check that a run has ended well: paid once, stored once, whole, and what was announced."""
        assert self.cluster.wait(CLIP, run_id, timeout) == "success", self.explain(run_id)
        assert self.charges(name) == 1
        stored = self.cluster.xcom(CLIP, run_id, "make")
        content = self.store.read(BUCKET, f"{CLIP}/{run_id}.mp4")
        assert hashlib.sha256(content).hexdigest() == stored["sha256"]
        read_metadata(io.BytesIO(content), expected_size=stored["size"])

    def check_doubt(self, name: str, run_id: str, charges: int) -> None:
        """Check that a run has stopped in doubt, and says so."""
        assert self.cluster.wait(CLIP, run_id, 300) == "failed", self.explain(run_id)
        assert self.charges(name) == charges
        assert f"{CLIP}/{run_id}.mp4" not in self.store.sizes(BUCKET)
        assert DOUBT in self.cluster.task_logs(CLIP, run_id)

    def explain(self, run_id: str) -> str:
        """Return what may show why a run has not ended as it should."""
        return f"{self.cluster.task_logs(CLIP, run_id)[-6000:]}\n{self.cluster.diagnose()}"

    def start_some(self, prefix: str, count: int, waiting: int) -> dict[str, str]:
        """Start some runs, wait until so many of them wait in a triggerer, and return their ids by name."""
        runs = {f"{prefix}-{number}": self.start(f"{prefix}-{number}") for number in range(count)}
        self.cluster.wait_until(
            lambda: sum(map(self.is_waiting, runs.values())) >= waiting, 120, f"{waiting} of {count} to wait"
        )
        return runs

    def check_all(self, runs: dict[str, str]) -> None:
        """Check that all these runs have ended well."""
        for name, run_id in runs.items():
            self.check(name, run_id)

    def lose_worker(self, run_id: str) -> str:
        """Kill the machine that runs the task of a run, with its disk; another one starts in its place."""
        name = self.cluster.worker_of(CLIP, run_id, "make")
        self.cluster.kill(name)
        self.cluster.lose_disk(name)
        self.cluster.restart(name)
        return name

    def lose_workers(self) -> None:
        """Kill all machines that run tasks, with their disks; others start in their places."""
        names = [f"worker-{number}" for number in range(1, WORKERS + 1)]
        for name in names:
            self.cluster.kill(name)
        for name in names:
            self.cluster.lose_disk(name)
            self.cluster.restart(name)

    def wait_until_held(self, fault: Fault, run_id: str) -> None:
        """Wait until the vendor holds its answer back."""
        self.cluster.wait_until(lambda: fault.times == 0, 120, f"the step of {run_id}\n{self.explain(run_id)}")

    def check_secrets(self) -> None:
        """Check that neither the key nor a private link can be read in what the runs so far have left."""
        tokens = [job.token for job in self.simulator.jobs if job.token]
        assert tokens
        secrets = [self.simulator.api_key, *tokens]
        read = b"".join(path.read_bytes() for path in self.cluster.stored_files())
        assert read.count(b"cluster_") > 10, "what is stored can be read, if it is not encrypted"
        found = [
            (path, secret)
            for path in (*self.cluster.log_files(), *self.cluster.stored_files())
            for secret in secrets
            if secret.encode() in path.read_bytes()
        ]
        assert found == []


@contextmanager
def open_site(settings: Mapping[str, str], *dags: Path) -> Iterator[Site]:
    """
    Start all of it. What ends by itself is started again.

    :param settings: more environment of the cluster's components.
    :param dags: more folders of DAG files.
    """
    folders = [ROOT / "example_dags", ROOT / "tests" / "cluster" / "dags", *dags]
    with (
        VeniceSimulator(speed=10, job_seconds=100, media="shared", padding=CLIP_SIZE, balance=1000) as simulator,
        ObjectStore(BUCKET) as store,
        AirflowCluster(folders, env=settings) as cluster,
    ):
        for connection in connections(simulator, store):
            cluster.add_connection(connection)
        cluster.wait_for_dag(CLIP, timeout=120)
        cluster.supervise()
        yield Site(cluster, simulator, store)
