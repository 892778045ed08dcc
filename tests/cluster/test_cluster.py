"""
Clips on several machines that share no disk, while machines, broker, database and object store are lost.

After each loss: what was paid is stored once and whole, or its doubt is reported, and nothing is paid twice.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster.__main__ import BUCKET, DAG_ID, PROMPTS, make_night
from tests.cluster.cluster import WORKERS
from tests.cluster.site import CLIP, HELD, Site, open_site
from tests.reliability.runs import CLIP_SIZE

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(900)]

#: ``make test-cluster`` runs these as well; the others stand for all in ``make test``.
long = pytest.mark.cluster

#: What a worker logs when it is given a task.
_RECEIVED = re.compile(r"execute_workload\[([0-9a-f-]{36})\] received")

SETTINGS = {
    # What is not acknowledged within this, the broker delivers a second time: all tasks that take longer.
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "25",
}

#: Seconds for which a server is away.
OUTAGE = 60.0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_site(SETTINGS) as site:
        yield site


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
        time.sleep(OUTAGE)
    site.check_all(runs)


@long
def test_an_api_server_that_is_away(site: Site) -> None:
    runs = site.start_some("api", 4, waiting=1)
    site.cluster.kill("api-server-2")
    time.sleep(OUTAGE)
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
    site.check_secrets()
