"""Whatever the hook returns is a dictionary, so that an XCom of it is plain JSON on every Airflow."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_venice.api.media import resolve_media
from airflow_provider_venice.api.model import GeneratedImage, VideoJob, VideoMetadata, VideoModel, VideoQuote
from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.api.plain import PlainObject
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.storage import StoredVideo, read_media

METADATA = VideoMetadata(duration=5.0, resolution="1280x720")
LINK = "https://venice.example/share/read/s3cr3t"

OBJECTS: list[PlainObject] = [
    METADATA,
    VideoQuote(Decimal("0.35"), pricing_breakdown={"base": Decimal("0.35")}),
    VideoJob("m", "q", metadata=METADATA, request={"prompt": "a"}),
    VideoModel("m", durations=("5s", "10s"), pricing={"usd": [Decimal("0.35")]}),
    VideoRequest(model="m", prompt="a", image_url=Path("/media/a.png"), elements=[{"frontal_image_url": "b.png"}]),
    StoredVideo("/clips/a.mp4", 3, "abc", METADATA),
    GeneratedImage(b"\x89PNG\r\n\x1a\n0123", "image/png"),
]


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_an_xcom_of_it_is_plain_json(value: PlainObject) -> None:
    stored: Any = serialize([value])
    assert stored == [value.to_dict()]
    assert type(stored[0]) is dict
    assert deserialize(json.loads(json.dumps(stored))) == [value.to_dict()]
    assert json.loads(json.dumps(value)) == value.to_dict()


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_it_is_an_object_all_the_same(value: PlainObject) -> None:
    for same in (copy.deepcopy(value), copy.copy(value), pickle.loads(pickle.dumps(value))):
        assert type(same) is type(value)
        assert same == value
        assert (same != value) is False
    assert value
    assert value == value.to_dict()
    assert type(value).__name__ in repr(value)
    refused = pytest.raises(TypeError, match=f"a {type(value).__name__} cannot be changed")
    with refused:
        value.update(a=1)
    with refused:
        value["a"] = 1
    with refused:
        value.clear()


def test_a_generated_image_becomes_the_first_frame_of_another_task() -> None:
    stored: Any = deserialize(serialize(GeneratedImage(b"\x89PNG\r\n\x1a\n0123", "image/png")))
    body = VideoRequest(model="m", image_url=stored["data_url"]).to_body()
    assert resolve_media(body, read_media)["image_url"] == stored["data_url"]


def test_what_is_not_stored_counts_for_equality() -> None:
    assert VideoJob("m", "q", download_url=LINK) != VideoJob("m", "q")
    assert VideoJob("m", "q", download_url=LINK) == VideoJob("m", "q", download_url=LINK, encrypted_url="fernet:x")


def test_a_readable_link_is_left_out() -> None:
    job = VideoJob("m", "q", download_url=LINK)
    assert LINK not in json.dumps(job) + json.dumps(serialize(job)) + str(dict(job))
    encrypted = dataclasses.replace(job, encrypted_url="fernet:x")
    assert encrypted["download_url"] == "fernet:x"
    assert encrypted.download_url == LINK
    assert dataclasses.replace(encrypted, status="completed")["download_url"] == "fernet:x"
    assert VideoJob.of({"model": "m", "queue_id": "q", "download_url": "fernet:x"})["download_url"] == "fernet:x"
    assert "encrypted_url" not in encrypted.to_dict()


def test_a_job_that_is_made_anew_keeps_its_encrypted_link() -> None:
    job = VideoJob("m", "q", download_url=LINK, encrypted_url="fernet:x", estimated_cost=Decimal("0.35"))  # type: ignore[arg-type]
    assert VideoJob.of(job)["download_url"] == "fernet:x"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Decimal("0.3500000"), "$0.35"),
        (Decimal("0.1234567"), "$0.123457"),
        (Decimal("1E+2"), "$100.00"),
        (0.1 + 0.2, "$0.30"),
        (2, "$2.00"),
        (Decimal("-0.5"), "-$0.50"),
        (Decimal("0.125"), "$0.125"),
    ],
)
def test_money(amount: Any, shown: str) -> None:
    assert dollars(amount) == shown
