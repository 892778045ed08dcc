"""Calls venice-sdk."""

from __future__ import annotations

from typing import Any

from venice_sdk.venice_client import VeniceClient

from tests.clients.drivers.answers import PATIENCE, POLL_INTERVAL, data_url, main


def models(_: dict[str, Any]) -> list[str]:
    return [model["id"] for model in VeniceClient().models.list(type="video")]


def quote(wanted: dict[str, Any]) -> float:
    price: float = VeniceClient().video.quote(**_arguments(wanted)).estimated_cost
    return price


def submit(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"queue_id": VeniceClient().video.queue(**_arguments(wanted)).job_id}


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    client = VeniceClient()
    job = client.video.queue(**_arguments(wanted))
    _save(client, job.job_id, wanted)
    return {"queue_id": job.job_id}


def collect(wanted: dict[str, Any]) -> dict[str, Any]:
    _save(VeniceClient(), wanted["queue_id"], wanted)
    return {}


def delete(wanted: dict[str, Any]) -> dict[str, Any]:
    client = VeniceClient()
    _save(client, wanted["queue_id"], wanted)
    return dict(client.video.cleanup(wanted["queue_id"], wanted["model"]))


def _save(client: Any, job_id: str, wanted: dict[str, Any]) -> None:
    done = client.video.wait_for_completion(
        job_id, poll_interval=POLL_INTERVAL, max_wait_time=PATIENCE, model=wanted["model"]
    )
    done.download(wanted["output"])


def _arguments(wanted: dict[str, Any]) -> dict[str, Any]:
    fields = {name: wanted[name] for name in ("model", "prompt", "duration", "aspect_ratio", "resolution", "image")}
    fields = {name: value for name, value in fields.items() if value is not None}
    if wanted["video"]:
        # Further keywords are sent as they are; a prompt or an image is required.
        fields |= {"prompt": "upscale", "video_url": data_url(wanted["video"]), "upscale_factor": 2}
    return fields


main(models, quote, submit, make, collect, delete)
