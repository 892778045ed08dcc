"""Jobs and quotes cross tasks as plain JSON; models are what the vendor publishes."""

from __future__ import annotations

import json
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
