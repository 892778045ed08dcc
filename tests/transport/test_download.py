"""A clip arrives whole or not at all: broken transfers go on, wrong ones are noticed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceError,
    VeniceRateLimitError,
    VideoDownloadError,
    VideoGenerationError,
)
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage import StoredVideo, store_video
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.download import download
from airflow_provider_venice.transport.settings import Settings
from tests.transport.carriers import API_KEY, RawServer, answer

INLINE = "wan-2-7-text-to-video"
PRIVATE = "grok-imagine-text-to-video-private"


class Desk:
    """A transport, and a folder to download into."""

    def __init__(self, base_url: str, folder: Path, **fields: Any) -> None:
        quick: dict[str, Any] = {
            "read_timeout": 5,
            "retry_attempts": 4,
            "retry_max_wait": 0.05,
            "retrieve_limit": 6000,
        }
        self.transport = BlockingTransport(Settings(API_KEY, base_url, **{**quick, **fields}))
        self.folder = folder

    def submit(self, model: str) -> VideoJob:
        request = VideoRequest(model=model, prompt="A canal", duration=5, resolution="720p")
        return self.transport.send(calls.queue(request.to_body()))

    def fetch(self, job: VideoJob, **kwargs: Any) -> StoredVideo:
        return store_video(self.folder / "video.mp4", lambda partial: download(self.transport, job, partial, **kwargs))

    def refused(self, job: VideoJob, **kwargs: Any) -> Any:
        """Return why no clip came; nothing is left in the folder, and no secret in the error."""
        with pytest.raises(VeniceError) as caught:
            self.fetch(job, **kwargs)
        assert os.listdir(self.folder) == []
        assert "s3cr3t" not in str(caught.value)
        assert job.download_url is None or job.download_url not in str(caught.value)
        return caught.value


MakeDesk = Callable[..., Desk]

#: Bytes of a test's clip, at least, and where a transfer breaks.
SIZE, CUT = 900_000, 600_000


@pytest.fixture(scope="module")
def module_simulator() -> Iterator[VeniceSimulator]:
    with VeniceSimulator(
        api_key=API_KEY, speed=240, job_seconds=0, media="shared", limits=False, padding=SIZE
    ) as venice:
        yield venice


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[MakeDesk]:
    made: list[Desk] = []

    def make(base_url: str, **fields: Any) -> Desk:
        made.append(Desk(base_url, tmp_path, **fields))
        return made[-1]

    yield make
    for desk in made:
        desk.transport.close()


@pytest.fixture
def desk(venice: VeniceSimulator, make_desk: MakeDesk) -> Desk:
    return make_desk(venice.base_url)


def endpoint(model: str) -> str:
    return "download" if model == PRIVATE else "retrieve"


def statuses(venice: VeniceSimulator, model: str) -> list[int | None]:
    return [entry.status for entry in venice.journal.calls(endpoint(model))]


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
def test_a_clip_is_fetched_once_and_whole(venice: VeniceSimulator, desk: Desk, model: str) -> None:
    job = desk.submit(model)
    stored = desk.fetch(job)
    data = Path(stored.path).read_bytes()
    assert (stored.size, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert stored.metadata.duration == pytest.approx(5, abs=0.2)
    entries = venice.journal.calls(endpoint(model))
    assert [entry.bytes_delivered for entry in entries] == [len(data)]
    assert [entry.key is None for entry in entries] == [model == PRIVATE]
    assert venice.journal.deletion_requests == []


@pytest.mark.parametrize("cut", [1, 300_000])
def test_a_private_link_goes_on_where_it_broke(venice: VeniceSimulator, desk: Desk, cut: int) -> None:
    job = desk.submit(PRIVATE)
    venice.fail("download", truncate=cut, times=2)
    stored = desk.fetch(job)
    assert statuses(venice, PRIVATE) == [200, 206, 206]
    # Nothing comes twice.
    assert [entry.bytes_delivered for entry in venice.journal.calls("download")] == [cut, cut, stored.size - 2 * cut]


def test_inline_media_begins_again(venice: VeniceSimulator, desk: Desk) -> None:
    job = desk.submit(INLINE)
    venice.fail("retrieve", truncate=2000, times=2)
    stored = desk.fetch(job)
    assert [entry.bytes_delivered for entry in venice.journal.polls()] == [2000, 2000, stored.size]


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
@pytest.mark.parametrize(
    "fault", [{"drop_before": True}, {"status": 503}, {"status": 502, "html": True}, {"drop_after": True}]
)
def test_what_passes_is_waited_out(venice: VeniceSimulator, desk: Desk, model: str, fault: dict[str, Any]) -> None:
    job = desk.submit(model)
    venice.fail(endpoint(model), times=3, **fault)
    assert desk.fetch(job).size
    assert len(venice.journal.calls(endpoint(model))) == 4


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
def test_a_server_that_stays_down_has_not_ended_the_job(venice: VeniceSimulator, desk: Desk, model: str) -> None:
    job = desk.submit(model)
    venice.fail(endpoint(model), status=503, times=None)
    error = desk.refused(job)
    assert isinstance(error, VeniceAPIError)
    assert error.can_heal


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
def test_a_transfer_that_always_breaks_is_told(venice: VeniceSimulator, desk: Desk, model: str) -> None:
    job = desk.submit(model)
    venice.fail(endpoint(model), truncate=100, times=None)
    error = desk.refused(job)
    assert isinstance(error, (VeniceConnectionError, VideoDownloadError))
    assert error.can_heal


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
def test_a_cut_without_a_length_is_noticed(venice: VeniceSimulator, desk: Desk, model: str) -> None:
    job = desk.submit(model)
    venice.fail(endpoint(model), truncate=2000, length=False, times=4)
    error = desk.refused(job)
    assert isinstance(error, VideoDownloadError)
    assert error.can_heal
    assert desk.fetch(job).size


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
def test_a_page_that_poses_as_a_clip_is_noticed(venice: VeniceSimulator, desk: Desk, model: str) -> None:
    job = desk.submit(model)
    venice.fail(endpoint(model), stub=True, times=4)
    assert isinstance(desk.refused(job), VideoDownloadError)
    assert desk.fetch(job).metadata.duration


@pytest.mark.parametrize(("model", "status"), [(INLINE, 404), (PRIVATE, 410)])
def test_a_clip_that_is_gone_has_ended(venice: VeniceSimulator, desk: Desk, model: str, status: int) -> None:
    job = dataclasses.replace(desk.submit(model), queued_at=None)  # one just submitted may not be known yet
    venice.fail(endpoint(model), expire=True)
    error = desk.refused(job)
    assert isinstance(error, VideoGenerationError)
    assert (error.status_code, error.queue_id, error.can_heal) == (status, job.queue_id, False)
    assert len(venice.journal.calls(endpoint(model))) == 1


def test_a_link_that_is_fetched_too_often_is_told(venice: VeniceSimulator, desk: Desk) -> None:
    job = desk.submit(PRIVATE)
    venice.fail("download", truncate=10, length=False, times=5)
    assert isinstance(desk.refused(job), VideoDownloadError)
    assert isinstance(desk.refused(job), VeniceRateLimitError)
    assert len(venice.journal.calls("download")) == 6


def test_a_link_that_is_busy_for_a_moment_is_waited_for(venice: VeniceSimulator, desk: Desk) -> None:
    job = desk.submit(PRIVATE)
    venice.fail("download", status=429, headers={"retry-after": "0"})
    assert desk.fetch(job).size


def test_a_private_job_without_its_link_is_told(venice: VeniceSimulator, desk: Desk) -> None:
    job = desk.submit(PRIVATE)
    error = desk.refused(VideoJob(job.model, job.queue_id))
    assert isinstance(error, VideoGenerationError)
    assert "download_url" in str(error)


def test_a_job_that_still_runs_is_told(venice: VeniceSimulator, desk: Desk) -> None:
    venice.job_seconds = 3600
    error = desk.refused(desk.submit(INLINE))
    assert isinstance(error, VideoDownloadError)
    assert "not finished" in str(error)


@pytest.mark.parametrize("model", [INLINE, PRIVATE])
@pytest.mark.parametrize("announced", [True, False])
def test_more_than_is_allowed_is_refused(venice: VeniceSimulator, desk: Desk, model: str, announced: bool) -> None:
    job = desk.submit(model)
    if not announced:
        venice.fail(endpoint(model), truncate=10**9, length=False)
    error = desk.refused(job, max_size=3000)
    assert isinstance(error, VideoDownloadError)
    assert not error.can_heal
    assert "3000 are allowed" in str(error)
    assert len(venice.journal.calls(endpoint(model))) == 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real clip."""
    with VeniceSimulator(api_key=API_KEY, job_seconds=0, media="shared", padding=SIZE) as venice:
        desk = Desk(venice.base_url, tmp_path_factory.mktemp("clip"))
        path = desk.fetch(desk.submit(INLINE)).path
        desk.transport.close()
    return Path(path).read_bytes()


