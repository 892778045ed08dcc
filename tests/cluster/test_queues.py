"""All waits for a key in one triggerer, by the queue of their tasks (Airflow 3.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.cluster.__main__ import BUCKET, connections
from tests.cluster.cluster import AirflowCluster
from tests.cluster.dags.one_key import CLIPS
from tests.system.object_store import ObjectStore
from tests.system.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.cluster, pytest.mark.timeout(600)]

DAG_ID = "one_key"


def trigger_logs(cluster: AirflowCluster, name: str) -> list[Path]:
    """Return what the triggers of the DAG have logged on a machine."""
    folder = cluster.folder_of(name) / "airflow" / "logs" / f"dag_id={DAG_ID}"
    return [path for path in folder.rglob("*.trigger.*") if path.stat().st_size]


def test_one_triggerer_has_all_waits_of_a_queue() -> None:
    with (
        VeniceSimulator(speed=10, job_seconds=150, media="shared") as simulator,
        ObjectStore(BUCKET) as store,
        AirflowCluster([ROOT / "tests" / "cluster" / "dags"], queue="venice") as cluster,
    ):
        for connection in connections(simulator, store):
            cluster.add_connection(connection)
        cluster.wait_for_dag(DAG_ID, timeout=120)
        run_id = cluster.trigger(DAG_ID)
        assert cluster.wait(DAG_ID, run_id, 300) == "success", cluster.failures(DAG_ID, run_id)
        assert len(store.sizes(BUCKET, run_id)) == len(simulator.journal.charges) == CLIPS
        assert len(trigger_logs(cluster, "triggerer-1")) >= CLIPS
        assert not trigger_logs(cluster, "triggerer-2")
