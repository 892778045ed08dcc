"""Ends everything that a test's Airflow started, also when the test itself was killed.

Started with one end of a pipe as its standard input. Each line names the session id of a
process to look after. When the pipe closes, whether its owner closed it or died, or when the
lifetime is over, every process of those sessions is ended and the given folder is removed.
Sessions, not process groups or children: Airflow moves its workers into groups of their own.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable

import psutil


def processes_of(sessions: Iterable[int]) -> list[psutil.Process]:
    """
    All living processes of these sessions.

    :param sessions: session ids: the process ids of their leaders.
    """
    wanted = set(sessions)
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) in wanted and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        except OSError:  # it ended meanwhile, or is not ours
            continue
    return found


def end_sessions(sessions: set[int], grace: float) -> None:
    """
    Ask the leaders to end, then kill whatever is left of their sessions.

    :param sessions: session ids.
    :param grace: seconds between asking and killing.
    """
    for leader in sessions:
        try:
            os.kill(leader, signal.SIGTERM)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + grace
    while processes_of(sessions) and time.monotonic() < deadline:
        time.sleep(0.1)
    # More than one pass: a process may fork while its siblings are being killed.
    while remaining := processes_of(sessions):
        for process in remaining:
            process.kill()
        time.sleep(0.05)


def read_sessions(lifetime: float | None) -> set[int]:
    """
    Collect session ids until the owner is gone or the time is over.

    :param lifetime: seconds, or ``None`` for as long as the owner lives.
    """
    sessions: set[int] = set()
    deadline = None if lifetime is None else time.monotonic() + lifetime
    pending = b""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([sys.stdin.fileno()], [], [], left)[0]:
            return sessions
        chunk = os.read(sys.stdin.fileno(), 4096)
        if not chunk:
            return sessions
        *lines, pending = (pending + chunk).split(b"\n")
        sessions.update(int(line) for line in lines)


def main() -> None:
    """Read, wait, clean up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetime", type=float, help="seconds")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds between asking and killing")
    parser.add_argument("--remove", help="the folder to remove at the end")
    arguments = parser.parse_args()
    # A Ctrl-C in the terminal is for the owner; this process is needed until the very end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_sessions(read_sessions(arguments.lifetime), arguments.grace)
    if arguments.remove:
        shutil.rmtree(arguments.remove, ignore_errors=True)


if __name__ == "__main__":
    main()
