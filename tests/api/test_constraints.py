"""A request that its model would refuse is refused here, with everything that is wrong in one error."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_venice.api.constraints import check_request, find_model
from airflow_provider_venice.api.model import VideoModel
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError

TEXT = VideoModel(
    "wan-text",
    model_type="text-to-video",
    durations=("5s", "10s"),
    aspect_ratios=("16:9", "9:16"),
    resolutions=("720p", "1080p"),
    audio=True,
    audio_configurable=False,
    prompt_character_limit=20,
)
IMAGE = VideoModel("wan-image", model_type="image-to-video", durations=("5s",), audio=False, audio_configurable=False)
FREE = VideoModel("veo", model_type="text-to-video", durations=("auto",), audio=True, audio_configurable=True)
OFFLINE = VideoModel("ltx", model_type="text-to-video", durations=("5s",), offline=True)
UPSCALER = VideoModel("topaz-video-upscale", model_type="video")
ENHANCER = VideoModel("starlight-precise", model_type="video")
EDITOR = VideoModel("seedance-r2v", model_type="image-to-video", durations=("5s",), aspect_ratios=("16:9",))
UNTYPED = VideoModel("brand-new", durations=("5s",))
MEASURED = VideoModel("topaz-2-upscale", model_type="video", durations=("Auto",), resolutions=("2x", "4x"))
MODELS = [MEASURED, TEXT, IMAGE, FREE, OFFLINE, UPSCALER, ENHANCER, EDITOR, UNTYPED]

GOOD: list[dict[str, Any]] = [
    {"model": "wan-text", "prompt": "p", "duration": 5},
    {"model": "wan-text", "prompt": "p", "duration": "10s", "aspect_ratio": "9:16", "resolution": "1080p"},
    {"model": "wan-text", "prompt": "x" * 20, "duration": 5, "audio": True},
    {"model": "wan-image", "prompt": "p", "duration": 5, "image_url": "a"},
    {"model": "wan-image", "prompt": "p", "duration": 5, "reference_image_urls": "a"},
    {"model": "wan-image", "prompt": "p", "duration": 5, "video_url": "a", "audio": False},
    {"model": "veo", "prompt": "p", "duration": "auto", "audio": False},
    {"model": "topaz-video-upscale", "video_url": "a", "upscale_factor": 2},
    # What works on a clip may need no prompt, whatever its id, and where no type is published nobody knows.
    {"model": "starlight-precise", "video_url": "a", "upscale_factor": 1},
    {"model": "brand-new", "duration": 5},
    # As long and as wide as the source, which no model lists.
    {"model": "seedance-r2v", "prompt": "p", "reference_video_urls": "a", "duration": -1, "aspect_ratio": "adaptive"},
    {"model": "seedance-r2v", "prompt": "p", "video_url": "a", "duration": "auto", "aspect_ratio": "auto"},
    {"model": "topaz-video-upscale", "video_url": "a", "duration": "auto"},
    # Listed as "Auto", which the submission refuses: the source decides, and the duration is to be left out.
    {"model": "topaz-2-upscale", "video_url": "a"},
    {"model": "topaz-2-upscale", "video_url": "a", "upscale_factor": 1},
    {"model": "topaz-2-upscale", "video_url": "a", "prompt": "p", "duration": "Auto", "resolution": "4x"},
    {"model": "topaz-2-upscale", "video_url": "a", "duration": 5},
]


@pytest.mark.parametrize("row", GOOD)
def test_what_the_model_takes_passes(row: dict[str, Any]) -> None:
    assert check_request(VideoRequest.of(row), MODELS).id == row["model"]


BAD: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"model": "wan-text"}, {"prompt": "is missing", "duration": "allowed are 5s, 10s"}),
    (
        {"model": "wan-text", "prompt": "p", "duration": 7, "aspect_ratio": "1:1", "resolution": "4k", "audio": False},
        {
            "duration": "is '7s'; allowed are 5s, 10s",
            "aspect_ratio": "is '1:1'; allowed are 16:9, 9:16",
            "resolution": "is '4k'; allowed are 720p, 1080p",
            "audio": "always has a sound track",
        },
    ),
    ({"model": "wan-text", "prompt": "x" * 21, "duration": 5}, {"prompt": "21 characters; at most 20"}),
    (
        {"model": "wan-text", "prompt": "p", "negative_prompt": "x" * 30, "duration": 5},
        {"negative_prompt": "30 characters; at most 20"},
    ),
    (
        {"model": "wan-text", "prompt": "p", "duration": 5, "image_url": "a", "end_image_url": "b"},
        {"image_url": "text-to-video", "end_image_url": "text-to-video"},
    ),
    (
        {"model": "wan-image", "prompt": "p", "duration": 5, "aspect_ratio": "16:9", "audio": True},
        {"image_url": "is missing", "aspect_ratio": "takes none; leave it out", "audio": "never has"},
    ),
    ({"model": "veo", "prompt": "p", "duration": "auto", "upscale_factor": 2}, {"upscale_factor": "upscalers only"}),
    ({"model": "ltx", "prompt": "p", "duration": 5}, {"model": "is offline"}),
    (
        {"model": "topaz-video-upscale", "duration": 5},
        {"video_url": "is missing", "duration": "takes none; leave it out"},
    ),
]


@pytest.mark.parametrize(("row", "problems"), BAD)
def test_all_that_is_wrong_is_told_in_one_error(row: dict[str, Any], problems: dict[str, str]) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        check_request(VideoRequest.of(row), MODELS)
    assert set(caught.value.fields) == set(problems)
    for name, problem in problems.items():
        assert problem in caught.value.fields[name]
        assert f"{name} {caught.value.fields[name]}" in str(caught.value)
    assert row["model"] in str(caught.value)


@pytest.mark.parametrize("model", ["wan-text", "wan-image"])
def test_what_makes_a_clip_from_a_prompt_needs_one(model: str) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        check_request(VideoRequest.of(model=model, prompt=" ", duration=5, reference_image_urls="a"), MODELS)
    assert list(caught.value.fields) == ["prompt"]


def test_a_model_that_is_offline_may_be_back_for_a_retry() -> None:
    with pytest.raises(VeniceRequestError, match="is offline") as caught:
        check_request(VideoRequest.of(model="ltx", prompt="p", duration=5), MODELS)
    assert caught.value.can_heal
    with pytest.raises(VeniceRequestError, match="is offline") as caught:
        check_request(VideoRequest.of(model="ltx", prompt="p", duration=6), MODELS)
    assert not caught.value.can_heal, "a retry does not mend the duration"
    with pytest.raises(VeniceRequestError) as caught:
        check_request(VideoRequest.of(model="wan-text", duration=5), MODELS)
    assert not caught.value.can_heal


@pytest.mark.parametrize(
    ("wanted", "suggestion"), [("wan-txt", "wan-text"), ("topaz", "topaz-video-upscale"), ("qqqq", "ltx")]
)
def test_an_unknown_model_brings_suggestions(wanted: str, suggestion: str) -> None:
    with pytest.raises(VeniceRequestError, match=f"did you mean .*{suggestion}") as caught:
        find_model(wanted, MODELS)
    assert list(caught.value.fields) == ["model"]