def whole(data: bytes, **headers: str) -> bytes:
    return answer(200, data, content_type="video/mp4", **headers)


def part(data: bytes, start: int, *, total: int | str | None = None, claimed: str | None = None) -> bytes:
    """Return the answer to a request for the bytes from ``start``."""
    size = len(data) if total is None else total
    content_range = claimed if claimed is not None else f"bytes {start}-{len(data) - 1}/{size}"
    return answer(206, data[start:], content_type="video/mp4", content_range=content_range)


def broken(data: bytes, at: int) -> bytes:
    """Return the answer with the whole clip, cut after ``at`` bytes of it."""
    return whole(data)[: at - len(data)]


def unsized(data: bytes) -> Callable[[socket.socket], None]:
    """Send all bytes without a length, then end the connection the hard way: it looks broken, and is not."""

    def send(sock: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ntransfer-encoding: chunked\r\n\r\n"
        sock.sendall(head + b"%x\r\n" % len(data) + data + b"\r\n")

    return send


def no_range(total: int | str) -> bytes:
    return answer(416, b"", content_range=f"bytes */{total}")


def sent(head: bytes, *pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Send a head and pieces, then wait so many seconds before the connection ends."""

    def send(sock: socket.socket) -> None:
        sock.sendall(head)
        for piece in pieces:
            sock.sendall(piece)
        time.sleep(pause)

    return send


def fetched(make_desk: MakeDesk, *answers: Any, read_timeout: float = 5, **kwargs: Any) -> tuple[Any, list[str | None]]:
    """Return what comes of a private link that answers so, and the ranges that were asked for."""
    with RawServer(*answers) as server:
        desk = make_desk(server.url, read_timeout=read_timeout)
        job = VideoJob(PRIVATE, "q-8", download_url=f"{server.url}/v1/share/read/s3cr3t")
        try:
            result: Any = desk.fetch(job, **kwargs)
        except VeniceError as error:
            result = error
        assert "s3cr3t" not in str(result)
        return result, [arrival.header("range") for arrival in server.arrivals]


def test_odd_answers_to_a_range_lead_to_the_whole_clip(make_desk: MakeDesk, clip: bytes, tmp_path: Path) -> None:
    size = len(clip)
    rest = f"bytes={CUT}-"
    cases: dict[str, tuple[list[Any], list[str | None]]] = {
        "the rest": ([broken(clip, CUT), part(clip, CUT)], [None, rest]),
        "of unknown length": ([broken(clip, CUT), part(clip, CUT, total="*")], [None, rest]),
        "the whole instead": ([broken(clip, CUT), whole(clip)], [None, rest]),
        "from elsewhere": ([broken(clip, CUT), part(clip, 262_144), whole(clip)], [None, rest, None]),
        "of another length": ([broken(clip, CUT), part(clip, CUT, total=size + 1), whole(clip)], [None, rest, None]),
        "without a range": ([broken(clip, CUT), part(clip, CUT, claimed=""), whole(clip)], [None, rest, None]),
        "a garbled range": (
            [broken(clip, CUT), part(clip, CUT, claimed="bytes " + "9" * 5000 + "-1/2"), whole(clip)],
            [None, rest, None],
        ),
        "a whole of another length": ([broken(clip + b"x", CUT), whole(clip)], [None, rest]),
        "no such range": ([broken(clip, CUT), no_range(2000), whole(clip)], [None, rest, None]),
        "no more": ([unsized(clip), no_range(size)], [None, f"bytes={size}-"]),
        "no more of something": ([unsized(clip), no_range("*"), whole(clip)], [None, f"bytes={size}-", None]),
        "an odd length": ([whole(clip, content_length="9" * 5000), whole(clip)], [None]),
    }
    for name, (answers, ranges) in cases.items():
        result, asked = fetched(make_desk, *answers)
        assert isinstance(result, StoredVideo), (name, result)
        assert Path(result.path).read_bytes() == clip, name
        assert asked == ranges, name
        Path(result.path).unlink()
    assert os.listdir(tmp_path) == []


PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\n"


@pytest.mark.parametrize("way", ["the end", "silence", "within a chunk", "between chunks"])
@pytest.mark.parametrize("at", [1, 70_001, CUT])
def test_all_that_came_is_kept_however_a_transfer_breaks(make_desk: MakeDesk, clip: bytes, way: str, at: int) -> None:
    sized = PLAIN + b"content-length: %d\r\n\r\n" % len(clip)
    chunked = PLAIN + b"transfer-encoding: chunked\r\n\r\n"
    first = {
        "the end": sent(sized, clip[:at]),
        "silence": sent(sized, clip[:at], pause=0.6),
        "within a chunk": sent(chunked, b"%x\r\n" % len(clip), clip[:at]),
        "between chunks": sent(chunked, b"%x\r\n" % at, clip[:at], b"\r\n"),
    }[way]
    result, asked = fetched(make_desk, first, part(clip, at), read_timeout=0.3)
    assert isinstance(result, StoredVideo)
    assert Path(result.path).read_bytes() == clip
    assert asked == [None, f"bytes={at}-"]


@pytest.mark.slow
@pytest.mark.parametrize("announced", [True, False])
def test_memory_does_not_grow_with_the_clip(make_desk: MakeDesk, clip: bytes, announced: bool) -> None:
    # A box of zeros, which players skip; its eight bytes are the size and the type.
    count, zeros = 256, bytes(1 << 20)
    box = struct.pack(">I4s", 8 + count * len(zeros), b"free")
    size = len(clip) + len(box) + count * len(zeros)
    if announced:
        give = sent(PLAIN + b"content-length: %d\r\n\r\n" % size, clip, box, *[zeros] * count)
    else:
        give = sent(
            PLAIN + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % (len(clip) + len(box)),
            clip,
            box,
            *[b"\r\n%x\r\n" % len(zeros), zeros] * count,
            b"\r\n0\r\n\r\n",
        )
    tracemalloc.start()
    try:
        result, _ = fetched(make_desk, give)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(result, StoredVideo)
    assert result.size == size
    assert peak < 8_000_000


def test_wrong_bytes_are_never_stored(make_desk: MakeDesk, clip: bytes, tmp_path: Path) -> None:
    cases: dict[str, list[Any]] = {
        "nothing": [whole(b"")],
        "an error page": [whole(b"<html>" * 1000)],
        "half": [whole(clip[: len(clip) // 2])],
        "more": [whole(clip + b"\0" * 7)],
        "parts of nothing": [part(clip, 0, claimed="bytes 5-9/10")],
        "no range at all": [no_range(5)],
        "JSON": [answer(200, "{}")],
    }
    for name, answers in cases.items():
        result, asked = fetched(make_desk, *answers)
        assert isinstance(result, VeniceError), name
        assert not isinstance(result, VideoGenerationError), name
        assert len(asked) <= 4, name
        assert os.listdir(tmp_path) == [], name


def test_a_flood_without_a_length_is_cut_off(make_desk: MakeDesk) -> None:
    def flood(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\n\r\n")
        while True:
            sock.sendall(b"\0" * 65536)

    result, asked = fetched(make_desk, flood, max_size=5_000_000)
    assert isinstance(result, VideoDownloadError)
    assert not result.can_heal
    assert len(asked) == 1


@pytest.mark.slow
def test_a_clip_of_200_megabytes_takes_no_memory(make_desk: MakeDesk) -> None:
    with VeniceSimulator(api_key=API_KEY, job_seconds=0, media="shared", padding=200_000_000) as venice:
        desk = make_desk(venice.base_url)
        job = desk.submit(PRIVATE)
        venice.fail("download", truncate=150_000_000)
        tracemalloc.start()
        try:
            stored = desk.fetch(job)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert stored.size >= 200_000_000
        assert statuses(venice, PRIVATE) == [200, 206]
    assert peak < 32_000_000
