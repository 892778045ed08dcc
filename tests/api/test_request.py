"""A request takes what code, templates and tables deliver, and sends what the API takes."""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_venice.api.fingerprint import fingerprint, same_request
from airflow_provider_venice.api.request import LIST_LIMITS, QUOTE_FIELDS, REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.api.values import is_rendered_none
from airflow_provider_venice.exceptions import VeniceRequestError


class NAType:
    """Like pandas.NA: what compares with it is neither true nor false."""

    def __ne__(self, other: object) -> Any:
        return self

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class Scalar:
    """Like a scalar of numpy."""

    dtype, ndim = "any", 0

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


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
    ("prompt", 2026, "2026"),
    ("prompt", 2.5, "2.5"),
    ("negative_prompt", Decimal("7.25"), "7.25"),
    ("prompt", "None of them smiles", "None of them smiles"),
    ("prompt", "none", "none"),
    ("prompt", math.nan, None),
    ("guidance_scale", math.nan, None),
    ("seed", Decimal("NaN"), None),
    ("image_url", math.nan, None),
    ("image_url", NAType(), None),
    ("duration", Scalar(5), "5s"),
    ("duration", Decimal("5.0"), "5s"),
    ("seed", Scalar(9007199254740993), 9007199254740993),
    ("seed", Scalar(math.nan), None),
    ("audio", Scalar(False), False),
    ("negative_prompt", " ", None),
    ("image_url", " https://x/a.png ", "https://x/a.png"),
    ("image_url", b"\x89PNG", b"\x89PNG"),
    ("image_url", bytearray(b"\x89PNG"), b"\x89PNG"),
    ("image_url", memoryview(b"\x89xPxNxG")[::2], b"\x89PNG"),
    ("image_url", PurePosixPath("None"), PurePosixPath("None")),
    ("reference_image_urls", "https://x/a.png", ["https://x/a.png"]),
    ("reference_image_urls", ("a", "b"), ["a", "b"]),
    ("reference_image_urls", b"\x89PNG", [b"\x89PNG"]),
    ("elements", {"frontal_image_url": "a"}, [{"frontal_image_url": "a"}]),
    ("elements", {"frontal_image_url": None, "video_url": math.nan, "name": "Ann"}, [{"name": "Ann"}]),
    ("elements", {"reference_image_urls": "a"}, [{"reference_image_urls": ["a"]}]),
    ("consents", {"seedance": {"agreed": True}}, {"seedance": {"agreed": True}}),
    ("extra_body", {"a": None, "b": math.nan, "c": (1, Scalar(2.5), Decimal(3))}, {"a": None, "c": [1, 2.5, 3]}),
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
    ("duration", "nan", "a template renders for a missing value"),
    ("audio", "maybe", "true or false"),
    ("audio", 2, "true or false"),
    ("upscale_factor", "two", "takes a number"),
    ("upscale_factor", 1.5, "whole number"),
    ("seed", True, "takes a number"),
    ("seed", "1e400", "finite"),
    ("guidance_scale", float("inf"), "finite"),
    ("guidance_scale", 10**400, "takes a number"),
    ("guidance_scale", {}, "takes a number"),
    ("prompt", True, "takes a string"),
    ("prompt", ["a"], "takes a string"),
    ("seed", 2**64, "at most 64 bits"),
    ("seed", "9" * 30, "at most 64 bits"),
    ("reference_image_urls", {"a", "b"}, "a set has no order"),
    ("extra_body", {"a": [{"b": {1}}]}, "holds a set at ['a'][0]['b'], which has no order"),
    ("extra_body", {"a": [float("nan")]}, "holds nan at ['a'][0]; numbers must be finite"),
    ("extra_body", {"a": float("-inf")}, "numbers must be finite"),
    ("extra_body", {"a": 10**400}, "holds an integer of 1329 bits at ['a']"),
    ("extra_body", {"a": {1: 2}}, "has the key 1; keys must be texts"),
    ("extra_body", {"a": "None"}, "is 'None' at ['a'], which a template renders"),
    ("consents", {"a": {"b": "null"}}, "is 'null' at ['a']['b']"),
    ("elements", [{"video_url": "s3://b/k"}, {"frontal_image_url": "None"}], "is 'None' at [1]['frontal_image_url']"),
    ("elements", {"reference_image_urls": ["a", "nan"]}, "is 'nan' at [0]['reference_image_urls'][1]"),
    ("keyframes", [{"image_url": " None\n", "frame_index": 0}], "is ' None\\n' at [0]['image_url']"),
    ("reference_image_urls", ["a", "None"], "is 'None' at [1]"),
    ("reference_image_urls", "None", "is 'None', which a template renders"),
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


