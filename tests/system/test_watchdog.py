"""Nothing outlives its test, however the test ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.system.watchdog import processes_of

ROOT = Path(__file__).parents[2]

# What is to be ended does not care for SIGTERM and has a child in a process group of its own, as Airflow's workers are.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
time.sleep(600)
"""

OWNER = f"""
import subprocess, sys, time
watchdog = subprocess.Popen(
    [sys.executable, "-m", "tests.system.watchdog", "--grace=0.2", "--remove", sys.argv[1], *sys.argv[2:]],
    stdin=subprocess.PIPE, start_new_session=True,
)
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True)
watchdog.stdin.write(b"%d\\n" % child.pid)
watchdog.stdin.flush()
print(watchdog.pid, child.pid, flush=True)
time.sleep(600)
"""


def wait_until(condition: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("lifetime", [None, 2.0], ids=["the owner is killed", "the time is over"])
def test_everything_is_ended_and_removed(tmp_path: Path, lifetime: float | None) -> None:
    home = tmp_path / "home"
    home.mkdir()
    arguments = [] if lifetime is None else [f"--lifetime={lifetime}"]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home), *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        watchdog, session = map(int, owner.stdout.readline().split())
        wait_until(lambda: len(processes_of([session])) == 2)
        if lifetime is None:
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        wait_until(lambda: not processes_of([session]))
        wait_until(lambda: not home.exists())
        if lifetime is not None:
            assert owner.poll() is None
            owner.kill()
    wait_until(lambda: not psutil.pid_exists(watchdog))
