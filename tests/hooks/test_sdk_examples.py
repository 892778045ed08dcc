"""What users of Venice's Python SDK do with a clip, done with the hook: the same calls, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceError,
    VeniceRequestError,
    VideoDownloadError,
    VideoGenerationError,
    VideoTimeoutError,
)
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage import StoredVideo

BOAT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "A paper boat on a canal", "duration": 5}


@pytest.fixture
def video(venice_connection: str) -> Iterator[VeniceHook]:
    """What ``client.video`` is to users of the SDK."""
    hook = VeniceHook(venice_connection)
    yield hook
    hook.get_conn().close()


def test_queue_wait_and_download(video: VeniceHook, tmp_path: Path) -> None:
    job = video.queue(**BOAT, aspect_ratio="16:9", resolution="720p")
    assert job.job_id
    assert job.status == "queued"
    done = video.wait_for_completion(job, poll_interval=0.01, max_wait_time=60)
    assert done.is_completed()
    stored = video.download(done, tmp_path / "new" / "boat.mp4")
    assert Path(stored.path).read_bytes() == video.get_video_data(done)


@pytest.mark.slow
def test_a_path_a_url_or_bytes_is_the_first_frame(video: VeniceHook, tmp_path: Path) -> None:
    (image_model, *_) = video.list_models("image")
    image = video.generate_image(image_model.id, "a mountain lake", format="png")
    (tmp_path / "lake.png").write_bytes(image.data)
    for given in (str(tmp_path / "lake.png"), tmp_path / "lake.png", image.data, "https://example.com/lake.png"):
        job = video.queue(model="wan-2-7-image-to-video", image=given, prompt="clouds drift", duration="5s")
        assert video.wait_for_completion(job, max_wait_time=60).is_completed()


def test_the_status_of_a_job(video: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = video.queue(**BOAT)
    running = video.retrieve(job)
    assert running.is_processing()
    assert running.progress is None or 0 <= running.progress < 100
    venice_simulator.finish()
    done = video.retrieve(job.to_dict())
    assert (done.status, done.progress, done.video_url, done.error) == ("completed", 100, None, None)


def test_a_wait_with_a_callback(video: VeniceHook) -> None:
    lines: list[str] = []

    def track(job: VideoJob) -> None:
        lines.append(f"{job.status} - {job.progress} %")

    video.wait_for_completion(video.queue(**BOAT), poll_interval=0.01, callback=track)
    assert lines[-1] == "completed - 100.0 %"


def test_a_callback_that_raises_ends_no_wait(video: VeniceHook, capsys: pytest.CaptureFixture[str]) -> None:
    polls = 0

    def broken(job: VideoJob) -> None:
        nonlocal polls
        polls += 1
        raise KeyError("progress bar")

    done = video.wait_for_completion(video.queue(**BOAT), poll_interval=0.01, callback=broken)
    assert done.is_completed()
    assert polls >= 1
    logged = "".join(capsys.readouterr())
    assert "The callback of wait_for_completion failed" in logged
    assert "progress bar" in logged
    with pytest.raises(KeyboardInterrupt):
        video.wait_for_completion(video.queue(**BOAT), callback=lambda job: (_ for _ in ()).throw(KeyboardInterrupt))


def test_a_price_before_the_clip(video: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    quote = video.quote(**BOAT, resolution="720p", audio=True)
    assert float(quote.estimated_cost) > 0
    assert quote.currency == "USD"
    assert quote.estimated_duration is None
    assert not quote.pricing_breakdown
    prices = [video.quote({**BOAT, "duration": seconds}).estimated_cost for seconds in (5, 10)]
    assert prices[0] < prices[1]
    assert not venice_simulator.journal.charges


def test_queue_and_wait_in_one_call(video: VeniceHook, tmp_path: Path) -> None:
    job = video.generate(**BOAT, timeout=60)
    assert isinstance(job, VideoJob)
    assert job.is_completed()
    stored = video.generate(**BOAT, timeout=60, path=tmp_path / "boat.mp4")
    assert isinstance(stored, StoredVideo)


def test_a_download_says_what_was_stored_and_replaces_nothing_unasked(video: VeniceHook, tmp_path: Path) -> None:
    done = video.wait_for_completion(video.queue(**BOAT))
    target = tmp_path / "boat.mp4"
    target.write_bytes(b"mine")
    with pytest.raises(VeniceRequestError, match="overwrite=True"):
        video.download(done, target)
    assert target.read_bytes() == b"mine"
    stored = video.download(done, target, overwrite=True)
    assert (stored.path, stored.size, len(stored.sha256)) == (str(target), target.stat().st_size, 64)
    assert stored.metadata.duration == 5.0


@pytest.mark.slow
def test_a_download_before_completion(video: VeniceHook, tmp_path: Path) -> None:
    job = video.queue({**BOAT, "prompt": "[simulate: stuck] x"})
    with pytest.raises(VideoDownloadError, match="is not finished"):
        video.download(job, tmp_path / "boat.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({**BOAT, "prompt": "[simulate: fail] x"}, VideoGenerationError),
        ({**BOAT, "prompt": "[simulate: policy] x"}, VeniceAPIError),
        ({**BOAT, "model": "no-such-model"}, VeniceAPIError),
        ({**BOAT, "duration": []}, VeniceRequestError),
        ({**BOAT, "prompt": "[simulate: stuck] x"}, VideoTimeoutError),
    ],
)
def test_errors_are_told_apart_and_are_of_one_tree(request_: dict[str, Any], kind: type, video: VeniceHook) -> None:
    with pytest.raises(VeniceError) as caught:
        video.wait_for_completion(video.queue(request_), max_wait_time=1)
    assert type(caught.value) is kind


def test_a_job_that_runs_on_is_not_taken_for_one_that_has_ended() -> None:
    for kind in (VideoTimeoutError, VideoDownloadError, VeniceRequestError):
        assert not issubclass(kind, VideoGenerationError)


def test_the_models_and_what_they_take(video: VeniceHook) -> None:
    assert {"wan-2-7-text-to-video"} <= {model.id for model in video.list_models()}
    assert "5s" in video.get_model("wan-2-7-text-to-video").durations
    with pytest.raises(VeniceRequestError, match="duration"):
        video.check({**BOAT, "duration": 500})


def test_cleaning_up(video: VeniceHook, tmp_path: Path) -> None:
    done = video.wait_for_completion(video.queue(**BOAT))
    video.download(done, tmp_path / "boat.mp4")
    assert video.delete_media(done) is True
