"""Calls veniceresch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from veniceresch import VeniceClient

from tests.clients.drivers.answers import PATIENCE, POLL_INTERVAL, data_url, main


def video() -> Any:
    return _client().video


def _client() -> Any:
    return VeniceClient(base_url=os.environ["VENICE_BASE_URL"])


def models(_: dict[str, Any]) -> list[str]:
    return [model["id"] for model in _client().models.list(type="video").data]


def quote(wanted: dict[str, Any]) -> float:
    priced = ("model", "duration", "aspect_ratio", "resolution", "video_url", "upscale_factor")
    fields = {name: value for name, value in _arguments(wanted).items() if name in priced}
    return float(video().quote(**fields).quote)


def submit(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"queue_id": video().queue(**_arguments(wanted)).queue_id}


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    job = video().queue(**_arguments(wanted))
    known = {"model": wanted["model"], "queue_id": job.queue_id}
    video().wait_for_completion(**known, poll_interval_s=POLL_INTERVAL, timeout_s=PATIENCE, raise_on_failed=True)
    Path(wanted["output"]).write_bytes(video().download(**known, download_url=job.download_url))
    return {"queue_id": job.queue_id}


def collect(wanted: dict[str, Any]) -> dict[str, Any]:
    """Collect a job that is known to be done, without waiting for it."""
    clip = video().download(model=wanted["model"], queue_id=wanted["queue_id"])
    Path(wanted["output"]).write_bytes(clip)
    return {}


def delete(wanted: dict[str, Any]) -> dict[str, Any]:
    collect(wanted)
    return {"success": video().complete(model=wanted["model"], queue_id=wanted["queue_id"]).success}


def _arguments(wanted: dict[str, Any]) -> dict[str, Any]:
    fields = {name: wanted[name] for name in ("model", "duration", "aspect_ratio", "resolution")}
    # The prompt is required, also where a model has none.
    fields["prompt"] = wanted["prompt"] or "upscale"
    if wanted["image"]:
        fields["image_url"] = data_url(wanted["image"])
    if wanted["video"]:
        fields |= {"video_url": data_url(wanted["video"]), "upscale_factor": 2}
    return {name: value for name, value in fields.items() if value is not None}


main(models, quote, submit, make, collect, delete)
