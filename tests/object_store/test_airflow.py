"""Clips in a real S3 server, made by a real Airflow whose connection leads there."""

from __future__ import annotations

import hashlib
import json

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.object_store import ACCESS_KEY, REGION, SECRET_KEY, ObjectStore
from tests.system.stack import AirflowStack

DAG_ID = "venice_object_store"

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_a_chain_and_a_list(
    airflow_stack: AirflowStack, stack_simulator: VeniceSimulator, object_store: ObjectStore, bucket: str
) -> None:
    airflow_stack.add_connection(
        {
            "connection_id": "aws_default",
            "conn_type": "aws",
            "login": ACCESS_KEY,
            "password": SECRET_KEY,
            "extra": json.dumps({"endpoint_url": object_store.endpoint_url, "region_name": REGION}),
        }
    )
    charges = len(stack_simulator.journal.charges)
    run_id = airflow_stack.trigger(DAG_ID, conf={"output_dir": f"s3://aws_default@{bucket}/films"})
    assert airflow_stack.wait(DAG_ID, run_id, timeout=150) == "success", airflow_stack.failures(DAG_ID, run_id, 50)

    stored = [airflow_stack.xcom(DAG_ID, run_id, "download"), *airflow_stack.xcom(DAG_ID, run_id, "generate")]
    keys = [f"films/{name}.mp4" for name in ("steps", "00", "01", "02")]
    assert [clip["path"] for clip in stored] == [f"s3://aws_default@{bucket}/{key}" for key in keys]
    assert set(object_store.sizes(bucket)) == {*keys, *(f"{key}.json" for key in keys)}
    contents = {key: object_store.read(bucket, key) for key in keys}
    for key, clip in zip(keys, stored, strict=True):
        assert hashlib.sha256(contents[key]).hexdigest() == clip["sha256"]
    assert len(stack_simulator.journal.charges) == charges + 4

    # The UI's page sends a browser there, by a URL that is good for a while.
    shown = airflow_stack.fetch(f"venice/api/clips?dag_id={DAG_ID}").json()["clips"]
    assert sorted(clip["file"]["path"] for clip in shown) == sorted(clip["path"] for clip in stored)
    for clip in shown:
        for query, kind in (("", "video/mp4"), ("&download=1", "video/mp4")):
            answer = airflow_stack.fetch(f"venice/{clip['stream']}{query}", allow_redirects=False)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith(object_store.endpoint_url)
            there = requests.get(answer.headers["Location"], timeout=60)
            assert hashlib.sha256(there.content).hexdigest() == clip["file"]["sha256"]
            assert there.headers["Content-Type"] == kind
            assert there.headers.get("Content-Disposition", "").startswith("attachment" if query else "")
    # An object that is not what its task has announced is not shown, wherever it lies.
    key = keys[0]
    object_store.client().put_object(Bucket=bucket, Key=key, Body=object_store.read(bucket, keys[1]))
    (changed,) = [clip for clip in shown if clip["file"]["path"].endswith(key)]
    assert airflow_stack.fetch(f"venice/{changed['stream']}", allow_redirects=False).status_code == 404
    object_store.client().put_object(Bucket=bucket, Key=key, Body=contents[key])
    # Without the digest beside it, the object itself is read.
    assert airflow_stack.fetch(f"venice/{changed['stream']}", allow_redirects=False).status_code == 302

    # Cleared, the tasks find their clips and pay nothing.
    airflow_stack.clear_tasks(DAG_ID, run_id, [("download", -1), ("generate", -1)])
    assert airflow_stack.wait(DAG_ID, run_id, timeout=100) == "success", airflow_stack.failures(DAG_ID, run_id, 50)
    assert airflow_stack.xcom(DAG_ID, run_id, "download")["sha256"] == stored[0]["sha256"]
    assert len(stack_simulator.journal.charges) == charges + 4
