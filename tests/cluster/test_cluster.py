"""
Clips on several machines that share no disk, while machines, broker, database and object store are lost.

After each loss: what was paid is stored once and whole, or its doubt is reported, and nothing is paid twice.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.simulator import Fault, VeniceSimulator
from tests.cluster.__main__ import BUCKET, DAG_ID, PROMPTS, connections, make_night
from tests.cluster.cluster import WORKERS, AirflowCluster
from tests.reliability.runs import CLIP_SIZE, DOUBT, MODELS
from tests.system.object_store import ObjectStore
from tests.system.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(900)]

#: ``make test-cluster`` runs these as well; the others stand for all in ``make test``.
long = pytest.mark.cluster

CLIP = "cluster_clip"

#: What a worker logs when it is given a task.
_RECEIVED = re.compile(r"execute_workload\[([0-9a-f-]{36})\] received")

#: Seconds for which an answer of the vendor is held back; the machine that waits for it is lost long before.
HELD = 240.0

SETTINGS = {
    # What is not acknowledged within this, the broker delivers a second time: all tasks that take longer.
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "25",
}


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

    def wait_until_held(self, fault: Fault, run_id: str) -> None:
        """Wait until the vendor holds its answer back."""
        self.cluster.wait_until(lambda: fault.times == 0, 120, f"the step of {run_id}\n{self.explain(run_id)}")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        simulator = stack.enter_context(VeniceSimulator(speed=10, job_seconds=100, media="shared", padding=CLIP_SIZE))
        store = stack.enter_context(ObjectStore(BUCKET))
        cluster = stack.enter_context(
            AirflowCluster([ROOT / "example_dags", ROOT / "tests" / "cluster" / "dags"], env=SETTINGS)
        )
        for connection in connections(simulator, store):
            cluster.add_connection(connection)
        cluster.wait_for_dag(CLIP, timeout=120)
        cluster.supervise()
        yield Site(cluster, simulator, store)


def test_a_night(site: Site) -> None:
    charges = len(site.simulator.journal.charges)
    run_id = make_night(site.cluster, site.store)
    assert site.cluster.wait(DAG_ID, run_id, 400) == "success", site.cluster.failures(DAG_ID, run_id)
    assert len(site.store.sizes(BUCKET, "night/")) == len(PROMPTS)
    assert len(site.simulator.journal.charges) == charges + len(PROMPTS)


@long
@pytest.mark.parametrize(
    ("step", "kind", "charges"), [("submitting", "inline", 0), ("submitted", "private", 1)], ids=str
)
def test_a_machine_lost_at_the_submission_leaves_a_doubt(site: Site, step: str, kind: str, charges: int) -> None:
    name = f"lost-{step}"
    effects = {"status": 503} if step == "submitting" else {}
    fault = site.hold(name, "queue", **effects)
    run_id = site.start(name, kind)
    site.wait_until_held(fault, run_id)
    site.lose_worker(run_id)
    site.check_doubt(name, run_id, charges)


@pytest.mark.parametrize("kind", [pytest.param("inline", marks=long), "private"])
def test_a_machine_lost_in_a_download_is_replaced_by_one_with_an_empty_disk(site: Site, kind: str) -> None:
    name = f"lost-download-{kind}"
    endpoint = "download" if kind == "private" else "retrieve"
    if kind == "inline":
        # What the triggerer is sent is an answer about finished media, too.
        site.simulator.fail(endpoint, match=f"<{name}>", truncate=CLIP_SIZE)
    site.simulator.fail(endpoint, match=f"<{name}>", truncate=CLIP_SIZE // 2)
    fault = site.hold(name, endpoint, truncate=CLIP_SIZE)
    run_id = site.start(name, kind)
    site.wait_until_held(fault, run_id)
    site.lose_worker(run_id)
    site.check(name, run_id)


def test_the_waits_of_a_triggerer_that_is_lost_go_to_the_other(site: Site) -> None:
    site.simulator.job_seconds = 600.0
    runs = site.start_some("adopted", 4, waiting=4)
    triggerers = ("triggerer-1", "triggerer-2")

    def waits(triggerer: str) -> list[str]:
        return [run_id for run_id in runs.values() if site.cluster.trigger_logs(triggerer, run_id)]

    # A trigger writes its first line at its first poll.
    site.cluster.wait_until(lambda: any(map(waits, triggerers)), 90, "a trigger to poll")
    lost, other = sorted(triggerers, key=lambda one: -len(waits(one)))
    moved = waits(lost)
    site.cluster.kill(lost)
    site.check_all(runs)
    assert set(moved) <= set(waits(other))
    site.cluster.restart(lost)
    site.simulator.job_seconds = 100.0


@long
def test_a_scheduler_that_is_lost_is_replaced(site: Site) -> None:
    site.cluster.kill("scheduler-1")
    runs = site.start_some("scheduled", 3, waiting=0)
    site.check_all(runs)
    site.cluster.restart("scheduler-1")


@long
def test_a_broker_that_comes_back_empty(site: Site) -> None:
    runs = site.start_some("broker", 4, waiting=1)
    site.cluster.kill("redis")
    time.sleep(3)
    site.cluster.start_redis()
    site.check_all(runs)


@long
def test_a_database_that_is_started_again(site: Site) -> None:
    runs = site.start_some("database", 3, waiting=1)
    site.cluster.kill("postgres")
    time.sleep(3)
    site.cluster.start_postgres()
    site.cluster.wait_until(site.cluster.authorize, 120, "the API server to be back")
    site.check_all(runs)


@long
def test_an_object_store_that_is_away(site: Site) -> None:
    runs = site.start_some("store", 3, waiting=3)
    with site.store.stopped():
        time.sleep(30)
    site.check_all(runs)


@long
def test_an_api_server_that_is_away(site: Site) -> None:
    runs = site.start_some("api", 4, waiting=1)
    site.cluster.kill("api-server-2")
    time.sleep(20)
    site.cluster.restart("api-server-2")
    site.check_all(runs)


@long
def test_a_machine_that_was_cut_off_and_comes_back(site: Site) -> None:
    name = "cut-off"
    # Before it has bought anything, which it means to do when it is back.
    fault = site.simulator.fail("models", hang=HELD)
    run_id = site.start(name)
    site.wait_until_held(fault, run_id)
    with site.cluster.frozen(site.cluster.worker_of(CLIP, run_id, "make")):
        site.check(name, run_id)
        assert site.cluster.task_instances(CLIP, run_id)[0]["try_number"] == 2, "another machine has made it"
    time.sleep(10)
    site.check(name, run_id)


@long
def test_what_is_delivered_twice_runs_once(site: Site) -> None:
    name = "twice"
    fault = site.simulator.fail("retrieve", match=f"<{name}>", truncate=CLIP_SIZE)
    slow = site.simulator.fail("retrieve", match=f"<{name}>", truncate=CLIP_SIZE, hang=70.0)
    run_id = site.start(name)
    site.wait_until_held(slow, run_id)
    assert fault.times == 0
    site.check(name, run_id)
    assert site.cluster.task_instances(CLIP, run_id)[0]["try_number"] == 1
    received = Counter(
        found
        for number in range(1, WORKERS + 1)
        for found in _RECEIVED.findall(site.cluster.component_log(f"worker-{number}", 100_000))
    )
    assert max(received.values()) > 1, "the broker has delivered a message twice"


def test_no_secret_can_be_read_anywhere(site: Site) -> None:
    """The last one: what all runs above have left."""
    tokens = [job.token for job in site.simulator.jobs if job.token]
    assert tokens
    secrets = [site.simulator.api_key, *tokens]
    read = b"".join(path.read_bytes() for path in site.cluster.stored_files())
    assert read.count(CLIP.encode()) > 10, "what is stored can be read, if it is not encrypted"
    found = [
        (path, secret)
        for path in (*site.cluster.log_files(), *site.cluster.stored_files())
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]
    assert found == []
