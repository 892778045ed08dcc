"""Calls venice-py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from venice_ai import VeniceClient
from venice_ai.resources.video import VideoJob
from venice_ai.types.api.video import VideoQueueResponse

from tests.clients.drivers.answers import PATIENCE, POLL_INTERVAL, Action, data_url, main


def with_client(work: Callable[[Any, dict[str, Any]], Awaitable[Any]]) -> Action:
    """Return an action that does ``work`` with a client of its own."""

    async def run(wanted: dict[str, Any]) -> Any:
        async with VeniceClient() as client:
            return await work(client, wanted)

    return lambda wanted: asyncio.run(run(wanted))


async def models(client: Any, _: dict[str, Any]) -> list[str]:
    return [model.id for model in (await client.models.list(type="video")).data]


async def quote(client: Any, wanted: dict[str, Any]) -> float:
    priced = ("model", "duration_seconds", "aspect_ratio", "resolution", "video_url", "upscale_factor")
    fields = {name: value for name, value in _arguments(wanted).items() if name in priced}
    return float((await client.video.quote(**fields)).quote)


async def submit(client: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"queue_id": (await client.video.submit(**_arguments(wanted))).queue_id}


async def make(client: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    job = await client.video.run(**_arguments(wanted))
    await _save(job, wanted)
    return {"queue_id": job.queue_id}


async def collect(client: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    await _save(_known_job(client, wanted), wanted)
    return {}


async def delete(client: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    async with _known_job(client, wanted) as job:
        await _save(job, wanted)
    return {}


async def delete_private(client: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    async with await client.video.run(**_arguments(wanted)) as job:
        await _save(job, wanted)
    return {}


def _known_job(client: Any, wanted: dict[str, Any]) -> Any:
    return VideoJob(client, VideoQueueResponse(model=wanted["model"], queue_id=wanted["queue_id"]))


async def _save(job: Any, wanted: dict[str, Any]) -> None:
    status = await job.wait(poll_interval=POLL_INTERVAL, max_polls=round(PATIENCE / POLL_INTERVAL))
    await job.download(Path(wanted["output"]), status)


def _arguments(wanted: dict[str, Any]) -> dict[str, Any]:
    fields = {name: wanted[name] for name in ("model", "prompt", "aspect_ratio", "resolution")}
    fields["duration_seconds"] = wanted["duration"]
    if wanted["image"]:
        fields["image_url"] = data_url(wanted["image"])
    if wanted["video"]:
        fields |= {"video_url": data_url(wanted["video"]), "upscale_factor": 2}
    return {name: value for name, value in fields.items() if value is not None}


main(**{work.__name__: with_client(work) for work in (models, quote, submit, make, collect, delete, delete_private)})
