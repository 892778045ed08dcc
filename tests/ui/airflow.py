"""A real Airflow whose UI shows clips, and what a test asks it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.system.clips import connection_to
from tests.system.stack import ROOT, AirflowStack

USERS = {"viewer": "viewer"}


@dataclass
class AirflowUI:
    """
    An Airflow with the pages.

    :param stack: its processes.
    :param simulator: what ``venice_default`` leads to.
    :param folder: below which clips are shown.
    """

    stack: AirflowStack
    simulator: VeniceSimulator
    folder: Path

    def session(self, user: str | None) -> requests.Session:
        """Return a session of a user, whose cookie is what a browser would send; of a visitor if ``None``."""
        session = requests.Session()
        session.trust_env = False
        if user is not None:
            password = self.stack.login[1] if user == self.stack.login[0] else user
            answer = session.post(
                f"{self.stack.ui_url}/auth/token", json={"username": user, "password": password}, timeout=30
            )
            session.cookies.set("_token", answer.json()["access_token"])
        return session

    def get(self, path: str, user: str | None = "admin", **arguments: Any) -> requests.Response:
        """Ask for something below ``/venice/``."""
        return self.session(user).get(f"{self.stack.ui_url}/venice/{path}", timeout=60, **arguments)

    def write(self, entries: Any, dag_id: str = "written") -> str:
        """Have a task write of its clips, and return the DAG run's id."""
        file = self.folder.parent / f"entries-{time.time_ns()}.json"
        file.write_text(json.dumps(entries))
        run_id = self.stack.trigger(dag_id, conf={"file": str(file)})
        assert self.stack.wait(dag_id, run_id, timeout=90) == "success", self.stack.failures(dag_id, run_id)
        return run_id

    def make(self, prompt: str, dag_id: str = "clips", name: str | None = None) -> str:
        """Trigger a DAG that makes a clip, and return the DAG run's id."""
        path = self.folder / f"{name or time.time_ns()}.mp4"
        return self.stack.trigger(dag_id, conf={"prompt": prompt, "path": str(path)})


@contextmanager
def running_ui(
    folder: Path, python: Path | str = sys.executable, env: Mapping[str, str] | None = None, base_path: str = ""
) -> Iterator[AirflowUI]:
    """
    Run an Airflow with the pages.

    :param folder: below which clips are shown.
    :param python: the interpreter whose Airflow is to run.
    :param env: more environment.
    :param base_path: the path below which the UI is.
    """
    folder.mkdir()
    settings = {
        "AIRFLOW__VENICE__UI_ROOTS": str(folder),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.ui.auth_manager.PartialAuthManager",
        "PYTHONPATH": str(ROOT),
    }
    with (
        VeniceSimulator(speed=10, job_seconds=150, media="shared") as simulator,
        AirflowStack(
            [ROOT / "tests" / "ui" / "dags", ROOT / "example_dags"],
            python=python,
            env={**settings, **(env or {})},
            connections={"venice_default": connection_to(simulator)},
            users=USERS,
            base_path=base_path,
        ) as stack,
    ):
        yield AirflowUI(stack, simulator, folder)
