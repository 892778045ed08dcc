"""A DAG run that makes one clip per mapped task, what it has bought, and what lies in its folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.simulator import JournalEntry, VeniceSimulator
from airflow_provider_venice.simulator.jobs import Job
from tests.reliability import holding
from tests.system.stack import ROOT, AirflowStack, LogEntry

#: The models, by how they deliver.
MODELS = {"inline": "wan-2-7-text-to-video", "private": "grok-imagine-text-to-video-private"}

#: Bytes of a clip; more than a socket holds.
CLIP_SIZE = 3_000_000

#: What a log says of a submission of which nobody knows whether it was charged.
DOUBT = "may have been accepted and charged"

#: A worker that sends no heartbeat for so many seconds is taken for lost; fewer, and one on a busy machine is, too.
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__STATE_STORE_BACKEND": "tests.reliability.holding.SlowStore",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True)
class Run:
    """
    One run.

    :param kind: how its model delivers, ``inline`` or ``private``.
    """

    venue: Venue
    dag_id: str
    run_id: str
    kind: str

    @property
    def tag(self) -> str:
        """What stands in the prompts of this run only."""
        return f"<{self.run_id}>"

    @property
    def folder(self) -> Path:
        """Where its clips go to."""
        return self.venue.folder / self.run_id

    @property
    def jobs(self) -> list[Job]:
        """The jobs that it has at the vendor."""
        return [job for job in self.venue.simulator.jobs if self.tag in job.prompt]

    @property
    def charges(self) -> list[JournalEntry]:
        """What it has paid for."""
        ids = {job.queue_id for job in self.jobs}
        return [entry for entry in self.venue.simulator.journal.charges if entry.queue_id in ids]

    def state(self) -> str:
        """Return its state."""
        return self.venue.stack.state(self.dag_id, self.run_id)

    def wait(self, timeout: float = 200) -> str:
        """Return its state in the end."""
        return self.venue.stack.wait(self.dag_id, self.run_id, timeout)

    def has_ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state() in ("success", "failed")

    def task_state(self, task: str = "generate") -> str | None:
        """Return the state of one of its tasks."""
        return self.venue.stack.task_states(self.dag_id, self.run_id).get(task)

    def tries(self, task: str, map_index: int = -1) -> int:
        """Return how many tries a task has had."""
        (count,) = (
            ti["try_number"]
            for ti in self.venue.stack.task_instances(self.dag_id, self.run_id)
            if (ti["task_id"], ti["map_index"]) == (task, map_index)
        )
        return int(count)

    def has_told_the_doubt(self, task: str, map_index: int = -1) -> bool:
        """Whether an error in the log of a task says that a submission may have been charged."""
        return any((entry.task_id, entry.map_index) == (task, map_index) for entry in self.doubts())

    def doubts(self) -> list[LogEntry]:
        """Return the errors in its logs that say that a submission may have been charged."""
        entries = self.venue.stack.log_entries(self.dag_id, self.run_id)
        return [entry for entry in entries if entry.fields.get("level") == "error" and DOUBT in str(entry)]

    def log(self, task: str = "generate", map_index: int = -1, try_number: int = 1) -> str:
        """Return what a try of a task has logged."""
        return self.venue.stack.task_log(self.dag_id, self.run_id, task, map_index, try_number)

    def survive_a_freeze(self) -> None:
        """
        Freeze the worker between its look at the notes and its own, until another has made the clip; then let it go on.

        As happens to a machine that is suspended or cut off for longer than Airflow waits for a heartbeat.
        """
        venue, task = self.venue, (self.dag_id, self.run_id, "generate")
        venue.stack.wait_until(lambda: not holding.asked(venue.holds, self.run_id, "check").exists(), 60, "the hold")
        worker = venue.stack.worker(*task)
        for process in worker:
            process.suspend()
        assert self.wait() == "success", self.explain()
        holding.release(venue.holds, self.run_id).touch()
        for process in worker:
            process.resume()
        venue.stack.wait_until(lambda: not worker[1].is_running(), 60, "the end of the worker that was frozen")
        # It was replaced; that the other one's clip is there already is not what its user has to mend.
        log = self.log()
        assert "give another path" not in log, log

    def explain(self) -> str:
        """Return what may explain how it ended."""
        stack, ids = self.venue.stack, {job.queue_id for job in self.jobs}
        scheduler = stack.component_log("scheduler", 100_000).splitlines()
        return "\n".join(
            [
                str(stack.task_states(self.dag_id, self.run_id)),
                stack.failures(self.dag_id, self.run_id, 40),
                *(str(entry) for entry in self.venue.simulator.journal if entry.queue_id in ids),
                *(line[:300] for line in scheduler if self.run_id in line),
            ]
        )

    def clips(self) -> list[Path]:
        """Return the files that have a final name, every one checked to be whole; what else lies there is hidden."""
        found = sorted(self.folder.iterdir()) if self.folder.exists() else []
        clips = [path for path in found if path.suffix != ".part" and ".reserved" not in path.name]
        assert all(path.name.startswith(".") for path in found if path not in clips), found
        for clip in clips:
            with clip.open("rb") as file:
                metadata = read_metadata(file)
            assert (metadata.duration, metadata.file_size) == (5, self.venue.clip_size)
        return clips


@dataclass(frozen=True)
class Venue:
    """
    An Airflow, the simulator that it talks to, and a folder for the clips.

    :param holds: the folder of :mod:`tests.reliability.holding`.
    :param clip_size: bytes of every clip.
    """

    stack: AirflowStack
    simulator: VeniceSimulator
    folder: Path
    holds: Path
    clip_size: int = CLIP_SIZE

    def start(self, dag_id: str, run_id: str, kind: str = "inline", prefix: str = "", **conf: Any) -> Run:
        """
        Start a run.

        :param prefix: what the prompt begins with, such as one of the simulator's tags.
        """
        run = Run(self, dag_id, run_id, kind)
        conf = {"model": MODELS[kind], "prompt": f"{prefix}a pier {run.tag}", "output_dir": str(run.folder), **conf}
        assert self.stack.trigger(dag_id, conf, run_id) == run_id
        return run

    def check_deletions(self) -> None:
        """Nothing was deleted before it was stored."""
        assert not self.simulator.journal.deletion_requests
        assert not self.simulator.journal.unread_deletions

    def check_secrets(self) -> None:
        """Neither the key nor a private link can be read in anything that Airflow keeps."""
        tokens = [job.token for job in self.simulator.jobs if job.model.private]
        assert tokens
        kept = [path for path in self.stack.home.rglob("*") if path.is_file()]
        assert {"airflow.db", "triggerer.log", "scheduler.log"} <= {path.name for path in kept}
        secrets = [secret.encode() for secret in (self.simulator.api_key, *tokens)]
        contents = {path: path.read_bytes() for path in kept}
        assert [path for path, content in contents.items() if any(secret in content for secret in secrets)] == []


@contextmanager
def open_venue(
    folder: Path,
    python: Path | str | None = None,
    *,
    simulator: Mapping[str, Any] | None = None,
    connection: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] = SETTINGS,
    lifetime: float = 3600,
) -> Iterator[Venue]:
    """
    Start a simulator and an Airflow.

    :param python: the interpreter whose Airflow is to run, this one by default.
    :param simulator: the simulator's settings, where they differ: a job takes three seconds, without rate limits.
    :param connection: more of the connection's extra fields.
    :param settings: more environment of the Airflow.
    :param lifetime: seconds after which all is ended whatever happens.
    """
    holds = folder / "holds"
    holds.mkdir()
    dags = Path(__file__).parent / "dags"
    arguments: dict[str, Any] = {"job_seconds": 3, "padding": CLIP_SIZE, "balance": 10_000, **(simulator or {})}
    with VeniceSimulator(media="shared", limits=False, **arguments) as venice:
        venice_default: dict[str, Any] = {
            "conn_type": "venice",
            "host": venice.base_url,
            "password": venice.api_key,
            "extra": {"poll_interval": 1, "queue_limit": 6000, "retrieve_limit": 6000, **(connection or {})},
        }
        # Seven seconds for a submission, and twenty until it is in the usage history.
        quick = {"retry_attempts": 1, "retry_max_wait": 0.5, "connect_timeout": 1, "read_timeout": 5}
        answered = {"admin_conn_id": "venice_admin", "billing_delay": 20, **quick}
        stack = AirflowStack(
            dags,
            env={**settings, holding.FOLDER: str(holds)},
            connections={
                "venice_default": json.dumps(venice_default),
                "venice_checked": json.dumps({**venice_default, "extra": {**venice_default["extra"], **answered}}),
                "venice_admin": json.dumps({**venice_default, "password": venice.admin_key}),
            },
            python=python or sys.executable,
            lifetime=lifetime,
        )
        with stack:
            yield Venue(stack, venice, folder / "clips", holds, arguments["padding"])
