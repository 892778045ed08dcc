"""A night of clips: submitted at the vendor's full rate, watched by processes that share a key, then downloaded."""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRateLimitError
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.settings import WindowKind
from airflow_provider_venice.storage import PartialFile
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.download import download
from airflow_provider_venice.transport.settings import Settings

#: How many times faster than the vendor the simulator runs.
SPEED = 10.0

#: Vendor seconds after which a night is over, whatever is still missing.
PATIENCE = 1800.0

#: Vendor seconds between two submissions: slightly fewer than 40 a minute.
_PAUSE = 1.53

_REQUEST = VideoRequest(model="wan-2-7-text-to-video", prompt="a pier", duration=5)


@dataclass
class Night:
    """
    What became of so many clips; all times in vendor seconds.

    :param submitted: how many were bought.
    :param delivered: how many were stored.
    :param late: from finished to detected, of each.
    :param looks: retrieves that were answered, downloads included.
    :param refusals: requests that were refused.
    :param blocks: requests that were refused by the block.
    :param makespan: from the first submission until the last clip was stored, or detected where none is stored.
    :param floor: from the first submission until the last clip was finished.
    """

    submitted: int
    delivered: int
    late: list[float]
    looks: int
    refusals: int
    blocks: int
    makespan: float
    floor: float

    @property
    def mean(self) -> float:
        """Mean seconds from finished to detected."""
        return statistics.fmean(self.late) if self.late else math.nan

    @property
    def p95(self) -> float:
        """Seconds within which 95 % are detected."""
        return sorted(self.late)[math.ceil(0.95 * len(self.late)) - 1] if self.late else math.nan


@dataclass
class _Desk:
    """Where the watchers are fed, and where what they find goes on to."""

    settings: Settings
    folder: Path
    downloads: bool
    workers: ThreadPoolExecutor
    stored: list[Future[None]] = field(default_factory=list)
    jobs: dict[str, VideoJob] = field(default_factory=dict)

    def read(self, watcher: subprocess.Popen[str]) -> None:
        """Start a download for each job that a watcher has found finished."""
        assert watcher.stdout is not None
        for line in watcher.stdout:
            job = self.jobs.get(line.strip())  # else it is a line of the log
            if job is not None and self.downloads:
                self.stored.append(self.workers.submit(self._store, job))

    def _store(self, job: VideoJob) -> None:
        # As in a worker of its own: nothing is shared with the others but the key.
        transport = BlockingTransport(self.settings)
        with PartialFile(self.folder) as partial:
            download(transport, job, partial)
        transport.close()


def run_night(
    contender: str,
    count: int,
    *,
    processes: int = 1,
    downloads: bool = True,
    window: WindowKind = "fixed",
    speed: float = SPEED,
    seed: int = 0,
) -> Night:
    """
    Buy so many clips, have them watched, and count.

    :param contender: one of those that ``benchmarks.watchers`` knows.
    :param count: clips.
    :param processes: how many processes wait, each for its share of the clips, without knowing of the others.
    :param downloads: whether finished clips are downloaded; without, only detection is measured.
    :param window: how the vendor counts.
    :param seed: of the jobs' run times and of who watches which.
    """
    with (
        VeniceSimulator(speed=speed, media="shared", window=window, resets="ms", balance=100_000, seed=seed) as venice,
        TemporaryDirectory() as folder,
        ThreadPoolExecutor(max_workers=64) as workers,
    ):
        settings = Settings(venice.api_key, venice.base_url)
        desk = _Desk(settings, Path(folder), downloads, workers)
        watchers = [_start(contender, settings, speed) for _ in range(processes)]
        readers = [threading.Thread(target=desk.read, args=(watcher,)) for watcher in watchers]
        over = time.monotonic() + PATIENCE / speed
        try:
            for watcher, reader in zip(watchers, readers, strict=True):
                assert watcher.stdout is not None
                watcher.stdout.readline()  # it is ready
                reader.start()
            _submit(venice, desk, watchers, count, speed, random.Random(seed), over)
            for reader in readers:
                reader.join(max(0.0, over - time.monotonic()))
        finally:
            for watcher, reader in zip(watchers, readers, strict=True):
                watcher.kill()
                if reader.ident is not None:
                    reader.join()
                with watcher:  # closes its pipes
                    pass
        delivered = sum(not future.exception() for future in desk.stored)
        return _count(venice, delivered, speed, downloads)


def _start(contender: str, settings: Settings, speed: float) -> subprocess.Popen[str]:
    connection = {"conn_type": "venice", "password": settings.api_key, "host": settings.base_url}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watchers", contender, str(speed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "AIRFLOW_CONN_VENICE_DEFAULT": json.dumps(connection),
            # There is no worker here whose heartbeat an event would have to wait for.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "-1",
        },
    )


def _submit(
    venice: VeniceSimulator,
    desk: _Desk,
    watchers: list[subprocess.Popen[str]],
    count: int,
    speed: float,
    chance: random.Random,
    over: float,
) -> None:
    """Buy the clips at the vendor's full rate, and hand each to one of the watchers."""
    transport = BlockingTransport(desk.settings)
    ends: dict[str, float] = {}
    begun = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begun + number * _PAUSE / speed - time.monotonic()))
        job = _buy(transport, over)
        if job is None:
            break
        desk.jobs[job.queue_id] = job
        if job.queue_id not in ends:
            ends = {one.queue_id: one.ready_at for one in venice.jobs}
        pipe = chance.choice(watchers).stdin
        assert pipe is not None
        pipe.write(json.dumps({"job": job.to_dict(), "ready_at": ends[job.queue_id]}) + "\n")
        pipe.flush()
    for watcher in watchers:
        assert watcher.stdin is not None
        watcher.stdin.close()


def _buy(transport: BlockingTransport, over: float) -> VideoJob | None:
    while time.monotonic() < over:
        try:
            return transport.send(calls.queue(_REQUEST.to_body()), attempts=1, max_wait=0.0)
        except VeniceRateLimitError as error:  # a block that a watcher has brought
            time.sleep(min(error.retry_after or 0.1, 1.0))
    return None


def _count(venice: VeniceSimulator, delivered: int, speed: float, downloads: bool) -> Night:
    polls = venice.journal.polls()
    found: dict[str, float] = {}
    for poll in polls:
        if poll.size and poll.queue_id is not None:
            found.setdefault(poll.queue_id, poll.time)
    jobs = venice.jobs
    first, last = min(job.queued_at for job in jobs), max(job.ready_at for job in jobs)
    ended = max((poll.time for poll in polls if poll.size), default=first)
    return Night(
        submitted=len(jobs),
        delivered=delivered if downloads else len(found),
        late=[speed * (found[job.queue_id] - job.ready_at) for job in jobs if job.queue_id in found],
        looks=sum(not poll.refused for poll in polls),
        refusals=len(venice.journal.refusals),
        blocks=len(venice.journal.blocks),
        makespan=speed * (ended - first),
        floor=speed * (last - first),
    )
