"""Jobs and quotes cross tasks as plain JSON; models are what the vendor publishes."""

from __future__ import annotations

import dataclasses
import json
import math
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_venice.api.model import VideoJob, VideoMetadata, VideoModel, VideoQuote
from airflow_provider_venice.exceptions import VeniceRequestError

SECRET = "https://share.venice.ai/v1/share/read/s3cr3t"


def test_a_job_survives_json() -> None:
    job = VideoJob(
        model="wan",
        queue_id="q",
        download_url=SECRET,
        status="completed",
        average_execution_time=145000.0,
        metadata=VideoMetadata(duration=5.0, file_size=9),
    )
    assert VideoJob.of(json.loads(json.dumps(job.to_dict()))) == job
    assert VideoJob.of(job) is job


def test_a_job_does_not_show_its_link() -> None:
    job = VideoJob(model="wan-private", queue_id="q", download_url=SECRET)
    assert "s3cr3t" not in repr(job) + str(job) + f"{job}"
    assert job.video_url == SECRET
    assert job.job_id == "q"


def test_what_a_later_version_adds_to_a_job_is_left_out() -> None:
    job = VideoJob.of({"model": "m", "queue_id": "q", "new": 1, "metadata": {"duration": 5.0, "codec": "h264"}})
    assert job == VideoJob(model="m", queue_id="q", metadata=VideoMetadata(duration=5.0))


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        ("q", "job is str"),
        (None, "job is NoneType"),
        ({}, "no model"),
        ({"model": "m"}, "no queue_id"),
        ({"model": "m", "queue_id": " "}, "no queue_id"),
        ({"model": 5, "queue_id": "q"}, "no model"),
    ],
)
def test_what_is_no_job_is_refused(job: Any, problem: str) -> None:
    with pytest.raises(VeniceRequestError, match=problem):
        VideoJob.of(job)


@pytest.mark.parametrize(
    ("status", "average", "elapsed", "progress", "remaining"),
    [
        ("queued", None, None, None, None),
        ("processing", 145000.0, None, None, None),
        ("processing", 0.0, 5.0, None, 0.0),
        ("processing", 100000.0, 25000.0, 25.0, 75.0),
        ("processing", 100000.0, 99990.0, 99.0, 0.01),
        ("processing", 100000.0, 500000.0, 99.0, 0.0),
        ("completed", None, None, 100.0, None),
        ("completed", 100000.0, 25000.0, 100.0, 75.0),
    ],
)
def test_progress_is_guessed_and_full_only_when_completed(
    status: Any, average: float | None, elapsed: float | None, progress: float | None, remaining: float | None
) -> None:
    job = VideoJob("m", "q", status=status, average_execution_time=average, execution_duration=elapsed)
    assert job.progress == progress
    assert job.remaining == (remaining if remaining is None else pytest.approx(remaining))


@pytest.mark.parametrize(
    ("status", "verdicts"),
    [
        ("queued", (False, False, True)),
        ("processing", (False, False, True)),
        ("completed", (True, False, False)),
        ("failed", (False, True, False)),
    ],
)
def test_a_status_has_one_verdict(status: Any, verdicts: tuple[bool, bool, bool]) -> None:
    job = VideoJob("m", "q", status=status)
    assert (job.is_completed(), job.is_failed(), job.is_processing()) == verdicts


def test_a_quote_is_exact_inside_and_plain_outside() -> None:
    quote = VideoQuote(estimated_cost=Decimal("0.35"), model="m")
    assert json.loads(json.dumps(quote.to_dict()))["estimated_cost"] == 0.35
    assert quote.currency == "USD"


def test_a_model_is_read_with_its_constraints() -> None:
    model = VideoModel.from_payload(
        {
            "id": "wan",
            "model_spec": {
                "name": "Wan",
                "offline": True,
                "deprecation": {"date": "2027-01-31"},
                "pricing": {"usd": 1},
                "constraints": {
                    "model_type": "text-to-video",
                    "durations": ["5s", 10],
                    "aspect_ratios": ["16:9"],
                    "resolutions": [],
                    "audio": True,
                    "audio_configurable": False,
                    "prompt_character_limit": 20000,
                },
            },
        }
    )
    assert model == VideoModel(
        id="wan",
        name="Wan",
        model_type="text-to-video",
        durations=("5s", "10"),
        aspect_ratios=("16:9",),
        audio=True,
        audio_configurable=False,
        prompt_character_limit=20000,
        offline=True,
        deprecation={"date": "2027-01-31"},
        pricing={"usd": 1},
    )


