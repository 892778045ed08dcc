"""How fast a clip of a gigabyte comes to the disk, checked and hashed: ours, curl, and requests as clients use it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Table

#: Bytes of the clip.
SIZE = 1_000_000_000

#: Sizes between which the memory is compared.
SIZES = (10_000_000, 100_000_000, SIZE)

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

# OpenSSL hashes with the processor's own instructions, as Python does; the sha256sum of some systems does not.
_HASH = "openssl dgst -sha256 -r" if shutil.which("openssl") else "sha256sum"
_CURL = f'curl -sS -X POST -o "$1" "$0/video/retrieve" && sync "$1" && {_HASH} "$1" | cut -c 1-64'
_CURL_PIPED = f'curl -sS -X POST "$0/video/retrieve" | tee "$1" | {_HASH} | cut -c 1-64 && sync "$1"'

OURS, CURL, CONTENT = "ours", f"`curl`, then `{_HASH.split()[0]}`", "`requests` with `.content`"
CONTENDERS = {
    OURS: [sys.executable, "-c", _OURS],
    CURL: ["sh", "-c", _CURL],
    f"`curl \\| tee \\| {_HASH.split()[0]}`, at the same time": ["sh", "-c", _CURL_PIPED],
    CONTENT: [sys.executable, "-c", _REQUESTS],
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


@contextlib.contextmanager
def _served(folder: str, size: int) -> Iterator[str]:
    """Serve a clip of so many bytes, and hand out the base URL."""
    command = [sys.executable, "-m", "benchmarks.clip_server", f"{folder}/clip.mp4", str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/api/v1"
        finally:
            server.kill()


def run() -> list[Table]:
    """Let each contender fetch the clip in turn, some times."""
    with TemporaryDirectory() as folder:
        return [_throughput(folder), _memory(folder)]


def _throughput(folder: str) -> Table:
    runs: dict[str, list[_Run]] = {name: [] for name in CONTENDERS}
    digests = set()
    with _served(folder, SIZE) as url:
        for number in range(ROUNDS + 1):
            for name, command in CONTENDERS.items():
                result, digest = _measure(command, url, Path(folder, "stored.mp4"))
                digests.add(digest)
                if number:  # the first round fills the caches
                    runs[name].append(result)
    assert len(digests) == 1, "all have the same file"
    peer = statistics.median(one.seconds for one in runs[CURL])
    table = Table(
        "1 GB from loopback to the disk, synced, with its SHA-256",
        ("Client", "MB/s", "Time / curl's", "CPU s", "Peak MB of memory"),
        f"Medians of {ROUNDS} rounds, in turn, the start of each process included. Ours is what `VeniceHook.download` "
        "does; it also reads the boxes of the MP4, and publishes the file under its name when it is whole. The kernel "
        "sends the file out of its cache, and the server's CPU is not counted. Memory is that of the largest process, "
        f"and shows no less than the {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of the one "
        "that starts them.",
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
    return table


def _memory(folder: str) -> Table:
    table = Table("Peak memory by the size of the clip, in MB", ("Clip", OURS, CONTENT), "One transfer each.")
    for size in SIZES:
        with _served(folder, size) as url:
            results = [_measure(CONTENDERS[name], url, Path(folder, "stored.mp4"))[0] for name in (OURS, CONTENT)]
        table.add(f"{size // 1_000_000} MB", *(one.memory for one in results))
    return table
