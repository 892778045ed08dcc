"""What the vendor checks before it takes a request: every wrong field is named."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_venice.simulator.catalog import MODELS, Model

Problems = dict[str, list[str]]

#: Fields of the vendor's QuoteVideoRequest, and those of its guides that price as well. Further keys are taken
#: and ignored.
_QUOTE_FIELDS = frozenset(
    {
        *("model", "duration", "aspect_ratio", "resolution", "upscale_factor", "audio", "video_url"),
        *("reference_video_total_duration", "target_fps", "slowdown_factor"),
    }
)

#: What the vendor's documents say that the quote does not take.
_NOT_QUOTED = ("bitrate_mode",)

#: Fields of a video enhancement, from the vendor's guides.
_ENHANCEMENTS = frozenset(
    {
        *("target_fps", "slowdown_factor", "enhancement_model", "compression", "creativity", "grain", "halo", "noise"),
        *("realism", "recover_detail", "sharp", "softness", "h264_output", "output_format"),
    }
)

#: Fields of the vendor's QueueVideoRequest, and those of its guides and its older documents.
_QUEUE_FIELDS = _ENHANCEMENTS | {
    *("model", "prompt", "negative_prompt", "duration", "aspect_ratio", "resolution", "upscale_factor", "audio"),
    *("image_url", "end_image_url", "audio_url", "video_url", "reference_image_urls", "reference_video_urls"),
    *("reference_audio_urls", "reference_document_urls", "elements", "scene_image_urls", "keyframes"),
    *("omni_reference_task_type", "consents", "bitrate_mode", "image_strength", "camera_trajectory"),
    *("seed", "fps", "motion_bucket_id", "guidance_scale", "reference_video_total_duration"),
}

#: Fewest and most entries of a list, from the vendor's schema and guides.
_LIST_LIMITS = {
    "reference_image_urls": (0, 30),
    "reference_video_urls": (0, 10),
    "reference_audio_urls": (0, 10),
    "reference_document_urls": (0, 1),
    "elements": (0, 4),
    "scene_image_urls": (0, 4),
    "keyframes": (0, 10),
    "camera_trajectory": (2, 12),
}

_INTEGERS = ("upscale_factor", "seed", "fps", "motion_bucket_id", "target_fps")
_NUMBERS = ("guidance_scale", "reference_video_total_duration", "slowdown_factor", "image_strength")
#: What the guides name without a type.
_UNTYPED = _ENHANCEMENTS - {*_INTEGERS, *_NUMBERS, "enhancement_model", "output_format"}

#: What stands for the source's own length and shape.
_SOURCE_MATCHED = {"duration": ("auto", "Auto", "-1"), "aspect_ratio": ("adaptive", "auto")}

_MEDIA_FIELDS = ("image_url", "end_image_url", "audio_url", "video_url")
_FACES = {
    "image_url": "image",
    "end_image_url": "end_image",
    "reference_image_urls": "reference_image",
    "video_url": "video",
    "reference_video_urls": "reference_video",
}
_ATTESTATIONS = ("confirmed_terms_and_privacy", "confirmed_legal_right", "confirmed_screening_acknowledged")


def check_keys(body: Mapping[str, Any], required: tuple[str, ...], flags: tuple[str, ...] = ()) -> Problems:
    """Check a small body: strings that must be there, booleans that may, nothing else."""
    problems: Problems = {}
    for name in required:
        if not isinstance(body.get(name), str) or not body[name]:
            problems[name] = ["Field is required"]
    for name in body:
        if name in flags and not isinstance(body[name], bool):
            problems[name] = [f"Expected boolean, received {_kind(body[name])}"]
        elif name not in (*required, *flags):
            problems[name] = ["Unrecognized key"]
    return problems


def check_quote(body: Mapping[str, Any]) -> Problems:
    """Check the body of ``/video/quote``; further keys are ignored, as the vendor's schema does not forbid them."""
    problems: Problems = {name: ["Unrecognized key"] for name in body if name in _NOT_QUOTED}
    model = _model(body, problems)
    priced = {name: value for name, value in body.items() if name in _QUOTE_FIELDS and name not in problems}
    _check_types(priced, problems)
    if model is None or problems:
        return problems
    # The schema wants a duration even where the model has none, and guides send an aspect ratio to any model.
    if model.upscaler:
        priced.pop("duration", None)
    if not model.aspect_ratios:
        priced.pop("aspect_ratio", None)
    _check_support(model, priced, problems, ignored=_ENHANCEMENTS)
    _check_choices(model, priced, problems)
    return problems


