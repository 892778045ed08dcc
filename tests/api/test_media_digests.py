"""Digests of media are stored, and compared by later releases: what they are computed from stays."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from airflow_provider_venice.api.media_digests import media_digests

PLACE = "https://media.example/a.png"


def query(text: str) -> str:
    return f"query-sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("body", "digests"),
    [
        ({"model": "wan", "prompt": "https://media.example/a?b=1", "seed": 7, "duration": "5s"}, {}),
        ({"image_url": PLACE}, {}),
        (
            {"image_url": "data:image/png;base64,AQID"},
            {"image_url": f"sha256:{hashlib.sha256(bytes([1, 2, 3])).hexdigest()}"},
        ),
        (
            {"reference_image_urls": [PLACE, "data:image/webp;base64,AQID"]},
            {"reference_image_urls[1]": "sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81"},
        ),
        (
            {"keyframes": [{"image_url": f"{PLACE}?frame=1&size=", "frame_index": 0}]},
            {"keyframes[0].image_url": query("frame=1&size=")},
        ),
        ({"style": {"source": f"{PLACE}?v=2#top", "prompt": f"{PLACE}?v=3"}}, {"style.source": query("v=2")}),
        ({"image_url": "data:,plain"}, {"image_url": f"sha256:{hashlib.sha256(b'data:,plain').hexdigest()}"}),
    ],
)
def test_digests(body: dict[str, Any], digests: dict[str, str]) -> None:
    assert media_digests(body) == digests


@pytest.mark.parametrize(
    "signature",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=me%2F2026&X-Amz-Date=1&X-Amz-Expires=60&X-Amz-Signature=ab",
        "X-Goog-Algorithm=GOOG4&X-Goog-Credential=me&X-Goog-Date=1&X-Goog-Expires=60&X-Goog-Signature=ab",
        "AWSAccessKeyId=me&Expires=60&Signature=ab",
        "Policy=abc&Signature=ab&Key-Pair-Id=K1",
        "sv=2024&st=1&se=2&sr=b&sp=r&sig=ab%3D",
    ],
)
def test_a_signature_does_not_count(signature: str) -> None:
    assert media_digests({"image_url": f"{PLACE}?{signature}"}) == {}
    assert media_digests({"image_url": f"{PLACE}?v=2&{signature}"}) == {"image_url": query("v=2")}


def test_what_only_looks_like_a_part_of_a_signature_counts() -> None:
    for text in ("sp=1", "policy=7", "Expires=60", "signature_of=x"):
        assert media_digests({"image_url": f"{PLACE}?{text}"}) == {"image_url": query(text)}