def test_unknown_fields_are_named_with_what_was_meant() -> None:
    row: dict[Any, Any] = {"model": "m", "promt": "x", None: ["cells too many"]}
    with pytest.raises(VeniceRequestError) as caught:
        VideoRequest.of(row, lenght=5)
    assert caught.value.fields == dict.fromkeys(("None", "lenght", "promt"), "unknown field")
    assert "extra_body" in str(caught.value)
    assert "'promt' (did you mean 'prompt'?)" in str(caught.value)
    assert "None (a row of the table has more cells than the table has columns)" in str(caught.value)


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
    shown = "the text 'wan'" if value == "wan" else type(value).__name__
    with pytest.raises(VeniceRequestError, match=f"request is {shown}"):
        VideoRequest.of(value)


#: What a template makes of None, of ``none | tojson``, and of the empty cells of a table.
NOTHING = ["None", " None ", "null", "nan", "NaN", "NaT", "<NA>"]


@pytest.mark.parametrize("word", NOTHING)
@pytest.mark.parametrize("name", sorted(set(REQUEST_FIELDS) - {"consents", "extra_body", "elements", "keyframes"}))
def test_a_template_that_renders_to_nothing_is_refused(name: str, word: str) -> None:
    with pytest.raises(VeniceRequestError) as caught:
        VideoRequest.of({"model": "m", name: word}, **({} if name == "model" else {name: "a default"}))
    assert list(caught.value.fields) == [name]
    assert repr(word) in caught.value.fields[name]
    assert "give the template a default value, or leave the field out" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "nothing"),
    [*((word, True) for word in NOTHING), ("", False), ("none", False), ("/a/None", False), (None, False), (5, False)],
)
def test_the_words_of_nothing(value: Any, nothing: bool) -> None:
    assert is_rendered_none(value) is nothing


def test_extra_body_is_sent_as_it_is() -> None:
    request = VideoRequest(model="m", extra_body={"camera": {"pan": 0.5}, "tags": []})
    assert request.to_body() == {"model": "m", "camera": {"pan": 0.5}, "tags": []}
    assert request.to_quote_body() == request.to_body()


def test_what_may_price_is_in_the_quote_and_all_else_but_that_is_queued() -> None:
    others = ("audio", "consents", "extra_body", "labels")
    values: dict[str, Any] = {name: "5" for name in REQUEST_FIELDS if name not in others}
    request = VideoRequest(audio=True, consents={"a": 1}, extra_body={"target_fps": 60}, labels={"id": 7}, **values)
    assert set(request.to_quote_body()) == {*QUOTE_FIELDS, "target_fps"}
    assert "bitrate_mode" not in request.to_quote_body()
    assert set(request.to_body()) == {*REQUEST_FIELDS, "target_fps"} - {
        *("extra_body", "reference_video_total_duration", "labels")
    }
    # Fields that cannot price: texts, seeds, attestations, and media other than the clip to work on.
    left_out = set(request.to_body()) - set(request.to_quote_body())
    assert left_out - {name for name in left_out if name.endswith(("_url", "_urls"))} == {
        *("prompt", "negative_prompt", "seed", "motion_bucket_id", "guidance_scale"),
        *("bitrate_mode", "consents", "elements", "keyframes"),
    }


@pytest.mark.parametrize("method", ["to_body", "to_quote_body", "to_mapping"])
def test_nobody_can_change_a_request(method: str) -> None:
    row: dict[str, Any] = {"extra_body": {"shots": [{"seconds": 2}]}, "elements": [{"reference_image_urls": ["a"]}]}
    request = VideoRequest.of(row, model="m")
    before = json.dumps(request.to_mapping())
    row["extra_body"]["shots"][0]["seconds"] = row["elements"][0]["reference_image_urls"][0] = 9
    body = getattr(request, method)()
    (body.get("extra_body") or body)["shots"][0]["seconds"] = 9
    if "elements" in body:
        body["elements"][0]["reference_image_urls"].append("b")
    assert json.dumps(request.to_mapping()) == before


