"""
What a driver prints: one line of JSON with what the client did or said.

Drivers run in the environments of the clients, so they import nothing of this project but each other.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds between two polls, where a client lets its user choose.
POLL_INTERVAL = 0.4

#: Seconds that a client is let wait for a job.
PATIENCE = 8

Action = Callable[[dict[str, Any]], Any]


class Absent(Exception):
    """The client has no function for it; the message says what is missing."""


class Failed(Exception):
    """A command of the client ended with an error; the message is what it printed."""


def main(*functions: Action, **actions: Action) -> None:
    """Do what the command line asks for: the name of an action and its arguments as JSON."""
    actions.update({function.__name__: function for function in functions})
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        if name not in actions:
            raise Absent("no such function")
        answer = {"outcome": "ok", "value": actions[name](arguments)}
    except Absent as error:
        answer = {"outcome": "absent", "said": str(error)}
    except Exception as error:
        answer = {"outcome": "error", "type": type(error).__name__, "said": str(error), "fields": _fields(error)}
    print(json.dumps(answer, default=str))


def _fields(error: BaseException | None) -> str:
    """Return what a user of the library can read from the error beside its message, and from its causes."""
    texts = []
    while error is not None:
        texts.append(f"{type(error).__name__} {error} {vars(error)!r}")
        error = error.__cause__
    return "\n".join(texts)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command of a client and return what it printed.

    :raises Failed: when it ends with an error.
    """
    result = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        printed = f"{result.stderr.strip()}\n{result.stdout.strip()}".strip()
        raise Failed(f"{printed} (exit code {result.returncode})")
    return result


def data_url(path: str) -> str:
    """Return a file as a data URL."""
    kinds = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
    kind = kinds[Path(path).suffix]
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
