"""A real Airflow on this machine: scheduler, dag-processor, triggerer and api-server, each a process of its own."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.system.rest import RestClient, StackError, log_line
from tests.system.watchdog import processes_of

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]

USER, PASSWORD = "admin", "admin"

COMPONENTS: dict[str, Sequence[str]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}

#: Airflow's own intervals, in seconds, are made for days of operation; a test has seconds.
INTERVALS = {
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # The worker may report the end of a try this late. A deferred task that is already queued again by then is
    # taken by the scheduler for one that ended without running, and fails.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
}

#: Seconds that a process waits for another that writes to the database. The api-server may wait for itself: who calls
#: it to change something is logged in its event loop, which must run for another request to end its writing.
WRITERS_PATIENCE = 30
PATIENCE_OF = {"api-server": 0.5}


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


#: Where Airflow keeps the log of a try of a task, its trigger's part too.
_LOG_FILE = re.compile(r"task_id=(?P<task>[^/]+)/(?:map_index=(?P<index>\d+)/)?attempt=(?P<attempt>\d+)\.log")


@dataclass(frozen=True)
class LogEntry:
    """
    What a try of a task has logged at once.

    :param fields: the entry as Airflow has written it.
    """

    task_id: str
    map_index: int
    try_number: int
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        place = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.task_id}{place} {self.try_number}: {log_line(self.fields)}"


class AirflowStack(RestClient):
    """
    A running Airflow with a database and a home of its own, for the length of a ``with``.

    :param dags_folder: a folder of DAG files, or several.
    :param python: the interpreter whose Airflow is to run.
    :param env: more environment, such as ``AIRFLOW__CORE__PARALLELISM``.
    :param connections: connection id to URI or JSON.
    :param lifetime: seconds after which all is ended whatever happens; ``None`` for as long as its owner lives.
    :param base_path: the path below which the UI and the REST API are, such as ``/airflow``.
    :param users: more users, with their roles; each has its name for a password.
    """

    def __init__(
        self,
        dags_folder: Path | str | Sequence[Path | str],
        python: Path | str = sys.executable,
        env: Mapping[str, str] | None = None,
        connections: Mapping[str, str] | None = None,
        lifetime: float | None = 3600,
        base_path: str = "",
        users: Mapping[str, str] | None = None,
    ) -> None:
        folders = [dags_folder] if isinstance(dags_folder, (str, Path)) else dags_folder
        self.dags_folders = [Path(folder).resolve() for folder in folders]
        self.lifetime = lifetime
        self.python = str(Path(python).absolute())  # not resolved: a venv is its symbolic link
        self.home = Path(tempfile.mkdtemp(prefix="airflow-stack-"))
        self.database = self.home / "airflow.db"
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}{base_path}", (USER, PASSWORD))
        self._port = port
        self._users = {USER: "admin", **(users or {})}
        #: What runs: the arguments of ``airflow`` for each component, in the order in which they start.
        self.components: dict[str, Sequence[str]] = dict(COMPONENTS)
        self._env = {**self._environment(), **(env or {})}
        for conn_id, connection in (connections or {}).items():
            self._env[f"AIRFLOW_CONN_{conn_id.upper()}"] = connection
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
        }
        bundles = [
            {
                "name": f"dags-{number}",
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder)},
            }
            for number, folder in enumerate(self.dags_folders)
        ]
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({name: PASSWORD if name == USER else name for name in self._users}))
        settings = {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "CORE__TEST_CONNECTION": "Enabled",
            "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in self._users.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.ui_url}/execution/",
            "API__BASE_URL": self.ui_url,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self._port),
            "API__WORKERS": "1",
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            **INTERVALS,
        }
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        }

    # Start and end

    def __enter__(self) -> Self:
        lifetime = [] if self.lifetime is None else [f"--lifetime={self.lifetime}"]
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "tests.system.watchdog", "--grace=1", f"--remove={self.home}", *lifetime],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self._migrate()
        for name in self.components:
            self.restart(name)
        self.wait_until(self.authorize, 120, "the api-server to answer")
        self.wait_until(self.is_healthy, 120, "scheduler, dag-processor and triggerer to send a heartbeat")

    def _migrate(self) -> None:
        self.run("airflow", "db", "migrate")
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other

    def check(self) -> None:
        """
        Raise when a component ended that nobody killed.

        :raises StackError: with the end of what it wrote.
        """
        for name, code in self.ended().items():
            raise StackError(f"{name} ended with {code}:\n{self.component_log(name)}")

    def ended(self) -> dict[str, int]:
        """Return the exit codes of the components that nobody killed, and that have ended."""
        codes = {name: process.poll() for name, process in self._processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def diagnose(self) -> str:
        """Return the ends of what the components wrote."""
        return "\n".join(f"--- {name}\n{self.component_log(name, 25)}" for name in self.components)

    def __exit__(self, *_: object) -> None:
        self._http.close()
        if self._watchdog is not None:
            self._watchdog.communicate(timeout=60)  # closes the pipe, which is the sign to end everything
            for process in self._processes.values():
                process.wait(timeout=60)

    def run(self, module: str, *arguments: str, stdin: str = "") -> None:
        """
        Run a Python module to its end, in the environment of the components.

        :param module: its name, such as ``airflow``.
        :param arguments: of the command line.
        :param stdin: what it reads from its standard input.
        :raises StackError: when it fails, with the end of what it wrote.
        """
        process = subprocess.run(
            [self.python, "-m", module, *arguments],
            cwd=self.home,
            env=self._env_of(module),
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=180,
        )
        if process.returncode != 0:
            raise StackError(
                f"{module} {' '.join(arguments)} failed:\n{process.stdout.decode(errors='replace')[-8000:]}"
            )

    def _env_of(self, name: str) -> dict[str, str]:
        database = f"sqlite:///{self.database}?timeout={PATIENCE_OF.get(name, WRITERS_PATIENCE)}"
        return {**self._env, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}

    def _spawn(self, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return self._spawn_command(name, [self.python, "-m", "airflow", *arguments], env=self._env_of(name))

    def _cwd_of(self, name: str) -> Path:
        """Return the working directory of a component."""
        return self.home

    def _spawn_command(self, name: str, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process that ends with this Airflow at the latest; its output goes to ``<name>.log``."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self._cwd_of(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{process.pid}\n".encode())
        self._watchdog.stdin.flush()
        return process

    def kill(self, component: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """
        End a component with everything it started, as a machine that goes down does.

        :param component: ``scheduler``, ``dag-processor``, ``triggerer`` or ``api-server``.
        :param sig: a gentler signal goes to the component's first process only.
        """
        process = self._processes.pop(component)
        if sig is not signal.SIGKILL:
            process.send_signal(sig)
        else:
            while remaining := processes_of([process.pid]):
                for one in remaining:
                    one.kill()
                time.sleep(0.05)
        process.wait(timeout=60)

    def worker(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> tuple[psutil.Process, ...]:
        """Return the processes that run a task: its supervisor and the task itself."""
        (pid,) = (
            ti["pid"]
            for ti in self.task_instances(dag_id, run_id)
            if (ti["task_id"], ti["map_index"]) == (task_id, map_index)
        )
        task = psutil.Process(pid)
        supervisor, scheduler = task.parent(), self._processes["scheduler"].pid
        # A number may be that of another process by now, one of somebody else perhaps.
        if supervisor is None or supervisor.pid == scheduler or os.getsid(pid) != scheduler:
            raise StackError(f"{task} of {run_id} has no supervisor")
        return supervisor, task

    def kill_worker(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """End the processes that run a task, as a machine that is lost does."""
        for process in self.worker(dag_id, run_id, task_id, map_index):
            process.kill()

    def pid(self, component: str) -> int:
        """Return the process id of a component's first process."""
        return self._processes[component].pid

    def restart(self, component: str) -> None:
        """Start a component that was killed."""
        self._processes[component] = self._spawn(component, self.components[component])

    def log_entries(self, dag_id: str, run_id: str) -> Iterator[LogEntry]:
        """Yield what the tasks of a run have logged, of every try; also of those that Airflow keeps no record of."""
        for path in sorted((self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("attempt=*.log*")):
            found = _LOG_FILE.search(path.as_posix())
            assert found is not None, path
            place = -1 if found["index"] is None else int(found["index"])
            for line in path.read_text(errors="replace").splitlines():
                with suppress(ValueError):  # a worker that is killed may leave half a line
                    yield LogEntry(found["task"], place, int(found["attempt"]), json.loads(line))

    def component_log(self, name: str, lines: int = 60) -> str:
        """
        Return the end of what a component wrote, requests that it was sent apart.

        :param lines: how many lines at most.
        """
        written = (self.home / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in written if "[http.access]" not in line][-lines:])