@pytest.mark.parametrize("depth", [3, 60, 5000])
def test_a_structure_without_end_is_refused(depth: int) -> None:
    endless: dict[str, Any] = {"a": []}
    endless["a"].append(endless)
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    for name, value in (("extra_body", endless), ("elements", [endless]), ("consents", {"b": deep})):
        if value is not endless and depth < 50 and name == "consents":
            continue
        with pytest.raises(VeniceRequestError, match=f"{name} contains itself, or is nested more than 50 levels deep"):
            VideoRequest.of({"model": "m", name: value})


class Stubborn:
    """Refuses whatever may be asked of an object."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        return "Stubborn()"

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no")


words = st.text("05-.es naif\n\ud800é٣@:/?#[", max_size=6)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | words
    | st.builds("https://{}".format, words)
    | st.builds("data:{}".format, words)
    | st.binary(max_size=4)
    | st.builds(bytearray, st.binary(max_size=4))
    | st.binary(max_size=4).map(lambda data: memoryview(data))
    | st.builds(PurePosixPath, st.text("ab/", max_size=4))
    | st.builds(Scalar, st.floats() | st.integers() | words)
    | st.sampled_from([10**400, NAType(), Stubborn(), object(), {1}, frozenset("a")])
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(words | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)
media = st.dictionaries(
    st.sampled_from(["frontal_image_url", "reference_image_urls", "video_url", "name"]), anything, max_size=3
)
rows = st.dictionaries(st.sampled_from([*REQUEST_FIELDS, "image", "surprise"]), anything, max_size=4) | (
    st.fixed_dictionaries(
        {},
        optional={
            "image": leaves,
            "elements": st.lists(media, max_size=3),
            "extra_body": st.dictionaries(words, anything, max_size=3),
            "reference_image_urls": st.lists(leaves, max_size=3),
        },
    )
)


@example({"labels": {}})
@given(rows)
def test_anything_becomes_a_request_or_one_error(row: dict[str, Any]) -> None:
    try:
        request = VideoRequest.of(row, model="m")
    except VeniceRequestError:
        return
    assert VideoRequest.of(request) is not request
    assert all(value is not None for value in request.to_body().values()) or request.extra_body
    assert request.model
    # A record of it is written after the charge, and so is its fingerprint stored: neither may fail.
    described = json.loads(json.dumps(request.describe(), allow_nan=False))
    assert described.keys() == request.to_mapping().keys() - {"labels"}
    assert set(request.to_quote_body()) <= set(request.to_body()) | {"reference_video_total_duration"}
    again = VideoRequest.of(request.to_mapping())
    assert again.describe() == request.describe()
    assert fingerprint(again) == fingerprint(request)
    assert same_request(fingerprint(request), again) is True
    assert same_request("0" * 64, request) in (False, None)


def test_a_record_of_a_request_holds_no_media_and_no_signature() -> None:
    described = VideoRequest.of(
        model="wan",
        prompt="https://example.com/?a=b",
        image_url="https://user:pw@cdn.example.com/a.png?X-Amz-Signature=abc#f",
        end_image_url=b"1234",
        video_url="data:video/mp4;base64,AAAA",
        reference_image_urls=["s3://aws@bucket/key.png?versionId=1", "frame.png", "http://[::1/a.png?x"],
        elements={"video_url": memoryview(b"12345"), "frontal_image_url": PurePosixPath("/a/b.png")},
        extra_body={"hook": "https://u:p@x/?token=1", "target_fps": 60, "shots": [{"prompt": "https://y/?a"}]},
    ).describe()
    assert described == {
        "model": "wan",
        "prompt": "https://example.com/?a=b",
        "image_url": "https://cdn.example.com/a.png",
        "end_image_url": "4 bytes",
        "video_url": "data:video/mp4;base64,… (26 characters)",
        "reference_image_urls": ["s3://bucket/key.png", "frame.png", "http://[::1/a.png"],
        "elements": [{"video_url": "5 bytes", "frontal_image_url": "/a/b.png"}],
        "extra_body": {"hook": "https://x/", "target_fps": 60, "shots": [{"prompt": "https://y/?a"}]},
    }
