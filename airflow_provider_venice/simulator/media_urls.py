"""Whether the URLs of a request can be media: their form, and of data URLs the real type of the file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_venice.simulator.issues import Issue

_MEDIA_FIELDS = ("image_url", "end_image_url", "audio_url", "video_url")


def url_issues(body: Mapping[str, Any]) -> Iterator[Issue]:
    """Yield what is wrong with the media of a request that keeps to the schema."""
    for name, kind, url in _urls(body):
        problem = _url_problem(url, kind)
        if problem is not None:
            yield Issue((name,), problem)


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
