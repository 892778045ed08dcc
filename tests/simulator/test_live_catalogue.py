"""What the live service has published of its models: their constraints, and quotes for clips of them."""

from __future__ import annotations

import pytest

from airflow_provider_venice.simulator.catalog import MODELS
from tests.simulator.client import Client

#: Quotes of 2026-09-28: model, resolution, seconds, sound, US dollars.
QUOTES: list[tuple[str, str | None, int, bool, float]] = [
    ("flux-3-text-to-video", "720p", 15, True, 2.81),
    ("flux-3-image-to-video", "1080p", 5, True, 1.6),
    ("gemini-omni-flash-text-to-video", None, 10, False, 1.38),
    ("grok-imagine-1-5-image-to-video-private", "480p", 1, True, 0.1),
    ("grok-imagine-1-5-image-to-video-private", "1080p", 15, True, 4.32),
    ("grok-imagine-text-to-video-private", "480p", 13, True, 0.82),
    ("happyhorse-1-1-text-to-video", "1080p", 7, True, 1.39),
    ("kling-o3-standard-reference-to-video", None, 11, True, 1.35),
    ("kling-o3-standard-reference-to-video", None, 11, False, 1.02),
    ("kling-v3-4k-text-to-video", None, 15, False, 6.93),
    ("longcat-text-to-video", "720p", 30, False, 1.52),
    ("ltx-2-5-pro-image-to-video", "1080p", 8, True, 1.5),
    ("minimax-h3-text-to-video", "2K", 7, True, 1.14),
    ("minimax-h3-max-multi-angle", "768P", 13, True, 1.25),
    ("ovi-image-to-video", None, 5, True, 0.22),
    ("pixverse-c1-text-to-video", "540p", 15, True, 0.82),
    ("pixverse-v5.6-text-to-video", "1080p", 8, False, 1.9),
    ("runway-gen4-turbo", None, 7, False, 0.47),
    ("seedance-1-5-pro-text-to-video-basic", "480p", 9, False, 0.17),
    ("seedance-2-0-text-to-video-basic", "4k", 15, True, 14.67),
    ("seedance-2-0-mini-image-to-video-basic", "720p", 12, True, 1.13),
    ("seedance-2-5-text-to-video-basic", "1080p", 17, True, 12.16),
    ("veo3-full-image-to-video", None, 8, True, 1.76),
    ("veo3.1-fast-text-to-video", "4k", 6, False, 1.98),
    ("vidu-q3-text-to-video", "1080p", 3, True, 0.58),
    ("wan-2.6-text-to-video", "720p", 5, True, 0.55),
    ("wan-2.6-flash-image-to-video", "1080p", 10, True, 0.83),
]


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: "-".join(map(str, quote)))
def test_a_clip_costs_what_the_live_service_has_quoted(
    client: Client, quote: tuple[str, str | None, int, bool, float]
) -> None:
    name, resolution, seconds, audio, price = quote
    body = {"model": name, "duration": f"{seconds}s", "resolution": resolution, "audio": audio}
    given = {field: value for field, value in body.items() if value is not None}
    assert client.post("video/quote", given).json() == {"quote": price}


def test_every_clip_of_every_model_has_a_price() -> None:
    for model in MODELS.values():
        for duration in model.durations:
            for resolution in model.resolutions or (None,):
                body = {"model": model.id, "duration": duration, "resolution": resolution}
                assert model.price({name: value for name, value in body.items() if value is not None}) > 0


@pytest.mark.parametrize(
    ("name", "constraints"),
    [
        ("wan-2-7-text-to-video", (["5s", "10s", "15s"], ["1080p", "720p"], ["16:9", "9:16", "1:1"], False, False)),
        ("wan-2-7-video-to-video", (["Auto"], ["1080p", "720p"], [], False, False)),
        ("veo3-fast-image-to-video", (["8s"], [], ["16:9"], True, False)),
        ("kling-v3-pro-motion-control", (["Auto"], [], [], False, False)),
        ("longcat-distilled-image-to-video", (["5s", "10s", "15s", "20s", "30s"], ["720p"], [], False, False)),
    ],
)
def test_constraints_are_those_of_the_live_service(client: Client, name: str, constraints: tuple[object, ...]) -> None:
    models = {
        model["id"]: model["model_spec"]["constraints"] for model in client.get("models?type=video").json()["data"]
    }
    fields = ("durations", "resolutions", "aspect_ratios", "audio", "audio_configurable")
    assert tuple(models[name][field] for field in fields) == constraints


def test_prices_that_the_documentation_shows_are_the_simulators_own(client: Client) -> None:
    for name in ("wan-2-7-text-to-video", "wan-2-7-image-to-video"):
        assert client.post("video/quote", {"model": name, "duration": "5s"}).json() == {"quote": 0.35}
