"""A request takes what code, templates and tables deliver, and sends what the API takes."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.api.request import LIST_LIMITS, QUOTE_FIELDS, REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError

CLEANED: list[tuple[str, Any, Any]] = [
    ("duration", 5, "5s"),
    ("duration", 5.0, "5s"),
    ("duration", "5", "5s"),
    ("duration", " 5s ", "5s"),
    ("duration", "5 S", "5s"),
    ("duration", "05", "5s"),
    ("duration", "auto", "auto"),
    ("duration", "-1", "-1"),
    ("duration", -1, "-1"),
    ("duration", "1 gen", "1 gen"),
    ("duration", "", None),
    ("duration", None, None),
    ("audio", True, True),
    ("audio", False, False),
    ("audio", "true", True),
    ("audio", "FALSE", False),
    ("audio", " yes ", True),
    ("audio", "off", False),
    ("audio", 1, True),
    ("audio", 0, False),
    ("audio", "  ", None),
    ("upscale_factor", "2", 2),
    ("upscale_factor", 2.0, 2),
    ("seed", "9007199254740993", 9007199254740993),
    ("seed", 0, 0),
    ("seed", "-7", -7),
    ("fps", "24.0", 24),
    ("motion_bucket_id", "127", 127),
    ("guidance_scale", "7.5", 7.5),
    ("reference_video_total_duration", 12, 12.0),
    ("model", " wan ", "wan"),
    ("aspect_ratio", " 16:9", "16:9"),
    ("prompt", "  a canal\n", "  a canal\n"),
    ("negative_prompt", " ", None),
    ("image_url", " https://x/a.png ", "https://x/a.png"),
    ("image_url", b"\x89PNG", b"\x89PNG"),
    ("reference_image_urls", "https://x/a.png", ["https://x/a.png"]),
    ("reference_image_urls", ("a", "b"), ["a", "b"]),
    ("reference_image_urls", b"\x89PNG", [b"\x89PNG"]),
    ("elements", {"frontal_image_url": "a"}, [{"frontal_image_url": "a"}]),
    ("consents", {"seedance": {"agreed": True}}, {"seedance": {"agreed": True}}),
]


@pytest.mark.parametrize(("name", "value", "cleaned"), CLEANED)
def test_a_value_is_brought_into_the_form_of_the_api(name: str, value: Any, cleaned: Any) -> None:
    request = VideoRequest(**{"model": "m", name: value})
    found = getattr(request, name)
    assert found == cleaned
    assert type(found) is type(cleaned)


WRONG: list[tuple[str, Any, str]] = [
    ("duration", 0, "whole seconds above zero"),
    ("duration", "-5s", "whole seconds above zero"),
    ("duration", 2.5, "whole seconds above zero"),
    ("duration", True, "takes seconds"),
    ("duration", [5], "takes seconds"),
    ("duration", float("inf"), "whole seconds above zero"),
    ("duration", "nan", "whole seconds above zero"),
    ("audio", "maybe", "true or false"),
    ("audio", 2, "true or false"),
    ("upscale_factor", "two", "takes a number"),
    ("upscale_factor", 1.5, "whole number"),
    ("seed", True, "takes a number"),
    ("seed", "1e400", "finite"),
    ("guidance_scale", float("nan"), "finite"),
    ("guidance_scale", 10**400, "takes a number"),
    ("guidance_scale", {}, "takes a number"),
    ("prompt", 5, "takes a string"),
    ("resolution", 720, "takes a string"),
    ("consents", "yes", "takes a mapping"),
    ("extra_body", ["x"], "takes a mapping"),
    ("extra_body", 5, "takes a mapping"),
    ("extra_body", {"prompt": "x"}, "set prompt= instead"),
    ("model", "", "is missing"),
    ("model", None, "is missing"),
    ("model", 7, "takes a string"),
]


@pytest.mark.parametrize(("name", "value", "problem"), WRONG)
def test_a_wrong_value_is_named(name: str, value: Any, problem: str) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        VideoRequest(**{"model": "m", name: value})
    assert list(caught.value.fields) == [name]
    assert problem in caught.value.fields[name]
    assert f"{name} " in str(caught.value)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(VeniceRequestError) as caught:
        VideoRequest.of({"duration": "0", "audio": "maybe", "seed": "x"})
    assert set(caught.value.fields) == {"model", "duration", "audio", "seed"}


@pytest.mark.parametrize(("name", "most"), LIST_LIMITS.items())
def test_lists_are_limited(name: str, most: int) -> None:
    assert len(getattr(VideoRequest.of({"model": "m", name: ["x"] * most}), name)) == most
    with pytest.raises(VeniceRequestError, match=f"{name} takes at most {most} entries, not {most + 1}"):
        VideoRequest.of({"model": "m", name: ["x"] * (most + 1)})


def test_unknown_fields_are_named_with_the_known_ones() -> None:
    row: dict[Any, Any] = {"model": "m", "promt": "x", None: ["cells too many"]}
    with pytest.raises(VeniceRequestError) as caught:
        VideoRequest.of(row, lenght=5)
    assert caught.value.fields == dict.fromkeys(("None", "lenght", "promt"), "unknown field")
    assert "extra_body" in str(caught.value)
    assert "aspect_ratio" in str(caught.value)


def test_a_row_of_a_csv_file_is_a_request() -> None:
    table = "model,prompt,duration,audio,seed,image\nwan,A canal,5,true,,\nwan,A bridge,,,7,https://x/a.png\n"
    rows = [VideoRequest.of(row).to_body() for row in csv.DictReader(io.StringIO(table))]
    assert rows == [
        {"model": "wan", "prompt": "A canal", "duration": "5s", "audio": True},
        {"model": "wan", "prompt": "A bridge", "seed": 7, "image_url": "https://x/a.png"},
    ]


MERGED: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("fields alone", None, {"model": "m", "prompt": "p"}, {"model": "m", "prompt": "p"}),
    ("the row goes first", {"model": "row"}, {"model": "m", "prompt": "p"}, {"model": "row", "prompt": "p"}),
    ("a blank leaves open", {"model": "m", "prompt": " "}, {"prompt": "p"}, {"model": "m", "prompt": "p"}),
    ("None leaves open", {"model": "m", "prompt": None}, {"prompt": "p"}, {"model": "m", "prompt": "p"}),
    ("False is a value", {"model": "m", "audio": False}, {"audio": True}, {"model": "m", "audio": False}),
    ("a request", VideoRequest(model="m", duration=5), {"duration": 9, "seed": 1}, {"duration": "5s", "seed": 1}),
    ("image", {"model": "m", "image": "a"}, {}, {"image_url": "a"}),
    ("image over a default", {"model": "m", "image": "a"}, {"image_url": "b"}, {"image_url": "a"}),
    ("image_url over a default", {"model": "m", "image_url": "a"}, {"image": "b"}, {"image_url": "a"}),
    ("image as a default", {"model": "m", "image_url": ""}, {"image": "b"}, {"image_url": "b"}),
    ("extra_body", {"model": "m"}, {"extra_body": {"new": 1}}, {"new": 1}),
    ("extra_body of the row", {"model": "m", "extra_body": {"a": 1}}, {"extra_body": {"b": 2}}, {"a": 1}),
]


@pytest.mark.parametrize(
    ("request_", "fields", "body"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED]
)
def test_a_request_and_fields_are_merged(request_: Any, fields: dict[str, Any], body: dict[str, Any]) -> None:
    merged = VideoRequest.of(request_, **fields).to_body()
    assert {name: merged.get(name) for name in body} == body
    assert set(merged) == {"model", *body}


def test_what_was_given_is_left_as_it_was() -> None:
    row = {"model": "m", "image": "a", "prompt": ""}
    VideoRequest.of(row)
    assert row == {"model": "m", "image": "a", "prompt": ""}
    request = VideoRequest(model="m")
    assert VideoRequest.of(request) == request


def test_one_picture_cannot_be_two() -> None:
    with pytest.raises(VeniceRequestError, match="image and image_url are the same field"):
        VideoRequest.of({"model": "m", "image": "a", "image_url": "b"})


@pytest.mark.parametrize("value", [5, "wan", ["wan"]])
def test_a_request_is_a_mapping(value: Any) -> None:
    with pytest.raises(VeniceRequestError, match=f"request is {type(value).__name__}"):
        VideoRequest.of(value)


def test_extra_body_is_sent_as_it_is() -> None:
    request = VideoRequest(model="m", extra_body={"camera": {"pan": 0.5}, "tags": []})
    assert request.to_body() == {"model": "m", "camera": {"pan": 0.5}, "tags": []}
    assert "camera" not in request.to_quote_body()


def test_a_quote_holds_only_what_prices_and_a_submission_all_else() -> None:
    values: dict[str, Any] = {name: "5" for name in REQUEST_FIELDS if name not in ("audio", "consents", "extra_body")}
    request = VideoRequest(audio=True, consents={"a": 1}, extra_body={"b": 2}, **values)
    assert set(request.to_quote_body()) == set(QUOTE_FIELDS)
    assert set(request.to_body()) == {*REQUEST_FIELDS, "b"} - {"extra_body", "reference_video_total_duration"}


words = st.text("05-.es naif\n\ud800é٣", max_size=6)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.binary(max_size=4) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*REQUEST_FIELDS, "image", "surprise"]), anything, max_size=4))
def test_anything_becomes_a_request_or_one_error(row: dict[str, Any]) -> None:
    try:
        request = VideoRequest.of(row, model="m")
    except VeniceRequestError:
        return
    assert VideoRequest.of(request) is not request
    assert None not in request.to_body().values() or request.extra_body
    assert request.model


def test_a_record_of_a_request_holds_no_media_and_no_signature() -> None:
    described = VideoRequest.of(
        model="wan",
        prompt="look at https://example.com/?a=b",
        image_url="https://user:pw@cdn.example.com/a.png?X-Amz-Signature=abc#f",
        end_image_url=b"1234",
        video_url="data:video/mp4;base64,AAAA",
        reference_image_urls=["s3://aws@bucket/key.png?versionId=1", "frame.png"],
    ).describe()
    assert described == {
        "model": "wan",
        "prompt": "look at https://example.com/?a=b",
        "image_url": "https://cdn.example.com/a.png",
        "end_image_url": "4 bytes",
        "video_url": "data:video/mp4;base64,… (26 characters)",
        "reference_image_urls": ["s3://bucket/key.png", "frame.png"],
    }