def check_queue(body: Mapping[str, Any]) -> Problems:
    """Check the body of ``/video/queue``."""
    problems: Problems = {name: ["Unrecognized key"] for name in body if name not in _QUEUE_FIELDS}
    model = _model(body, problems)
    _check_types({name: value for name, value in body.items() if name not in problems}, problems)
    if model is None or problems:
        return problems
    _check_support(model, body, problems)
    _check_choices(model, body, problems)
    _check_prompts(model, body, problems)
    _check_sources(model, body, problems)
    if not problems:
        _check_urls(body, problems)
        _check_consents(body, problems)
    return problems


def face_roles(model: Model, body: Mapping[str, Any]) -> list[str]:
    """Return the media that make the provider ask for consent, empty when it need not be asked for."""
    if not model.needs_consent or body.get("consents"):
        return []
    return [role for name, role in _FACES.items() if body.get(name)]


def _model(body: Mapping[str, Any], problems: Problems) -> Model | None:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        problems["model"] = ["Field is required"]
        return None
    if name not in MODELS:
        problems["model"] = [f"Specified model not found: {name}"]
    return MODELS.get(name)


def _check_types(body: Mapping[str, Any], problems: Problems) -> None:
    for name, value in body.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name == "audio":
            fits, wanted = isinstance(value, bool), "boolean"
        elif name in _INTEGERS:
            fits, wanted = number and isinstance(value, int), "integer"
        elif name in _NUMBERS:
            fits, wanted = number, "number"
        elif name in _UNTYPED:
            continue
        elif name in _LIST_LIMITS:
            fits, wanted = isinstance(value, list), "array"
        elif name == "consents":
            fits, wanted = isinstance(value, dict), "object"
        else:
            fits, wanted = isinstance(value, str), "string"
        if not fits:
            problems[name] = [f"Expected {wanted}, received {_kind(value)}"]
        elif name in _LIST_LIMITS:
            _check_items(name, value, problems)


def _check_items(name: str, items: list[Any], problems: Problems) -> None:
    wanted = dict if name in ("elements", "keyframes", "camera_trajectory") else str
    least, most = _LIST_LIMITS[name]
    if len(items) > most:
        problems[name] = [f"Array must contain at most {most} element(s)"]
    elif len(items) < least:
        problems[name] = [f"Array must contain at least {least} element(s)"]
    elif not all(isinstance(item, wanted) for item in items):
        problems[name] = [f"Expected items of type {'object' if wanted is dict else 'string'}"]
    elif name == "keyframes" and not all(
        isinstance(item.get("image_url"), str) and isinstance(item.get("frame_index"), int) for item in items
    ):
        problems[name] = ["Each keyframe needs image_url and frame_index"]


def _check_support(
    model: Model, body: Mapping[str, Any], problems: Problems, ignored: frozenset[str] = frozenset()
) -> None:
    # The vendor's guides send the references' length to the queue as well, where it has no effect.
    supported = {"model", "reference_video_total_duration"} | model.takes | ignored
    if not model.upscaler:
        supported |= {"prompt", "duration"}
    if model.aspect_ratios:
        supported.add("aspect_ratio")
    if model.resolutions:
        supported.add("resolution")
    if model.audio_configurable or body.get("audio") is model.audio:
        supported.add("audio")
    if model.upscaler:
        supported |= _ENHANCEMENTS
    for name in body:
        if name not in supported:
            problems[name] = [f"This model does not support {name}"]


def _check_choices(model: Model, body: Mapping[str, Any], problems: Problems) -> None:
    if model.durations and "duration" not in body:
        problems.setdefault("duration", ["Field is required"])
    for name, allowed in (
        ("duration", model.durations),
        ("aspect_ratio", model.aspect_ratios),
        ("resolution", model.resolutions),
    ):
        if name in body and body[name] not in (*allowed, *_source_matched(model, body, name)):
            problems.setdefault(name, [f"Invalid value. Allowed: {', '.join(allowed)}"])
    if body.get("upscale_factor", 2) not in (1, 2, 4):
        problems.setdefault("upscale_factor", ["Invalid value. Allowed: 1, 2, 4"])
    for name in ("fps", "target_fps"):
        if not 1 <= body.get(name, 24) <= 120:
            problems.setdefault(name, ["Number must be between 1 and 120"])
    if body.get("slowdown_factor", 1) < 1:
        problems.setdefault("slowdown_factor", ["Number must be greater than or equal to 1"])


