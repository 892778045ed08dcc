"""A fingerprint outlives a release: what it is computed from must not change, nor may it depend on a spelling."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.api.fingerprint import fingerprint, same_request
from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.api.values import is_rendered_none

PNG = b"\x89PNG\r\n\x1a\n0123"
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()

ALL: dict[str, Any] = {
    "model": "seedance-2-0-image-to-video-basic",
    "prompt": "Ein Boot, 運河 \U0001f6f6",
    "duration": 5,
    "aspect_ratio": "16:9",
    "resolution": "720p",
    "audio": True,
    "negative_prompt": "people",
    "image_url": "https://key:pw@Cdn.example.com/a%20b.png?X-Amz-Signature=1#top",
    "end_image_url": PNG,
    "audio_url": "s3://aws_default@bucket/sound.wav",
    "video_url": PurePosixPath("/data/clip.mp4"),
    "upscale_factor": 2,
    "reference_image_urls": [URL, "frame.png"],
    "reference_video_urls": ["https://example.com/a.mp4"],
    "reference_audio_urls": ["https://example.com/a.mp3"],
    "reference_document_urls": ["https://example.com/?page=2"],
    "elements": [{"frontal_image_url": PNG, "reference_image_urls": ["https://example.com/b.png?s=1"]}],
    "scene_image_urls": ["scene.png"],
    "keyframes": [{"image_url": "k.png", "frame_index": 0}, {"image_url": URL, "frame_index": 24}],
    "bitrate_mode": "high",
    "omni_reference_task_type": "edit",
    "consents": {"seedance": {"confirmed_legal_right": True}},
    "seed": 2**63,
    "fps": 24,
    "motion_bucket_id": 127,
    "guidance_scale": 7.5,
    "reference_video_total_duration": 12,
    "extra_body": {"target_fps": 60, "slowdown_factor": 1.5, "shots": [{"prompt": "https://example.com/?a"}, None]},
}
TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": "5s"}

#: Digests that are stored somewhere. A change here makes tasks take their own clip for that of another request.
KNOWN: list[tuple[dict[str, Any], str]] = [
    (TEXT, "adaedb6d07eeb55d8465728333ab19d4fcbc8b5e484825934ab98e54b25747ea"),
    (ALL, "9dc4aab881752e842b8aaba9e8ed211a52ed6bb8c8b169560134117d4b8ffd62"),
    ({"model": "m"}, "548f58d1c36c715b44f0863472074a97c448d5b8d18164b92adf55592b127f86"),
    (
        {**TEXT, "image_url": URL, "extra_body": {"target_fps": 60}},
        "366c123508b2d38668b8fd6fc4bb8d3462d7bb2dd41867b9e3e60b6983aeb943",
    ),
    (
        {**TEXT, "elements": [{"video_url": "gs://c@b/k?x"}], "seed": "-7"},
        "1b40e684083a5834ecf69ee8f959e11bd6765a2e2f9d482c858d6d6cde0c377e",
    ),
]

#: The same of the first version.
FIRST: list[tuple[dict[str, Any], str]] = [
    (TEXT, "c4c5d0e049feba39f8f859be2de1934d0fb46026b9d82e6366a98dd914d04b19"),
    (ALL, "d15ce4220f6bdbc9d622fcb5a0e20ae729dadc153cd6c28c0c59ca6680bbc0a1"),
    ({"model": "m"}, "bbeaea575ef75e286384392f1cb89bba5451e4b59b3774a7ee50fe400d22480a"),
]


@pytest.mark.parametrize(("row", "digest"), KNOWN)
def test_stored_digests_never_change(row: dict[str, Any], digest: str) -> None:
    assert fingerprint(VideoRequest.of(row)) == f"2:{digest}"
    assert same_request(f"2:{digest}", VideoRequest.of(row)) is True


def test_the_digest_is_of_canonical_json() -> None:
    text = '{"duration":"5s","model":"m","prompt":"caf\\u00e9","x":{"a":[1,null],"b":"https://h/p"}}'
    extra = {"x": {"b": "HTTPS://u:p@h/p?q#f", "c": None, "a": (1.0, None)}}
    request = VideoRequest.of(model="m", prompt="café", duration=5, seed=None, extra_body=extra)
    assert fingerprint(request) == f"2:{hashlib.sha256(text.encode()).hexdigest()}"


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a signature", {"image_url": "https://h/a.png?sig=1"}, {"image_url": "https://h/a.png?sig=2&x=3#f"}),
    ("a signature left out", {"image_url": "https://h/a.png?sig=1"}, {"image_url": "https://h/a.png"}),
    ("a user", {"video_url": "s3://one@b/k.mp4"}, {"video_url": "s3://b/k.mp4"}),
    ("case of the scheme", {"image_url": "HTTPS://h/a.png"}, {"image_url": "https://h/a.png"}),
    ("a signature in a list", {"scene_image_urls": ["gs://b/k?1"]}, {"scene_image_urls": ["gs://b/k?2"]}),
    ("a blank in a list", {"scene_image_urls": [" https://h/k"]}, {"scene_image_urls": ["https://h/k"]}),
    (
        "a signature in an element",
        {"elements": [{"reference_image_urls": ["https://h/a?1"], "video_url": "https://h/b?1"}]},
        {"elements": [{"video_url": "https://h/b?2", "reference_image_urls": "https://h/a?2"}]},
    ),
    ("a signature in extra_body", {"extra_body": {"a": ["https://h/a?1"]}}, {"extra_body": {"a": ["https://h/a?2"]}}),
    ("bytes", {"image_url": PNG}, {"image_url": URL}),
    ("bytes of another type", {"image_url": bytearray(PNG)}, {"image_url": memoryview(PNG)}),
    ("type of a data URL", {"image_url": URL}, {"image_url": URL.replace("data:image/png", "DATA:image/x-png;a=b")}),
    ("bytes in a keyframe", {"keyframes": [{"image_url": PNG}]}, {"keyframes": {"image_url": URL}}),
    ("a path", {"image_url": "/a/b.png"}, {"image_url": Path("/a/b.png")}),
    ("one for a list of one", {"reference_image_urls": "a"}, {"reference_image_urls": ["a"]}),
    ("what is not sent", {"reference_video_total_duration": 5}, {"reference_video_total_duration": 6}),
    ("None", {"elements": [{"video_url": "a", "name": None}], "seed": None}, {"elements": [{"video_url": "a"}]}),
    ("None in extra_body", {"extra_body": {"a": None}}, {"extra_body": {}}),
    ("a whole number", {"extra_body": {"a": 48}}, {"extra_body": {"a": 48.0}}),
    ("text as a number", {"seed": "7", "duration": "5"}, {"seed": 7, "duration": 5.0}),
    ("order of keys", {"extra_body": {"a": 1, "b": 2}}, {"extra_body": {"b": 2, "a": 1}}),
]


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_the_same_request_in_another_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    stored = fingerprint(VideoRequest.of(one, **TEXT))
    assert same_request(stored, VideoRequest.of(other, **TEXT)) is True


OTHER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("prompt", {"prompt": "a"}, {"prompt": "b"}),
    ("blanks in a prompt", {"prompt": "a"}, {"prompt": "a "}),
    ("a prompt that is a URL", {"prompt": "https://h/?a"}, {"prompt": "https://h/?b"}),
    ("a prompt in extra_body", {"extra_body": {"shot_prompt": "a://?1"}}, {"extra_body": {"shot_prompt": "a://?2"}}),
    ("a seed", {"seed": 2**53}, {"seed": 2**53 + 1}),
    ("a large number", {"extra_body": {"a": 2**60}}, {"extra_body": {"a": 2**60 + 1}}),
    ("no sound", {"audio": False}, {}),
    ("true and one", {"extra_body": {"a": True}}, {"extra_body": {"a": 1}}),
    ("a number and its text", {"extra_body": {"a": 1}}, {"extra_body": {"a": "1"}}),
    ("a path of a URL", {"image_url": "https://h/a.png"}, {"image_url": "https://h/b.png"}),
    ("a host", {"image_url": "https://h/a.png"}, {"image_url": "https://i/a.png"}),
    ("bytes", {"image_url": PNG}, {"image_url": PNG + b"4"}),
    ("a data URL", {"image_url": URL}, {"image_url": URL[:-4] + "MzQ1"}),
    ("bytes in another field", {"image_url": PNG}, {"end_image_url": PNG}),
    ("bytes in an element", {"elements": [{"video_url": PNG}]}, {"elements": [{"video_url": PNG[:-1]}]}),
    ("order of references", {"reference_image_urls": ["a", "b"]}, {"reference_image_urls": ["b", "a"]}),
    ("a path with a question mark", {"image_url": "/a?1.png"}, {"image_url": "/a?2.png"}),
    ("a broken data URL", {"image_url": "data:image/png;base64,%"}, {"image_url": "data:image/png;base64,&"}),
    ("an empty list", {"reference_image_urls": []}, {}),
    ("target_fps", {"extra_body": {"target_fps": 60}}, {"extra_body": {"target_fps": 24}}),
    ("consents", {"consents": {"a": True}}, {}),
]


@pytest.mark.parametrize(("one", "other"), [case[1:] for case in OTHER], ids=[case[0] for case in OTHER])
def test_another_request(one: dict[str, Any], other: dict[str, Any]) -> None:
    stored = fingerprint(VideoRequest.of(one, **TEXT))
    assert same_request(stored, VideoRequest.of(other, **TEXT)) is False


@pytest.mark.parametrize("name", sorted(set(REQUEST_FIELDS) - {"reference_video_total_duration", "labels"}))
def test_each_field_that_is_sent_counts(name: str) -> None:
    every = {name: "5", **ALL}  # ALL stays as it is: a digest of it is stored
    full, less = VideoRequest.of(every), VideoRequest.of({**every, name: "another" if name == "model" else None})
    assert same_request(fingerprint(full), less) is False


def test_labels_do_not_count() -> None:
    stored = fingerprint(VideoRequest.of(TEXT, labels={"id": 7}))
    assert stored == fingerprint(VideoRequest.of(TEXT))
    first = "0" * 64  # of the first version, and of another request: that it is another one is known all the same
    assert same_request(first, VideoRequest.of(TEXT, labels={"id": 7})) is same_request(first, VideoRequest.of(TEXT))


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name], order) for name in names}
    return [shuffled(entry, order) for entry in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False), st.sets(st.sampled_from(REQUEST_FIELDS)))
def test_the_order_of_keys_does_not_count(order: random.Random, left_out: set[str]) -> None:
    row = {name: value for name, value in ALL.items() if name == "model" or name not in left_out}
    wanted = VideoRequest.of(row)
    for same in (shuffled(row, order), wanted, wanted.to_mapping(), shuffled(wanted.to_mapping(), order)):
        assert fingerprint(VideoRequest.of(same)) == fingerprint(wanted)


texts = st.text(max_size=8).filter(lambda text: not is_rendered_none(text))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
extras = st.dictionaries(texts.map("x_{}".format), json_values, max_size=4)


@pytest.mark.slow
@given(extras, st.text(min_size=1, max_size=9).filter(str.strip), st.randoms(use_true_random=False))
def test_a_way_through_json_does_not_count(extra: dict[str, Any], prompt: str, order: random.Random) -> None:
    wanted = VideoRequest(model="m", prompt=f"p{prompt}", seed=3, guidance_scale=1, extra_body=extra)
    stored = json.loads(json.dumps(wanted.to_mapping()))
    assert fingerprint(VideoRequest.of(shuffled(stored, order))) == fingerprint(wanted)
    assert fingerprint(VideoRequest.of(stored, bitrate_mode=None)) == fingerprint(wanted)


#: Values with one spelling each: no floats, and no None, URLs and data URLs.
single = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text("ab ", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)


@given(*[st.dictionaries(st.sampled_from(["x", "y"]), single, max_size=2)] * 2)
def test_requests_that_send_something_else_have_other_fingerprints(one: dict[str, Any], other: dict[str, Any]) -> None:
    requests = [VideoRequest(model="m", extra_body=extra) for extra in (one, other)]
    sent = [json.dumps(request.to_body(), sort_keys=True) for request in requests]
    assert same_request(fingerprint(requests[0]), requests[1]) is (sent[0] == sent[1])


@pytest.mark.parametrize(
    "stored", ["", "3:" + "0" * 64, "2:", "2:xyz", "2:" + "A" * 64, "0" * 63, "1:" + "0" * 64, "2:" + "0" * 64 + "\n"]
)
def test_an_unknown_version_cannot_be_compared(stored: str) -> None:
    assert same_request(stored, VideoRequest.of(TEXT)) is None


@pytest.mark.parametrize(("row", "digest"), FIRST)
def test_records_of_the_first_version_are_understood(row: dict[str, Any], digest: str) -> None:
    assert same_request(digest, VideoRequest.of(row)) is True


@pytest.mark.parametrize(
    ("change", "same"),
    [
        # Nothing in these differs from try to try: another digest is that of another request.
        ({"prompt": "another"}, False),
        ({"prompt": "https://h/?a=b"}, False),
        ({"image_url": "/data/a.png", "seed": 7, "audio": False, "guidance_scale": 1.5}, False),
        # A fresh signature, and values that are kept in another form by now.
        ({"image_url": "https://h/a.png?sig=2"}, None),
        ({"image_url": PNG}, None),
        ({"image_url": Path("a.png")}, None),
        ({"reference_image_urls": ["a.png"]}, None),
        ({"elements": [{"video_url": "a"}]}, None),
        ({"extra_body": {"a": 1}}, None),
    ],
)
def test_another_digest_of_the_first_version_is_judged_with_care(change: dict[str, Any], same: bool | None) -> None:
    assert same_request("0" * 64, VideoRequest.of(change, **TEXT)) is same
