"""All waits for a key in one triggerer, by the queue of their tasks (Airflow 3.2)."""

from __future__ import annotations

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.cluster.__main__ import BUCKET, connections
from tests.cluster.cluster import AirflowCluster
from tests.system.object_store import ObjectStore
from tests.system.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.cluster, pytest.mark.timeout(600)]

DAG_ID = "venice_one_pace"

PROMPTS = [f"clip {number} of one key" for number in range(8)]


def test_one_triggerer_has_all_waits_of_a_queue() -> None:
    with (
        VeniceSimulator(speed=10, job_seconds=150, media="shared") as simulator,
        ObjectStore(BUCKET) as store,
        AirflowCluster([ROOT / "example_dags"], queue="venice") as cluster,
    ):
        for connection in connections(simulator, store):
            cluster.add_connection(connection)
        cluster.wait_for_dag(DAG_ID, timeout=120)
        run_id = cluster.trigger(DAG_ID, conf={"prompts": PROMPTS, "output_dir": f"s3://aws_default@{BUCKET}"})
        assert cluster.wait(DAG_ID, run_id, 300) == "success", cluster.failures(DAG_ID, run_id)
        assert len(store.sizes(BUCKET, run_id)) == len(simulator.journal.charges) == len(PROMPTS)
        assert len(cluster.trigger_logs("triggerer-1", run_id)) >= len(PROMPTS)
        assert not cluster.trigger_logs("triggerer-2", run_id)
