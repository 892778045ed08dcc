"""How fast a clip of a gigabyte comes to the disk, checked and hashed: ours, curl, and requests as clients use it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Table

#: Bytes of the clip.
SIZE = 1_000_000_000

#: How often each contender has its turn; one after the other, so that all meet the same noise.
ROUNDS = 5

_OURS = """
import sys
from airflow_provider_venice import storage
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.download import download
from airflow_provider_venice.transport.settings import Settings
url, path = sys.argv[1:]
transport = BlockingTransport(Settings("a-key", url))
job = VideoJob("wan", "q")
print(storage.store_video(path, lambda partial: download(transport, job, partial)).sha256)
"""

_REQUESTS = """
import hashlib, os, sys
import requests
url, path = sys.argv[1:]
content = requests.post(url + "/video/retrieve", json={}).content
with open(path, "wb") as file:
    file.write(content)
    os.fsync(file.fileno())
print(hashlib.sha256(content).hexdigest())
"""

_CURL = 'curl -sS -X POST -o "$1" "$0/video/retrieve" && sync "$1" && sha256sum "$1" | cut -c 1-64'
_CURL_PIPED = 'curl -sS -X POST "$0/video/retrieve" | tee "$1" | sha256sum | cut -c 1-64 && sync "$1"'

CONTENDERS = {
    "`VeniceHook.download`": [sys.executable, "-c", _OURS],
    "`curl \\| tee \\| sha256sum`, three processes": ["sh", "-c", _CURL_PIPED],
    "`curl`, then `sha256sum`": ["sh", "-c", _CURL],
    "`requests` with `.content`": [sys.executable, "-c", _REQUESTS],
}


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu: float
    memory: float


def _measure(command: list[str], url: str, path: Path) -> tuple[_Run, str]:
    """Run one contender; return what it took, and the digest that it printed."""
    started = time.monotonic()
    process = subprocess.Popen([*command, url, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    digest = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    path.unlink()
    return _Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), digest


def run() -> list[Table]:
    """Let each contender fetch the clip in turn, some times."""
    runs: dict[str, list[_Run]] = {name: [] for name in CONTENDERS}
    with TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.clip_server", f"{folder}/clip.mp4", str(SIZE)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/api/v1"
            digests = set()
            for number in range(ROUNDS + 1):
                for name, command in CONTENDERS.items():
                    result, digest = _measure(command, url, Path(folder, "stored.mp4"))
                    digests.add(digest)
                    if number:  # the first round fills the caches
                        runs[name].append(result)
            assert len(digests) == 1, "all have the same file"
        finally:
            server.kill()
            server.wait()
    peer = statistics.median(one.seconds for one in runs["`curl`, then `sha256sum`"])
    table = Table(
        "1 GB from loopback to the disk, synced, with its SHA-256",
        ("Client", "MB/s", "Time / curl's", "CPU s", "Peak MB of memory"),
        f"Medians of {ROUNDS} rounds, the start of each process included. Ours also reads the boxes of the MP4, and "
        "publishes the file under its name when it is whole. The CPU of the server is not counted.",
    )
    for name, results in runs.items():
        seconds = statistics.median(one.seconds for one in results)
        table.add(
            name,
            SIZE / 1e6 / seconds,
            f"{seconds / peer:.2f}",
            statistics.median(one.cpu for one in results),
            max(one.memory for one in results),
        )
    return [table]
