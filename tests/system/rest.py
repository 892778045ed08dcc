"""What a test asks a running Airflow, through its public REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import requests

T = TypeVar("T")


class StackError(AssertionError):
    """The Airflow did not do what was asked of it; the message has the ends of the logs."""


class RestClient:
    """
    One Airflow's REST API (v2), logged in.

    :param ui_url: where the api-server answers.
    :param login: user name and password.
    """

    def __init__(self, ui_url: str, login: tuple[str, str]) -> None:
        self.ui_url = ui_url
        self.login = login
        self._running_dags: set[str] = set()
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy between us and loopback

    def authorize(self) -> bool:
        """Fetch a token; whether the api-server was there to give one."""
        user, password = self.login
        try:
            answer = self._http.post(
                f"{self.ui_url}/auth/token", json={"username": user, "password": password}, timeout=10
            )
        except requests.RequestException:
            return False
        if answer.status_code != 201:
            return False
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def check(self) -> None:
        """Raise when waiting any longer makes no sense."""

    def diagnose(self) -> str:
        """Return what may explain that nothing comes."""
        return ""

    def wait_until(self, condition: Callable[[], T], timeout: float, what: str) -> T:
        """
        Return the condition's first true answer.

        :param timeout: seconds.
        :param what: what is waited for, for the error's message.
        :raises StackError: when the time is over.
        """
        deadline = time.monotonic() + timeout
        while not (answer := condition()):
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"waited {timeout:.0f} s for {what}\n{self.diagnose()}")
            time.sleep(0.2)
        return answer

    def get(self, path: str, **params: Any) -> Any:
        """Read from the REST API; ``path`` is what follows ``/api/v2/``."""
        return self._call("GET", f"api/v2/{path}", params=params)

    def fetch(self, path: str, **arguments: Any) -> requests.Response:
        """Ask for anything below the address of the UI, whatever the answer is."""
        return self._http.get(f"{self.ui_url}/{path}", timeout=60, **arguments)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        # SQLite turns away whoever writes while others do, and nothing has happened then.
        for pause in (0.2, 0.5, 1.0, 2.0, 4.0, None):
            answer = self._http.request(method, f"{self.ui_url}/{path}", timeout=60, **arguments)
            if pause is None or answer.status_code != 500 or "Database error" not in answer.text:
                break
            time.sleep(pause)
        if not answer.ok:
            raise StackError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json()

    def is_healthy(self) -> bool:
        """Whether every component has sent a heartbeat lately."""
        health = self.get("monitor/health")
        return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer"))

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """
        Wait until the dag-processor has read a DAG.

        :param timeout: seconds.
        """

        def is_known() -> bool:
            errors = self.get("importErrors")["import_errors"]
            if errors:
                raise StackError("\n".join(f"{e['filename']}:\n{e['stack_trace']}" for e in errors))
            return dag_id in (dag["dag_id"] for dag in self.get("dags", limit=200)["dags"])

        self.wait_until(is_known, timeout, f"DAG {dag_id}")

    def listed(self, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
        """Return a whole list, page by page; ``name`` is its field in the answers."""
        found: list[dict[str, Any]] = []
        while page := self.get(path, limit=100, offset=len(found), **params)[name]:
            found += page
        return found

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; ``path`` is what follows ``/api/v2/``."""
        return self._call("PATCH", f"api/v2/{path}", json=dict(body))

    def add_connection(self, fields: Mapping[str, Any]) -> None:
        """Store a connection, as a user does in the UI."""
        self._call("POST", "api/v2/connections", json=dict(fields))

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"api/v2/dags/{dag_id}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run of a DAG, as soon as it is known, and return the run's id: a given one, or Airflow's choice."""
        if dag_id not in self._running_dags:
            self.wait_for_dag(dag_id)
            self.unpause(dag_id)
            self._running_dags.add(dag_id)
        body = {"logical_date": None, "conf": dict(conf or {}), **({"dag_run_id": run_id} if run_id else {})}
        started: str = self._call("POST", f"api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return started

    def state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        state: str = self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def wait(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """
        Wait for the end of a run and return its state.

        :param timeout: seconds.
        """

        def ended() -> str | None:
            state = self.state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        state = self.wait_until(ended, timeout, f"the end of {dag_id}: {run_id}")
        assert state is not None
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances as the API describes them."""
        instances: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=500)[
            "task_instances"
        ]
        return instances

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task; mapped ones are named ``task_id[map_index]``."""
        return {
            ti["task_id"] if ti["map_index"] < 0 else f"{ti['task_id']}[{ti['map_index']}]": ti["state"]
            for ti in self.task_instances(dag_id, run_id)
        }

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return what a task pushed."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.get(path, map_index=map_index)["value"]

    def xcom_or_none(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return what a task pushed, ``None`` where it has pushed nothing under that key."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        entries = self.get(path, map_index=map_index)["xcom_entries"]
        return self.xcom(dag_id, run_id, task_id, key, map_index) if key in [one["key"] for one in entries] else None

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return what a try of a task logged, the trigger's part too: one message with its fields per line."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.get(path, map_index=map_index, full_content=True)["content"]
        return "\n".join(line if isinstance(line, str) else log_line(line) for line in content)

    def failures(self, dag_id: str, run_id: str, lines: int = 15) -> str:
        """
        Return the ends of the failed tasks' logs.

        :param lines: how many lines of each.
        """
        failed = [ti for ti in self.task_instances(dag_id, run_id) if ti["state"] == "failed"]
        return "\n".join(
            "\n".join([f"--- {ti['task_id']}", *log.splitlines()[-lines:]])
            for ti in failed
            for log in [self.task_log(dag_id, run_id, ti["task_id"], ti["map_index"], max(1, ti["try_number"]))]
        )

    def clear(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Clear a task, as a user does in the UI, so that it runs again; of a mapped one all, or that of an index."""
        self.clear_tasks(dag_id, run_id, [(task_id, map_index)])

    def clear_tasks(self, dag_id: str, run_id: str, tasks: Sequence[tuple[str, int]]) -> None:
        """Clear tasks of a run, each with its map index, or -1 for all."""
        task_ids = [task_id if map_index < 0 else [task_id, map_index] for task_id, map_index in tasks]
        self._clear(dag_id, run_id, task_ids=task_ids, only_failed=False)

    def clear_failed(self, dag_id: str, run_id: str) -> None:
        """Clear the tasks of a run that have failed, with those that could not run for it."""
        self._clear(dag_id, run_id, only_failed=True)

    def _clear(self, dag_id: str, run_id: str, **which: Any) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, **which}
        self._call("POST", f"api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def mark_failed(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Mark a task failed, as a user does in the UI; of a mapped one that of an index."""
        task = task_id if map_index < 0 else f"{task_id}/{map_index}"
        self.patch(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}", {"new_state": "failed"})

    def connection_form(self, conn_type: str) -> dict[str, Any]:
        """Return the form that the UI shows for a connection type."""
        forms: list[dict[str, Any]] = self._call("GET", "ui/connections/hook_meta")
        return next(form for form in forms if form["connection_type"] == conn_type)

    def test_connection(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Press the form's Test button: ``status`` and ``message``."""
        answer: dict[str, Any] = self._call("POST", "api/v2/connections/test", json=dict(fields))
        return answer


#: What Airflow says with every line, and whoever asked for the log knows.
_KNOWN = {"event", "timestamp", "error_detail", "ti_id", "dag_id", "task_id", "run_id", "map_index", "try_number"}
_KNOWN |= {"ti", "level", "logger", "chan", "filename", "lineno"}


def log_line(entry: Mapping[str, Any]) -> str:
    """Return an entry of a log with its fields as one line, and one more for each error."""
    fields = {name: value for name, value in entry.items() if name not in _KNOWN and value}
    parts = [entry.get("timestamp"), entry.get("level", "").upper(), entry.get("event"), fields and json.dumps(fields)]
    errors = [f"\n  {error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return " ".join(str(part) for part in parts if part) + "".join(errors)
