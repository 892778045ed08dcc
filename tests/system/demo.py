"""``make demo``: a clip made in a real Airflow, against the simulator, or against Venice if there is a key."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.settings import Settings
from tests.system.clips import DAG_ID, DOWNLOAD, OUTPUT_DIR, QUOTE, TASKS, WAIT, connection_to, local_path
from tests.system.command import run_command
from tests.system.rest import StackError
from tests.system.stack import AirflowStack

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "demo-output"

#: The simulated vendor runs so many times as fast as the real one, for jobs of two minutes.
SPEED, JOB_SECONDS = 10.0, 120.0

#: Seconds that a real clip may take.
PATIENCE = 3600.0


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@contextmanager
def venice() -> Iterator[tuple[str, VeniceSimulator | None]]:
    """Give the connection, and the simulator behind it unless it leads to the real Venice."""
    if api_key := os.environ.get("VENICE_API_KEY", "").strip():
        print("Using the real Venice with the key in VENICE_API_KEY.")
        yield json.dumps({"conn_type": "venice", "password": api_key}), None
        return
    with VeniceSimulator(speed=SPEED, job_seconds=JOB_SECONDS) as simulator:
        print(f"Using the simulator at {simulator.base_url}: nothing leaves this machine, nothing costs money.")
        yield connection_to(simulator), simulator


def ask_to_pay(params: Mapping[str, Any]) -> None:
    """
    Quote what the DAG is going to make, and let a person agree to pay it.

    :param params: the DAG's parameters.
    :raises DemoError: when nobody agreed.
    """
    request = VideoRequest.of(model=params["model"], prompt=params["prompt"], duration=params["duration"])
    transport = BlockingTransport(Settings(api_key=os.environ["VENICE_API_KEY"].strip()))
    try:
        price = transport.send(calls.quote(request.to_quote_body())).estimated_cost
    finally:
        transport.close()
    print(f"This clip ({request.model}, {request.duration}) costs ${price} of your Venice account.")
    if os.environ.get("VENICE_DEMO_YES") == "1":
        return
    if not sys.stdin.isatty():
        raise DemoError("Set VENICE_DEMO_YES=1 to agree to that price, or unset VENICE_API_KEY for the simulator.")
    if input("Make it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise DemoError("Nothing was queued, nothing was spent.")


def progress(stack: AirflowStack, run_id: str) -> str:
    """Return each task with its state, and how far the job is as its trigger logged last."""
    states = stack.task_states(DAG_ID, run_id)
    line = "  ".join(f"{task}: {states.get(task) or '-'}" for task in TASKS)
    if states.get(WAIT) == "deferred" and (percent := re.findall(r"\b(\d+) %", stack.task_log(DAG_ID, run_id, WAIT))):
        line += f" ({percent[-1]} %)"
    return line


def follow(stack: AirflowStack, run_id: str) -> None:
    """
    Show how the run goes until it ends.

    :raises DemoError: when it fails or takes too long; with the end of the failed task's log.
    """
    started, last = time.monotonic(), ""
    while (state := stack.state(DAG_ID, run_id)) not in ("success", "failed"):
        stack.check()
        if (line := progress(stack, run_id)) != last:
            print(f"  {time.monotonic() - started:4.0f} s  {line}", flush=True)
            last = line
        if time.monotonic() - started > PATIENCE:
            raise DemoError(f"The run took longer than {PATIENCE:.0f} s.\n{stack.diagnose()}")
        time.sleep(1)
    print(f"  {time.monotonic() - started:4.0f} s  {progress(stack, run_id)}")
    if state == "failed":
        raise DemoError(f"The run failed.\n{stack.failures(DAG_ID, run_id)}")


def report(stack: AirflowStack, run_id: str, simulator: VeniceSimulator | None) -> None:
    """Tell what was made and what it cost."""
    path = local_path(stack.xcom(DAG_ID, run_id, DOWNLOAD)["path"])
    with path.open("rb") as file:
        clip = read_metadata(file)
    price = Decimal(str(stack.xcom(DAG_ID, run_id, QUOTE)["estimated_cost"]))
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    print(f"\nYour clip:  {shown}")
    print(f"            {clip.duration:g} s, {clip.resolution}, {path.stat().st_size / 1e6:.2f} MB")
    print(f"It cost:    {f'${price}' if simulator is None else f'nothing (simulated; at Venice about ${price})'}")


def run(keep: bool) -> None:
    """
    Start everything, make the clip, and end everything.

    :param keep: whether to leave Airflow running until Ctrl-C.
    """
    started = time.monotonic()
    with venice() as (connection, simulator):
        print("Starting Airflow (scheduler, dag-processor, triggerer, api-server) ...", flush=True)
        OUTPUT.mkdir(exist_ok=True)
        with AirflowStack(
            ROOT / "example_dags",
            connections={"venice_default": connection},
            env={"AIRFLOW__VENICE__UI_ROOTS": str(OUTPUT)},
            lifetime=None,
        ) as stack:
            print(f"Airflow is up after {time.monotonic() - started:.0f} s. Running the DAG {DAG_ID}:", flush=True)
            stack.wait_for_dag(DAG_ID)
            if simulator is None:
                details = stack.get(f"dags/{DAG_ID}/details")["params"]
                ask_to_pay({name: param["value"] for name, param in details.items()})
            run_id = stack.trigger(DAG_ID, conf={OUTPUT_DIR: str(OUTPUT)})
            follow(stack, run_id)
            report(stack, run_id, simulator)
            if keep:
                user, password = stack.login
                print(f"\nAirflow's UI:  {stack.ui_url}  (user {user}, password {password})")
                print(f"Your clips:    {stack.ui_url}/plugin/venice", flush=True)
                print("Ctrl-C ends it.", flush=True)
                signal.pause()


if __name__ == "__main__":
    sys.exit(run_command(__doc__, run, (DemoError, StackError, VeniceError)))
