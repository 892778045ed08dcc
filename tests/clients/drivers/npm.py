"""Runs the commands of veniceai-cli."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.clients.drivers.answers import Absent, Failed, main, run_command

_SCRIPTS = Path(sys.executable).parent
_PROGRAM = _SCRIPTS.parent / "node_modules" / "veniceai-cli" / "dist" / "index.js"


def venice(*arguments: str) -> str:
    return run_command(str(_SCRIPTS / "node"), str(_PROGRAM), *arguments).stdout


def models(_: dict[str, Any]) -> list[str]:
    return [model["id"] for model in json.loads(venice("models", "--type", "video", "--format", "json"))]


def submit(wanted: dict[str, Any]) -> dict[str, Any]:
    if wanted["video"]:
        raise Absent("no option for a video")
    job = json.loads(venice("video", "generate", *_arguments(wanted), "--format", "json"))
    return {"queue_id": job["queue_id"]}


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    job = submit(wanted)
    venice("video", "status", "--wait", job["queue_id"], "--model", wanted["model"])
    _save({**wanted, **job})
    return job


def collect(wanted: dict[str, Any]) -> dict[str, Any]:
    _save(wanted)
    return {}


def _save(wanted: dict[str, Any]) -> None:
    printed = venice("video", "retrieve", wanted["queue_id"], "--model", wanted["model"], "-o", wanted["output"])
    if not Path(wanted["output"]).exists():
        raise Failed(f"{printed.strip()} (exit code 0, and no file)")


def _arguments(wanted: dict[str, Any]) -> list[str]:
    options = {
        "--model": wanted["model"],
        "--duration": wanted["duration"],
        "--aspect-ratio": wanted["aspect_ratio"],
        "--image": wanted["image"],
    }
    return [wanted["prompt"], *(part for name, value in options.items() if value is not None for part in (name, value))]


main(models, submit, make, collect)
