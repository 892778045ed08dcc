"""What a clip costs: the rates of the vendor's quotes where they are known, and amounts of the simulator's own else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_venice.simulator.catalog import Model

#: Seconds of a clip whose length the request leaves to the vendor (``auto``, ``-1``, ``1 gen``, upscalers).
DEFAULT_SECONDS = 5

_CENT = Decimal("0.01")
#: Frames per second from which an upscaler charges twice as much (the vendor's guides).
_FAST = 48
#: Share of the price that is left for a clip without sound.
_SILENT = Decimal("0.6")
#: US dollars for a second of reference video.
_REFERENCE_SECOND = Decimal("0.01")
_SHORT_SIDES = {"4k": 2160, "2k": 1440, "true_1080p": 1080}
#: What asks for the length of the source.
_SOURCE_LENGTH = ("auto", "Auto", "-1")


def price_of(model: Model, body: Mapping[str, Any]) -> Decimal:
    """Return the price of ``body``, in US dollars; the same for a quote and for the charge."""
    if model.kind == "upscale":
        price = model.usd_per_second * upscale_factor(body)
        price *= Decimal(str(body.get("slowdown_factor") or 1)) * (2 if (body.get("target_fps") or 0) >= _FAST else 1)
    elif model.rates:
        price = model.fee + _rated(model, body)
    else:
        side = short_side(body.get("resolution") or model.default_resolution or "720p")
        price = model.usd_per_second * seconds_of(body) * side / 720
        if model.audio_configurable and body.get("audio") is False:
            price *= _SILENT
    if "reference_video_urls" in model.takes:
        price += _REFERENCE_SECOND * Decimal(str(body.get("reference_video_total_duration") or 0))
    return max(_CENT, price.quantize(_CENT, ROUND_HALF_UP))


def _rated(model: Model, body: Mapping[str, Any]) -> Decimal:
    """Return the price by the vendor's rate for a second, or by its price for each duration."""
    asked = body.get("resolution")
    rate = model.rates[asked if asked in model.resolutions else model.default_resolution or "-"]
    if isinstance(rate, dict):
        rate = rate["on" if model.has_audio(body) else "off"]
    if isinstance(rate, list):
        return Decimal(rate[model.durations.index(str(body["duration"]))])
    return Decimal(rate) * seconds_of(body)


def upscale_factor(body: Mapping[str, Any]) -> int:
    """Return by how much an upscaler enlarges: ``upscale_factor``, or a ``resolution`` such as ``2x``; 2 by default."""
    return int(body.get("upscale_factor") or str(body.get("resolution") or "2x").rstrip("x"))


def seconds_of(body: Mapping[str, Any]) -> int:
    """Return how long the clip of ``body`` is, in seconds; a source's length counts as whole seconds."""
    text = str(body.get("duration") or "")
    if text.endswith("s") and text[:-1].isdigit():
        return int(text[:-1])
    source = body.get("reference_video_total_duration") if text in _SOURCE_LENGTH else None
    return math.ceil(source) if source else DEFAULT_SECONDS


def short_side(resolution: str) -> int:
    """Return the shorter side of a named resolution such as ``720p``, in pixels."""
    name = resolution.lower()
    return _SHORT_SIDES[name] if name in _SHORT_SIDES else int(name.rstrip("p"))


def frame_size(resolution: str | None, aspect_ratio: str | None) -> tuple[int, int]:
    """Return width and height in pixels, both even, as H.264 wants them."""
    side = short_side(resolution or "720p")
    ratio = aspect_ratio if aspect_ratio and ":" in aspect_ratio else "16:9"
    wide, high = map(int, ratio.split(":"))
    long_side = round(side * max(wide, high) / min(wide, high) / 2) * 2
    return (long_side, side) if wide >= high else (side, long_side)
