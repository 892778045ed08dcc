"""A clip as the pages get it: plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from airflow_provider_venice.plugin.clips import Clip
from airflow_provider_venice.plugin.entries import Place
from airflow_provider_venice.plugin.files import why_not_served


def card(clip: Clip, usual: Mapping[str, float]) -> dict[str, Any]:
    """
    Return what a page shows of a clip.

    :param clip: the clip.
    :param usual: seconds that a clip of each model usually takes.
    """
    file, key = clip.file, clip.first.record.key
    unavailable = None if file is None else why_not_served(file)
    return {
        "id": clip.id,
        **key._asdict(),
        "position": clip.first.number,
        "label": clip.first.label,
        "state": clip.state,
        "prompt": clip.prompt,
        "model": clip.model,
        **{name: clip.request.get(name) for name in ("duration", "resolution", "aspect_ratio", "audio")},
        "request": clip.request,
        "labels": clip.entry.get("labels") or clip.job.get("labels") or {},
        "cost": clip.cost,
        "is_refunded": clip.is_refunded,
        "is_reused": clip.is_reused,
        "time": clip.time,
        "queued_at": clip.queued_at,
        "detected_at": clip.detected_at,
        "stored_at": clip.stored_at,
        "progress": clip.progress(usual),
        "error": clip.error,
        "advice": clip.advice,
        "suggested_prompt": clip.entry.get("suggested_prompt"),
        "recommended_model": clip.entry.get("recommended_model"),
        "file": file,
        "stream": None if file is None or unavailable else _stream(clip.last),
        "unavailable": unavailable,
        "queue_id": clip.queue_id,
        "tasks": [
            {
                "task_id": place.record.key.task_id,
                "map_index": place.record.key.map_index,
                "state": place.record.state,
                "part": place.record.part,
            }
            for place in clip.places
        ],
    }


def _stream(place: Place) -> str:
    """Return the URL of the file, relative to the pages: where it is in what its task has written, never a path."""
    return "stream?" + urlencode({**place.record.key._asdict(), "position": place.position})
