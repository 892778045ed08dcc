"""
An Airflow as several machines run it, on loopback: Celery, PostgreSQL, Redis, two schedulers, triggerers, API servers.

Each worker has a home, a directory for temporary files and a working directory of its own. The components share the
database, the broker and nothing else; each has its own copy of the DAG files.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.environment import cluster_python, server_program
from tests.system.rest import StackError
from tests.system.stack import AirflowStack, free_port

#: How many there are of each.
SCHEDULERS, TRIGGERERS, API_SERVERS, WORKERS = 2, 2, 2, 3

#: Tasks that a worker runs at once.
CONCURRENCY = 2

#: What a cluster waits for, in seconds, where Airflow's own defaults are made for days of operation.
_INTERVALS = {
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    # What was queued when the broker lost its messages is queued again after this.
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}

#: Who runs PostgreSQL where the tests are run by root, which it refuses.
_UNPRIVILEGED = "nobody"


class AirflowCluster(AirflowStack):
    """
    A running cluster, for the length of a ``with``.

    :param dags_folders: folders of DAG files; each component gets a copy of them.
    :param env: more environment of every component.
    :param lifetime: seconds after which all is ended whatever happens; ``None`` for as long as its owner lives.
    :param queue: the queue of the tasks whose waits the first triggerer has for itself; the other has the rest. Without
        one, either may have any.
    :param concurrency: tasks that a worker runs at once.
    """

    def __init__(
        self,
        dags_folders: Sequence[Path | str],
        env: Mapping[str, str] | None = None,
        lifetime: float | None = 3600,
        queue: str | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        super().__init__(list(dags_folders), python=cluster_python(), env=env, lifetime=lifetime)
        self._given_env = dict(env or {})
        self._postgres_port, self._redis_port = free_port(), free_port()
        self._api_ports = [self._port, *(free_port() for _ in range(API_SERVERS - 1))]
        queues = [()] * TRIGGERERS if queue is None else [("--queues", queue), ("--queues", "default")]
        self._has_queues = queue is not None
        self.components = {
            **{
                f"api-server-{number}": ("api-server", "--port", str(port))
                for number, port in enumerate(self._api_ports, 1)
            },
            **{f"scheduler-{number}": ("scheduler", "--skip-serve-logs") for number in _numbers(SCHEDULERS)},
            "dag-processor": ("dag-processor",),
            **{
                f"triggerer-{number}": ("triggerer", "--skip-serve-logs", *queues[number - 1])
                for number in _numbers(TRIGGERERS)
            },
            **{
                f"worker-{number}": (
                    *("celery", "worker", "--concurrency", str(concurrency), "--skip-serve-logs"),
                    *("--celery-hostname", f"worker-{number}@{socket.gethostname()}", "--without-gossip"),
                    *(() if queue is None else ("--queues", f"default,{queue}")),
                )
                for number in _numbers(WORKERS)
            },
        }
        self._fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self._supervisor: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def ui_urls(self) -> list[str]:
        """Where the API servers answer."""
        return [f"http://127.0.0.1:{port}" for port in self._api_ports]

    @property
    def database_url(self) -> str:
        """Where PostgreSQL is, for SQLAlchemy."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self._postgres_port}/postgres"

    def _env_of(self, name: str) -> dict[str, str]:
        home = self.folder_of(name)
        number = int(name.rpartition("-")[2]) if name[-1].isdigit() else 1
        settings = {
            "CELERY__BROKER_URL": f"redis://127.0.0.1:{self._redis_port}/0",
            "CELERY__RESULT_BACKEND": f"db+{self.database_url}",
            "CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            "CORE__EXECUTOR": "CeleryExecutor",
            "CORE__PARALLELISM": "32",
            "CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
            "CORE__FERNET_KEY": self._fernet_key,
            # Each worker knows one of the API servers only, as behind a load balancer that has lost the other.
            "CORE__EXECUTION_API_SERVER_URL": f"{self.ui_urls[(number - 1) % API_SERVERS]}/execution/",
            "DATABASE__SQL_ALCHEMY_CONN": self.database_url,
            "TRIGGERER__QUEUES_ENABLED": str(self._has_queues),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [
                    {
                        "name": "dags",
                        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                        "kwargs": {"path": str(home / "dags")},
                    }
                ]
            ),
            **_INTERVALS,
        }
        return {
            **self._env,
            "AIRFLOW_HOME": str(home / "airflow"),
            "TMPDIR": str(home / "tmp"),
            **{f"AIRFLOW__{option}": value for option, value in settings.items()},
            **self._given_env,
        }

    def _cwd_of(self, name: str) -> Path:
        return self.folder_of(name) / "work"

    def folder_of(self, name: str) -> Path:
        """Return the disk of a component's machine: its home, temporary files, DAG files and working directory."""
        folder = self.home / name
        if not folder.exists():
            for part in ("airflow", "tmp", "work"):
                (folder / part).mkdir(parents=True)
            for source in self.dags_folders:
                shutil.copytree(source, folder / "dags", dirs_exist_ok=True)
        return folder

    # Start and end

    def _start(self) -> None:
        self.start_postgres()
        self.start_redis()
        self._migrate()
        for name in self.components:
            self.restart(name)
        self.wait_until(self.authorize, 180, "the first API server to answer")
        self.wait_until(self.is_healthy, 180, "scheduler, dag-processor and triggerer to send a heartbeat")
        self.wait_until(self._workers_are_ready, 180, "the workers to connect to the broker")

    def __exit__(self, *details: object) -> None:
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join(timeout=30)
        super().__exit__(*details)

    def _migrate(self) -> None:
        self.run("airflow", "db", "migrate")

    def _workers_are_ready(self) -> bool:
        return all("ready." in self.component_log(f"worker-{number}", 400) for number in _numbers(WORKERS))

    def start_postgres(self) -> None:
        """Start PostgreSQL; what was stored before is still there."""
        data = self.home / "postgres-data"
        options = _unprivileged(self.home, data)
        if not (data / "PG_VERSION").exists():
            made = subprocess.run(
                [server_program("initdb"), "--pgdata", data, "--username=airflow", "--auth=trust", "--encoding=UTF8"],
                capture_output=True,
                text=True,
                timeout=120,
                cwd=data,
                **options,
            )
            if made.returncode:
                raise StackError(f"initdb failed:\n{made.stdout}{made.stderr}")
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [server_program("postgres"), "-D", str(data), "-p", str(self._postgres_port), *arguments]
        self._processes["postgres"] = self._spawn_command("postgres", command, **options)
        self.wait_until(lambda: _listens(self._postgres_port), 60, "PostgreSQL to listen")

    def start_redis(self) -> None:
        """Start Redis, empty."""
        # Each start has a folder of its own: what it has been sent is in the files there.
        folder = Path(tempfile.mkdtemp(prefix="redis-data-", dir=self.home))
        arguments = (
            "--port",
            str(self._redis_port),
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "yes",
            "--dir",
            str(folder),
        )
        self._processes["redis"] = self._spawn_command("redis", [server_program("redis-server"), *arguments])
        self.wait_until(lambda: _listens(self._redis_port), 30, "Redis to listen")

    # What happens to machines

    def supervise(self) -> None:
        """From now on, start a component again that ends by itself, as systemd or Kubernetes does."""

        def watch() -> None:
            while not self._stopping.wait(1.0):
                for name in [one for one in self.ended() if one in self.components]:
                    with suppress(Exception):
                        self.restart(name)

        self._supervisor = threading.Thread(target=watch, daemon=True)
        self._supervisor.start()

    def check(self) -> None:
        """Raise when a component ended that nobody killed, unless a supervisor starts it again."""
        if self._supervisor is None:
            super().check()

    def worker_of(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Return the worker that runs a task."""
        pid = next(
            ti["pid"]
            for ti in self.task_instances(dag_id, run_id)
            if (ti["task_id"], ti["map_index"]) == (task_id, map_index)
        )
        session = os.getsid(pid)
        return next(name for name, process in self._processes.items() if process.pid == session)

    def worker_of_log(self, path: Path) -> str:
        """Return the component on whose disk a log is."""
        return path.relative_to(self.home).parts[0]

    def lose_disk(self, name: str) -> None:
        """Remove what is on the disk of a machine that was killed; the next one that starts has an empty one."""
        shutil.rmtree(self.folder_of(name))

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Cut a machine off for the length of a block: its processes stand still, and go on afterwards."""
        session = self.pid(name)
        processes = [one for one in psutil.process_iter() if _session_of(one) == session]
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for one in processes:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGCONT)

    def log_files(self) -> Iterator[Path]:
        """Yield all that the components and the tasks have logged."""
        yield from self.home.glob("*.log")
        for name in self.components:
            yield from (self.home / name / "airflow" / "logs").rglob("*.log*")

    def trigger_logs(self, name: str, run_id: str) -> list[Path]:
        """Return what the triggers of a run have logged on a machine."""
        logs = (self.folder_of(name) / "airflow" / "logs").rglob("*.trigger.*")
        return [path for path in logs if f"run_id={run_id}" in path.as_posix() and path.stat().st_size]

    def stored_files(self) -> Iterator[Path]:
        """Yield the files of the database and of the broker, in which also what was deleted may be read."""
        for folder in ("postgres-data", *(path.name for path in self.home.glob("redis-data-*"))):
            yield from (path for path in (self.home / folder).rglob("*") if path.is_file())

    def task_logs(self, dag_id: str, run_id: str) -> str:
        """Return what the tasks of a run have logged, on whichever machine."""
        texts = [
            path.read_text(errors="replace")
            for path in self.log_files()
            if f"dag_id={dag_id}" in path.as_posix() and f"run_id={run_id}" in path.as_posix()
        ]
        return "\n".join(texts)


def _numbers(count: int) -> range:
    return range(1, count + 1)


def _unprivileged(home: Path, data: Path) -> dict[str, Any]:
    """Return what starts a process as a user who may run PostgreSQL, and give that user its folder."""
    data.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        return {}
    # The folder above is private.
    home.chmod(0o711)
    shutil.chown(data, _UNPRIVILEGED)
    data.chmod(0o700)
    return {"user": _UNPRIVILEGED}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        is_open = probe.connect_ex(("127.0.0.1", port)) == 0
    time.sleep(0.1)
    return is_open


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None