def _source_matched(model: Model, body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the values that stand for the source's own, where the request has a source."""
    has_source = body.get("reference_video_urls") or body.get("reference_video_total_duration")
    takes_source = "reference_video_urls" in model.takes
    return _SOURCE_MATCHED.get(name, ()) if has_source and takes_source else ()


def _check_prompts(model: Model, body: Mapping[str, Any], problems: Problems) -> None:
    if not model.upscaler and not body.get("prompt"):
        problems["prompt"] = ["Field is required"]
    for name in ("prompt", "negative_prompt"):
        if len(body.get(name) or "") > model.prompt_character_limit:
            problems[name] = [f"String must contain at most {model.prompt_character_limit} character(s)"]


def _check_sources(model: Model, body: Mapping[str, Any], problems: Problems) -> None:
    if model.upscaler and not body.get("video_url"):
        problems["video_url"] = ["Field is required"]
    pictures = ("image_url", "reference_image_urls", "elements", "scene_image_urls", "keyframes")
    sources = (*pictures, "video_url", "reference_video_urls")
    if model.model_type == "image-to-video" and not any(body.get(name) for name in sources):
        problems["image_url"] = ["Field is required"]


def _check_consents(body: Mapping[str, Any], problems: Problems) -> None:
    if "consents" not in body:
        return
    given = body["consents"].get("seedance")
    if not isinstance(given, dict) or not all(given.get(name) is True for name in _ATTESTATIONS):
        problems["consents"] = [f"seedance needs {', '.join(_ATTESTATIONS)}, all true"]


def _check_urls(body: Mapping[str, Any], problems: Problems) -> None:
    for name, kind, url in _urls(body):
        problem = _url_problem(url, kind)
        if problem is not None:
            problems.setdefault(name, []).append(problem)


def _urls(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield field, kind of media and URL for every URL in the body."""
    for name in _MEDIA_FIELDS:
        if name in body:
            yield name, "image" if "image" in name else name.partition("_")[0], body[name]
    for name in ("reference_image_urls", "reference_video_urls", "reference_audio_urls", "scene_image_urls"):
        kind = "image" if "image" in name else name.split("_")[1]
        yield from ((name, kind, url) for url in body.get(name, ()))
    yield from (("reference_document_urls", "", url) for url in body.get("reference_document_urls", ()))
    yield from (("keyframes", "image", item["image_url"]) for item in body.get("keyframes", ()))
    for item in body.get("elements", ()):
        if "frontal_image_url" in item:
            yield "elements", "image", item["frontal_image_url"]
        yield from (("elements", "image", url) for url in item.get("reference_image_urls", ()))
        if "video_url" in item:
            yield "elements", "video", item["video_url"]


def _url_problem(url: Any, kind: str) -> str | None:
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:")):
        return "Must be a URL (http/https) or a data URL"
    if not url.startswith("data:"):
        return None
    head, comma, text = url[len("data:") :].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64":
        return "Must be a base64 data URL"
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "The data URL is not valid base64"
    if kind and not media_type.startswith(f"{kind}/"):
        return f"Must be a data:{kind}/... URL, not {media_type}"
    real = real_types(data)
    if media_type not in real and (kind or real):
        return f"The data URL says {media_type}, but the file is {' or '.join(real) or 'of an unknown type'}"
    return None


def real_types(data: bytes) -> tuple[str, ...]:
    """Return the MIME types that a file's first bytes speak for."""
    if data[4:8] == b"ftyp":
        brands = {b"qt  ": ("video/quicktime",), b"avif": ("image/avif",), b"heic": ("image/heic",)}
        return brands.get(data[8:12], ("video/mp4", "video/quicktime", "audio/mp4"))
    if data[:4] == b"RIFF":
        return {b"WEBP": ("image/webp",), b"WAVE": ("audio/wav", "audio/x-wav", "audio/wave")}.get(data[8:12], ())
    for magic, types in (
        (b"\x89PNG\r\n\x1a\n", ("image/png",)),
        (b"\xff\xd8\xff", ("image/jpeg", "image/jpg")),
        (b"GIF8", ("image/gif",)),
        (b"\x1aE\xdf\xa3", ("video/webm", "audio/webm", "video/x-matroska")),
        (b"ID3", ("audio/mpeg", "audio/mp3")),
        (b"%PDF", ("application/pdf",)),
    ):
        if data.startswith(magic):
            return types
    return ("audio/mpeg", "audio/mp3") if data[:1] == b"\xff" and data[1:2] >= b"\xe0" else ()


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
