"""The models on offer: a handful of real ids with one of each habit that a client has to cope with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

#: Replacement for refused prompts and for the deprecated model.
RECOMMENDED_MODEL = "wan-2-7-text-to-video"

#: US dollars per image.
IMAGE_PRICE = Decimal("0.02")
IMAGE_MODEL = "grok-imagine-image"

#: Seconds of a clip whose length the request leaves to the vendor (``auto``, ``-1``, ``1 gen``, upscalers).
DEFAULT_SECONDS = 5

_CENT = Decimal("0.01")
#: Frames per second from which an upscaler charges twice as much (the vendor's guides).
_FAST = 48
_SHORT_SIDES = {"4k": 2160, "2k": 1440, "true_1080p": 1080}
_RATIOS = ("16:9", "9:16", "1:1")
_COMMON = frozenset({"negative_prompt", "seed", "fps", "motion_bucket_id", "guidance_scale", "bitrate_mode"})
_IMAGE = frozenset({"image_url", "end_image_url", "image_strength", "camera_trajectory"})
_REFERENCES = frozenset(
    {
        "reference_image_urls",
        "reference_video_urls",
        "reference_audio_urls",
        "reference_document_urls",
        "elements",
        "scene_image_urls",
        "keyframes",
        "omni_reference_task_type",
        "consents",
    }
)


@dataclass(frozen=True)
class Model:
    """
    A video model.

    :param usd_per_second: price of a second at 720p with sound, in US dollars; for an upscaler of one factor.
    :param takes: optional request fields that it accepts beside those that its constraints name.
    :param needs_consent: whether media that may show faces needs a person's consent.
    :param replacement: the model that follows it, when it is deprecated.
    """

    id: str
    name: str
    model_type: str
    durations: tuple[str, ...] = ("5s", "10s", "15s")
    aspect_ratios: tuple[str, ...] = _RATIOS
    resolutions: tuple[str, ...] = ("720p", "1080p")
    audio: bool = True
    audio_configurable: bool = False
    usd_per_second: Decimal = Decimal("0.07")
    takes: frozenset[str] = _COMMON
    prompt_character_limit: int = 2500
    offline: bool = False
    needs_consent: bool = False
    replacement: str | None = None
    removed_at: str = "2027-01-31T00:00:00.000Z"

    @property
    def private(self) -> bool:
        """Whether the clip comes through a private link only."""
        return self.id.endswith("-private")

    @property
    def upscaler(self) -> bool:
        """Whether it takes a clip and a factor in place of a prompt."""
        return "upscale" in self.id

    def price(self, body: Mapping[str, Any]) -> Decimal:
        """Return the price of ``body``, in US dollars; the same for a quote and for the charge."""
        if self.upscaler:
            price = self.usd_per_second * int(body.get("upscale_factor") or 2)
            price *= Decimal(str(body.get("slowdown_factor") or 1)) * (
                2 if (body.get("target_fps") or 0) >= _FAST else 1
            )
            return max(_CENT, price.quantize(_CENT, ROUND_HALF_UP))
        side = short_side(body.get("resolution") or (self.resolutions or ("720p",))[0])
        price = self.usd_per_second * seconds_of(body) * side / 720
        if self.audio_configurable and body.get("audio") is False:
            price *= Decimal("0.6")
        if "reference_video_urls" in self.takes:
            price += Decimal("0.01") * Decimal(str(body.get("reference_video_total_duration") or 0))
        return max(_CENT, price.quantize(_CENT, ROUND_HALF_UP))

    def has_audio(self, body: Mapping[str, Any]) -> bool:
        """Whether the clip gets a sound track."""
        return bool(body.get("audio", self.audio)) if self.audio_configurable else self.audio

    def headers(self) -> dict[str, str]:
        """Return the headers that announce the model's end, if it nears."""
        if self.replacement is None:
            return {}
        return {
            "x-venice-model-deprecation-warning": f"{self.id} is deprecated; use {self.replacement} instead.",
            "x-venice-model-deprecation-date": self.removed_at,
            "x-venice-deprecated": "true",
            "x-venice-deprecated-replacement": self.replacement,
        }

    def payload(self) -> dict[str, Any]:
        """Return the entry of ``/models``."""
        spec: dict[str, Any] = {
            "name": self.name,
            "description": f"{self.name}, simulated.",
            "privacy": "private" if self.private else "anonymized",
            "offline": self.offline,
            "betaModel": False,
            "modelSource": "",
            "traits": [],
            "constraints": {
                "model_type": self.model_type,
                "durations": list(self.durations),
                "aspect_ratios": list(self.aspect_ratios),
                "resolutions": list(self.resolutions),
                "audio": self.audio,
                "audio_configurable": self.audio_configurable,
                "prompt_character_limit": self.prompt_character_limit,
            },
        }
        if self.replacement is not None:
            spec["deprecation"] = {
                "autoRemap": False,
                "date": self.removed_at,
                "removesAt": self.removed_at,
                "replacementModelId": self.replacement,
            }
        return {
            "id": self.id,
            "created": 1755734400,
            "object": "model",
            "owned_by": "venice.ai",
            "type": "video",
            "model_spec": spec,
        }


MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model(
            RECOMMENDED_MODEL,
            "Wan 2.7",
            "text-to-video",
            takes=_COMMON | {"audio_url"},
        ),
        Model(
            "wan-2-7-image-to-video",
            "Wan 2.7 Image",
            "image-to-video",
            aspect_ratios=(),
            takes=_COMMON | _IMAGE | {"audio_url"},
        ),
        Model(
            "veo3.1-fast-text-to-video",
            "Veo 3.1 Fast",
            "text-to-video",
            durations=("4s", "6s", "8s"),
            aspect_ratios=("16:9", "9:16"),
            audio_configurable=True,
            usd_per_second=Decimal("0.15"),
        ),
        Model(
            "grok-imagine-text-to-video-private",
            "Grok Imagine Private",
            "text-to-video",
            durations=("5s", "10s", "15s"),
            resolutions=("480p", "720p"),
            usd_per_second=Decimal("0.06"),
        ),
        Model(
            "grok-imagine-image-to-video-private",
            "Grok Imagine Image Private",
            "image-to-video",
            aspect_ratios=(),
            resolutions=("480p", "720p"),
            usd_per_second=Decimal("0.06"),
            takes=_COMMON | _IMAGE,
        ),
        Model(
            "seedance-2-0-text-to-video-basic",
            "Seedance 2.0 Basic",
            "text-to-video",
            aspect_ratios=("16:9", "9:16", "1:1", "4:3", "3:4", "21:9"),
            resolutions=("480p", "720p", "1080p"),
            audio_configurable=True,
            usd_per_second=Decimal("0.09"),
            prompt_character_limit=20000,
            takes=_COMMON | {"consents"},
        ),
        Model(
            "seedance-2-0-image-to-video-basic",
            "Seedance 2.0 Image Basic",
            "image-to-video",
            aspect_ratios=(),
            resolutions=("480p", "720p"),
            audio_configurable=True,
            usd_per_second=Decimal("0.09"),
            prompt_character_limit=20000,
            takes=_COMMON | _IMAGE | _REFERENCES | {"video_url"},
            needs_consent=True,
        ),
        Model(
            "longcat-distilled-text-to-video",
            "Longcat Distilled",
            "text-to-video",
            aspect_ratios=(),
            resolutions=(),
            audio=False,
            usd_per_second=Decimal("0.02"),
        ),
        Model(
            "wan-2.5-preview-text-to-video",
            "Wan 2.5 Preview",
            "text-to-video",
            durations=("5s", "10s"),
            replacement=RECOMMENDED_MODEL,
        ),
        Model(
            "ltx-2-19b-full-text-to-video",
            "LTX Video 2.0 19B",
            "text-to-video",
            audio=False,
            offline=True,
        ),
        Model(
            "topaz-video-upscale",
            "Topaz Video Upscale",
            "video",
            durations=(),
            aspect_ratios=(),
            resolutions=(),
            audio=False,
            usd_per_second=Decimal("0.10"),
            takes=frozenset({"video_url", "upscale_factor"}),
        ),
    )
}


def image_payload() -> dict[str, Any]:
    """Return the ``/models`` entry of the one image model."""
    price = float(IMAGE_PRICE)
    return {
        "id": IMAGE_MODEL,
        "created": 1755734400,
        "object": "model",
        "owned_by": "venice.ai",
        "type": "image",
        "model_spec": {
            "name": "Grok Imagine",
            "privacy": "anonymized",
            "offline": False,
            "traits": [],
            "constraints": {
                "promptCharacterLimit": 7500,
                "steps": {"default": 8, "max": 8},
                "widthHeightDivisor": 1,
            },
            "pricing": {"generation": {"usd": price, "diem": price}},
        },
    }


def seconds_of(body: Mapping[str, Any]) -> int:
    """Return how long the clip of ``body`` is, in seconds."""
    text = str(body.get("duration") or "")
    return int(text[:-1]) if text.endswith("s") and text[:-1].isdigit() else DEFAULT_SECONDS


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
