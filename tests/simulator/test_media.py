"""The clips are real: they decode, and are what was asked for."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from io import BytesIO
from typing import Any

import av
import pytest
import requests
from PIL import Image, ImageChops, ImageStat

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.media import ClipSpec, encode, image_bytes
from airflow_provider_venice.simulator.pricing import frame_size
from airflow_provider_venice.simulator.vendor import Studio
from tests.simulator.client import Client


def facts(data: bytes) -> dict[str, Any]:
    """Decode a whole file and return what it holds."""
    with av.open(BytesIO(data)) as container:
        stream = container.streams.video[0]
        found = {
            "seconds": (container.duration or 0) / 1e6,
            "size": (stream.width, stream.height),
            "fps": float(stream.average_rate or 0),
            "codec": stream.codec_context.name,
            "audio": bool(container.streams.audio),
        }
        found["frames"] = sum(1 for _ in container.decode(video=0))
    return found


def clip(fields: dict[str, Any], **settings: Any) -> bytes:
    """Return the clip that a job with ``fields`` ends in."""
    with VeniceSimulator(**settings) as venice:
        client = Client(venice)
        with client.session:
            job = client.post("video/queue", fields).json()
            venice.finish()
            if "download_url" in job:
                return requests.get(job["download_url"], timeout=20).content
            return client.retrieve(job).content


@pytest.mark.parametrize(
    ("fields", "size", "seconds", "audio"),
    [
        ({"model": "wan-2-7-text-to-video", "duration": "5s"}, (1280, 720), 5, False),
        ({"model": "wan-2.5-preview-text-to-video", "duration": "5s"}, (1280, 720), 5, True),
        ({"model": "veo3.1-fast-text-to-video", "duration": "4s", "aspect_ratio": "9:16"}, (720, 1280), 4, True),
        ({"model": "veo3.1-fast-text-to-video", "duration": "6s", "audio": False}, (1280, 720), 6, False),
        (
            {"model": "grok-imagine-text-to-video-private", "duration": "5s", "resolution": "480p"},
            (854, 480),
            5,
            True,
        ),
        ({"model": "longcat-distilled-text-to-video", "duration": "10s"}, (1280, 720), 10, False),
    ],
)
def test_a_clip_is_what_was_asked_for(fields: dict[str, Any], size: tuple[int, int], seconds: int, audio: bool) -> None:
    found = facts(clip({**fields, "prompt": "a boat"}))
    assert found == {
        "seconds": pytest.approx(seconds, abs=0.001),
        "size": size,
        "fps": 24,
        "codec": "h264",
        "audio": audio,
        "frames": seconds * 24,
    }


def test_frame_rate_comes_from_the_request_or_the_settings() -> None:
    fields = {"model": "longcat-distilled-text-to-video", "duration": "5s", "prompt": "a boat"}
    assert facts(clip(fields, fps=10))["frames"] == 50
    assert facts(clip({**fields, "fps": 12}, fps=10))["fps"] == 12


@pytest.mark.parametrize(
    ("resolution", "ratio", "size"),
    [
        ("1080p", "16:9", (1920, 1080)),
        ("true_1080p", "1:1", (1080, 1080)),
        ("480p", "21:9", (1120, 480)),
        ("768P", "3:4", (768, 1024)),
        ("4k", "adaptive", (3840, 2160)),
        (None, None, (1280, 720)),
    ],
)
def test_named_resolutions(resolution: str | None, ratio: str | None, size: tuple[int, int]) -> None:
    assert frame_size(resolution, ratio) == size


@pytest.mark.slow
def test_the_picture_shows_the_prompt_and_the_bar_moves() -> None:
    fields = {"model": "longcat-distilled-text-to-video", "duration": "5s"}
    data = clip({**fields, "prompt": "a boat"})
    other = clip({**fields, "prompt": "小船, ein Boot und sehr viel Text. " * 50})
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(BytesIO(data)) as container:
        pictures = [frame.to_image().convert("L") for frame in container.decode(video=0)]
    bar = [sum(picture.crop((0, 714, 1280, 716)).tobytes()) for picture in pictures]
    assert all(earlier < later for earlier, later in zip(bar[::12], bar[12::12], strict=False))
    text = pictures[60].crop((0, 360, 1280, 700)).tobytes()
    assert max(text) > 200 > 100 > min(text)
    with av.open(BytesIO(other)) as container:
        assert next(container.decode(video=0)).to_image().convert("L").crop((0, 360, 1280, 700)).tobytes() != text


@pytest.mark.slow
def test_a_clip_begins_with_the_picture_that_it_is_given() -> None:
    picture = image_bytes("a kite", 1280, 720, "png")
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    data = clip({"model": "wan-2-7-image-to-video", "duration": "5s", "prompt": "it falls", "image_url": url}, fps=8)
    assert facts(data)["frames"] == 40
    with av.open(BytesIO(data)) as container, Image.open(BytesIO(picture)) as given:
        first, *_, last = (frame.to_image() for frame in container.decode(video=0))
        distances = [sum(ImageStat.Stat(ImageChops.difference(given, shown)).mean) for shown in (first, last)]
    assert distances[0] < 8 < distances[1]


def test_shared_clips_differ_in_their_jobs_id_only() -> None:
    with VeniceSimulator(media="shared") as venice:
        client = Client(venice)
        with client.session:
            jobs = [client.done(prompt=prompt) for prompt in ("one", "two")]
            clips = [client.retrieve(job).content for job in jobs]
    for job, data in zip(jobs, clips, strict=True):
        assert job["queue_id"].encode() in data
    assert clips[0].replace(jobs[0]["queue_id"].encode(), jobs[1]["queue_id"].encode()) == clips[1]


def test_the_simulators_of_a_process_share_an_encoding(venice_simulator: VeniceSimulator) -> None:
    async def encodings() -> list[bytes]:
        studio = Studio(venice_simulator._vendor.settings)
        try:
            return [(await studio.clip(job)).encoded for job in venice_simulator.jobs]
        finally:
            studio.close()

    client = Client(venice_simulator)
    with client.session:
        client.done(prompt="one")
    first, second = asyncio.run(encodings()), asyncio.run(encodings())
    assert first[0] is second[0]


def test_an_encoding_that_is_abandoned_at_once_is_empty() -> None:
    spec = ClipSpec(text="a boat", seconds=5, width=640, height=360, fps=24, audio=False)
    assert encode(spec, lambda: True) == b""


def test_padding_makes_a_file_of_that_size_that_still_plays() -> None:
    fields = {"model": "longcat-distilled-text-to-video", "duration": "5s", "prompt": "a boat"}
    data = clip(fields, padding=2_000_000)
    assert len(data) == 2_000_000
    assert facts(data)["seconds"] == 5


def test_an_upscaler_enlarges_its_source() -> None:
    source = clip({"model": "longcat-distilled-text-to-video", "duration": "5s", "prompt": "a boat"}, fps=5)
    url = "data:video/mp4;base64," + base64.b64encode(source).decode()
    found = facts(clip({"model": "topaz-video-upscale", "video_url": url}, fps=5))
    assert (found["size"], found["seconds"]) == ((2560, 1440), 5)
    small = clip({"model": "topaz-video-upscale", "video_url": "https://example.com/a.mp4", "upscale_factor": 1})
    assert facts(small)["size"] == (640, 360)


def test_importing_the_simulator_is_light() -> None:
    code = (
        "import sys, airflow_provider_venice.simulator as s; assert s.VeniceSimulator; "
        "print([m for m in ('av', 'PIL', 'airflow', 'requests', 'numpy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "[]"


def test_missing_media_libraries_name_the_extra() -> None:
    # A finder that knows no PyAV: what a machine without the extra looks like.
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('av', 'PIL'): raise ModuleNotFoundError(f'No module named {name!r}')\n"
        "sys.meta_path.insert(0, Without())\n"
        "from airflow_provider_venice.simulator.__main__ import main\n"
        "sys.exit(main([]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "pip install 'airflow-provider-venice[simulator]'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not answer.stdout


def test_no_clip_is_so_small_that_it_passes_for_a_refusal() -> None:
    assert (
        len(clip({"model": "longcat-distilled-text-to-video", "duration": "5s", "prompt": "a boat"}, fps=5)) > 100_000
    )
