"""Runs the commands of venice-cli."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from tests.clients.drivers.answers import PATIENCE, POLL_INTERVAL, Failed, main, run_command

_POLLING = ("--poll-interval", str(POLL_INTERVAL), "--max-wait", str(PATIENCE))


def venice(*arguments: str) -> str:
    return _run(*arguments).stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(sys.executable, "-m", "venice", *arguments)


def models(_: dict[str, Any]) -> list[str]:
    return venice("models", "--type", "video").split()


def quote(wanted: dict[str, Any]) -> float:
    printed = _run("video", *_arguments(wanted), "--dry-run", "--no-balance").stderr
    price = re.search(r"\$([0-9.]+)", printed)
    if price is None:
        raise Failed(printed)
    return float(price[1])


def submit(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"queue_id": venice("video", *_arguments(wanted), "--background", "--no-balance").strip()}


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    venice("video", *_arguments(wanted), "--yes", "--no-balance", "--no-cleanup", "-o", wanted["output"], *_POLLING)
    return {}


def collect(wanted: dict[str, Any]) -> dict[str, Any]:
    venice("video-status", *_job(wanted), "--no-cleanup", *_POLLING)
    return {}


def delete(wanted: dict[str, Any]) -> dict[str, Any]:
    venice("video-status", *_job(wanted), *_POLLING)
    return {}


def _job(wanted: dict[str, Any]) -> list[str]:
    return [wanted["queue_id"], "--model", wanted["model"], "-o", wanted["output"]]


def _arguments(wanted: dict[str, Any]) -> list[str]:
    options = {
        "--model": wanted["model"],
        "--duration": "Auto" if wanted["video"] else wanted["duration"],
        "--aspect-ratio": wanted["aspect_ratio"],
        "--resolution": wanted["resolution"],
        "--image": wanted["image"],
        "--video": wanted["video"],
    }
    given = [part for name, value in options.items() if value is not None for part in (name, value)]
    return [wanted["prompt"] or "upscale", *given]


main(models, quote, submit, make, collect, delete)