@pytest.mark.parametrize("spec", [{}, {"model_spec": None}, {"model_spec": {"constraints": None}}])
def test_a_model_of_which_little_is_told_has_defaults(spec: dict[str, Any]) -> None:
    model = VideoModel.from_payload({"id": "topaz-video-upscale", **spec})
    assert model == VideoModel("topaz-video-upscale")
    assert model.prompt_character_limit == 2500
    assert model.is_upscaler


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("2026-09-21T14:13:20Z", 1_790_000_000.0),
        ("2026-09-21T14:13:20z", 1_790_000_000.0),
        (" 2026-09-21T14:13:20.250+00:00 ", 1_790_000_000.25),
        ("2026-09-21T16:13:20+02:00", 1_790_000_000.0),
        ("2026-09-21 14:13:20", 1_790_000_000.0),
        (1_790_000_000, 1_790_000_000),
        (1_790_000_000.5, 1_790_000_000.5),
        (None, None),
    ],
)
@pytest.mark.parametrize("field", ["queued_at", "created_at", "started_at", "completed_at"])
def test_a_time_is_epoch_seconds_or_iso(field: str, given: Any, seconds: float | None) -> None:
    for job in ({"model": "m", "queue_id": "q", field: given}, VideoJob("m", "q", **{field: given})):
        read = VideoJob.of(job)
        assert getattr(read, field) == seconds
        json.dumps(read.to_dict(), allow_nan=False)


TIMES = ("queued_at", "created_at", "started_at", "completed_at")
NUMBERS = ("average_execution_time", "execution_duration", "estimated_cost", "balance_before")
TEXTS = ("model", "queue_id", "download_url", "video_id", "error", "error_code", "status")
NO_NUMBER = [math.nan, math.inf, -math.inf, -1, True, 10**400, Decimal("NaN"), [], {}, b"1", object()]
NO_TEXT = [5, True, b"x", ["x"], {"x": 1}, object()]
WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in TIMES for value in [*NO_NUMBER, "soon", "", "1790000000", 1_790_000_000_000]),
    *((name, value) for name in NUMBERS for value in [*NO_NUMBER, "5"]),
    *((name, value) for name in TEXTS for value in NO_TEXT),
    ("status", "dancing"),
    *((name, value) for name in ("metadata", "request") for value in ["x", 5, [], [["a", 1]], {"a": math.nan}]),
    ("request", {"a": object()}),
    ("metadata", {"duration": "5"}),
    ("metadata", {"file_size": 1.5}),
    ("metadata", {"format": 5}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_field_of_another_type_is_refused_by_its_name(field: str, value: Any) -> None:
    for job in (
        {"model": "m", "queue_id": "q", field: value},
        dataclasses.replace(VideoJob("m", "q"), **{field: value}),
    ):
        with pytest.raises(VeniceRequestError, match=field):
            VideoJob.of(job)


def test_a_refusal_does_not_show_a_link() -> None:
    with pytest.raises(VeniceRequestError) as caught:
        VideoJob.of({"model": "m", "queue_id": "q", "download_url": [SECRET]})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "status"), [("PROCESSING", "processing"), ("running", "processing"), ("Completed", "completed")]
)
def test_a_status_may_be_the_apis(given: str, status: str) -> None:
    assert VideoJob.of({"model": "m", "queue_id": "q", "status": given}).status == status


def test_nothing_known_is_fine_and_money_becomes_plain() -> None:
    empty = dict.fromkeys((*TIMES, *NUMBERS, *TEXTS[2:], "metadata", "request"))
    assert VideoJob.of({"model": "m", "queue_id": "q", **empty}) == VideoJob("m", "q")
    assert type(VideoJob.of(VideoJob("m", "q", estimated_cost=Decimal("0.5"))).estimated_cost) is float  # type: ignore[arg-type]
