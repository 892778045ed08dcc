"""``make cluster``: the nightly batch on an Airflow of several machines, against the simulator and a real S3 server."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter

from airflow_provider_venice.simulator import VeniceSimulator
from tests.cluster.cluster import AirflowCluster
from tests.system.command import run_command
from tests.system.object_store import ACCESS_KEY, REGION, SECRET_KEY, ObjectStore
from tests.system.rest import StackError
from tests.system.stack import ROOT

DAG_ID, BUCKET = "venice_nightly_batch", "clips"

#: The simulated vendor runs so many times as fast as the real one, for jobs of two minutes.
SPEED, JOB_SECONDS = 10.0, 120.0

#: Seconds that the night may take.
PATIENCE = 900.0

PROMPTS = (
    "A heron takes off from a misty lake",
    "Steam rises from a copper espresso machine",
    "A paper boat drifts down a rain-soaked street",
    "Fog rolls over terraced tea fields",
    "A lighthouse beam sweeps across heavy surf",
    "Hands shape a bowl on a turning wheel",
)


def connections(simulator: VeniceSimulator, store: ObjectStore) -> list[dict[str, str]]:
    """Return the connections of the cluster, as a user adds them in the UI."""
    extra = json.dumps({"endpoint_url": store.endpoint_url, "region_name": REGION})
    venice = {"conn_type": "venice", "host": simulator.base_url, "password": simulator.api_key}
    aws = {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY, "extra": extra}
    return [{"connection_id": "venice_default", **venice}, {"connection_id": "aws_default", **aws}]


def make_night(cluster: AirflowCluster, store: ObjectStore, name: str = "night") -> str:
    """Put the table of prompts into the bucket, start the nightly batch, and return the DAG run's id."""
    table = "prompt,duration\n" + "".join(f'"{prompt}",5s\n' for prompt in PROMPTS)
    store.write(BUCKET, f"{name}.csv", table.encode())
    cluster.wait_for_dag(DAG_ID, timeout=180)
    place = f"s3://aws_default@{BUCKET}"
    return cluster.trigger(DAG_ID, conf={"prompts": f"{place}/{name}.csv", "output_dir": f"{place}/{name}"})


def follow(cluster: AirflowCluster, run_id: str) -> str:
    """Print how the run goes until it ends, and return its state."""
    started, last = time.monotonic(), ""
    while (state := cluster.state(DAG_ID, run_id)) not in ("success", "failed"):
        cluster.check()
        counts = Counter(state or "-" for state in cluster.task_states(DAG_ID, run_id).values())
        if (line := ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))) != last:
            print(f"  {time.monotonic() - started:4.0f} s  {line}", flush=True)
            last = line
        if time.monotonic() - started > PATIENCE:
            raise StackError(f"the run took longer than {PATIENCE:.0f} s\n{cluster.diagnose()}")
        time.sleep(1)
    return state


def run(keep: bool) -> None:
    """
    Start everything, run the nightly batch, and end everything.

    :param keep: whether to leave it running until Ctrl-C.
    """
    started = time.monotonic()
    print("Starting PostgreSQL, Redis, an S3 server and an Airflow of ten components ...", flush=True)
    with (
        VeniceSimulator(speed=SPEED, job_seconds=JOB_SECONDS) as simulator,
        ObjectStore(BUCKET, lifetime=None) as store,
        AirflowCluster([ROOT / "example_dags"], lifetime=None) as cluster,
    ):
        for connection in connections(simulator, store):
            cluster.add_connection(connection)
        print(f"It is up after {time.monotonic() - started:.0f} s: {', '.join(cluster.components)}.", flush=True)
        print(f"Running the DAG {DAG_ID} with {len(PROMPTS)} prompts:", flush=True)
        run_id = make_night(cluster, store)
        if follow(cluster, run_id) != "success":
            raise StackError(cluster.failures(DAG_ID, run_id))
        clips = store.sizes(BUCKET, "night/")
        workers = Counter(
            cluster.worker_of_log(path) for path in cluster.log_files() if "task_id=clip.download" in path.as_posix()
        )
        print(f"\n{len(clips)} clips, each charged once: {len(simulator.journal.charges)} charges.")
        for key, size in clips.items():
            print(f"  s3://{BUCKET}/{key}  {size / 1e6:.2f} MB")
        print(f"Stored by {', '.join(f'{name} ({count})' for name, count in sorted(workers.items()))}.")
        if keep:
            user, password = cluster.login
            print(f"\nAirflow's UI:  {'  '.join(cluster.ui_urls)}  (user {user}, password {password})")
            print(f"Your clips:    {cluster.ui_url}/plugin/venice")
            print(f"S3:            {store.endpoint_url}  (key {ACCESS_KEY}, secret {SECRET_KEY}, bucket {BUCKET})")
            print("Ctrl-C ends it.", flush=True)
            signal.pause()


if __name__ == "__main__":
    sys.exit(run_command(__doc__, run, (StackError,)))
