"""
The fingerprint of a request: whether a task still asks for the clip that it has paid for.

Fingerprints are stored, and compared by later releases. What they are computed from must never change;
``tests/api/test_fingerprint.py`` has a table of digests that holds this. A new rule needs a new version.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.api.values import bare_url

_VERSION = "2"

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

#: What the first version computed the digest from: the ``repr`` of the request, with these fields in this order.
_FIRST_FIELDS = (
    *("model", "prompt", "duration", "aspect_ratio", "resolution", "audio", "negative_prompt"),
    *("image_url", "end_image_url", "audio_url", "video_url", "upscale_factor"),
    *("reference_image_urls", "reference_video_urls", "reference_audio_urls", "reference_document_urls"),
    *("elements", "scene_image_urls", "keyframes", "bitrate_mode", "omni_reference_task_type", "consents"),
    *("seed", "fps", "motion_bucket_id", "guidance_scale", "reference_video_total_duration", "extra_body"),
)


def fingerprint(request: VideoRequest) -> str:
    """
    Return ``"2:"`` and the SHA-256 of what is sent to ``/video/queue``, as canonical JSON.

    The order of keys does not count, nor do the query, fragment and user info of a URL, which are new each
    time it is signed. Bytes and data URLs count by their content, files by their path.
    """
    return f"{_VERSION}:{_digest(_canonical_json(request.to_body()).encode('ascii'))}"


def same_request(stored: str, request: VideoRequest) -> bool | None:
    """
    Compare a request with a stored fingerprint of this release or an earlier one.

    :param stored: what :func:`fingerprint` returned, or 64 hexadecimal digits of the first version.
    :return: ``None`` where nobody can tell: the version is not known, or it is the first one, whose digests
        change with each signature of a URL.
    """
    if _DIGEST.fullmatch(stored):
        return _same_as_first(stored, request)
    version, _, digest = stored.partition(":")
    if version != _VERSION or not _DIGEST.fullmatch(digest):
        return None
    return stored == fingerprint(request)


def _canonical_json(value: Any) -> str:
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def _canonical(value: Any, name: str = "") -> Any:
    """Return a value as JSON in the one form that stands for all its spellings; ``name`` is its field."""
    if isinstance(value, Mapping):
        # None is not set, so that a field of extra_body may become one of VideoRequest.
        return {key: _canonical(entry, key) for key, entry in value.items() if entry is not None}
    if isinstance(value, (list, tuple)):
        return [_canonical(entry, name) for entry in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"sha256:{_digest(bytes(value))}"
    if isinstance(value, str):
        return value if "prompt" in name else _canonical_text(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, os.PathLike) or hasattr(value, "open"):
        return _canonical_text(str(value))
    return f"object:{type(value).__name__}"  # the API cannot be sent it: it is refused before the charge


def _canonical_text(text: str) -> str:
    if text.lstrip()[:5].lower() != "data:":
        return bare_url(text) or text
    head, _, content = text.strip().partition(",")
    try:
        if head.lower().endswith(";base64"):
            return f"sha256:{_digest(base64.b64decode(content, validate=True))}"
    except (binascii.Error, ValueError):
        pass  # refused before the charge
    return f"sha256:{_digest(text.strip().encode('utf-8', 'surrogatepass'))}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _same_as_first(stored: str, request: VideoRequest) -> bool | None:
    try:
        fields = ", ".join(f"{name}={getattr(request, name)!r}" for name in _FIRST_FIELDS)
        if stored == _digest(f"VideoRequest({fields})".encode()):
            return True
    except Exception:  # an object without repr, or a lone surrogate: the first version could not store these
        return None
    # A wrong False stops a task whose request has not changed, so it is said only where the digest of this
    # request was the same in each try: no signature in it, and no value that is kept in another form by now.
    # Labels are not part of what was asked for.
    sent = {name: value for name, value in request.to_mapping().items() if name != "labels"}
    return False if all(map(_is_steady, sent.items())) else None


def _is_steady(item: tuple[str, Any]) -> bool:
    name, value = item
    if name not in _FIRST_FIELDS or not isinstance(value, (str, bool, int, float)):
        return False
    return "prompt" in name or not isinstance(value, str) or bare_url(value) is None
