"""Whole clips are told from cut, foreign and hostile files."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_venice.api.model import VideoMetadata
from airflow_provider_venice.api.mp4 import MAX_BOXES, MAX_MOOV, read_metadata
from airflow_provider_venice.exceptions import VideoDownloadError

LAYOUTS = {
    "moov at the end": "",
    "faststart": "faststart",
    "fragmented": "frag_keyframe+empty_moov",
    "fragmented, no index at the end": "frag_every_frame+empty_moov+default_base_moof+skip_trailer",
}


def box(kind: bytes, *content: bytes, size: int | None = None) -> bytes:
    """Return one box; ``size`` overrides the size it tells of itself."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body) if size is None else size, kind) + body


def boxes_of(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return kind, start and end of each top-level box."""
    found, position = [], 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, position, position + size))
        position += size
    return found


def span(data: bytes, wanted: bytes) -> tuple[int, int]:
    """Return start and end of the one top-level box of that kind."""
    [(_, start, end)] = [entry for entry in boxes_of(data) if entry[0] == wanted]
    return start, end


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Return a maker of real clips: half a second, 64x48, 24 frames a second."""

    def make(movflags: str = "", *, rate: int = 24, frames: int = 12, sound: bool = False) -> bytes:
        path = tmp_path_factory.mktemp("clip") / "clip.mp4"
        with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
            stream = container.add_stream("mpeg4", rate=rate)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            voice = container.add_stream("aac", rate=8000, layout="mono") if sound else None
            for number in range(frames):
                frame = av.VideoFrame(64, 48, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([number * 9 % 256]) * plane.buffer_size)
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if voice:
                samples = av.AudioFrame(format="fltp", layout="mono", samples=1024)
                samples.planes[0].update(bytes(samples.planes[0].buffer_size))
                samples.sample_rate, samples.pts = 8000, 0
                container.mux(voice.encode(samples))
                container.mux(voice.encode())
        return path.read_bytes()

    return make


@pytest.fixture(scope="session")
def clip(make_clip: Callable[..., bytes]) -> bytes:
    return make_clip()


def refused(data: bytes, expected_size: int | None = None) -> str:
    with pytest.raises(VideoDownloadError) as caught:
        read_metadata(io.BytesIO(data), expected_size=expected_size)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_real_clip_is_whole_in_each_layout(make_clip: Callable[..., bytes], layout: str) -> None:
    data = make_clip(LAYOUTS[layout])
    metadata = read_metadata(io.BytesIO(data), expected_size=len(data))
    fragmented = layout.startswith("fragmented")
    assert metadata == VideoMetadata(
        duration=None if fragmented else 0.5,
        resolution="64x48",
        fps=None if fragmented else 24.0,
        format="mp4",
        file_size=len(data),
    )


@pytest.mark.parametrize(("rate", "frames"), [(25, 10), (30, 45), (60, 6)])
def test_the_frame_rate_and_the_duration_are_the_tables(
    make_clip: Callable[..., bytes], rate: int, frames: int
) -> None:
    metadata = read_metadata(io.BytesIO(make_clip(rate=rate, frames=frames)))
    assert metadata.fps == rate
    assert metadata.duration == pytest.approx(frames / rate, abs=0.002)


def test_a_sound_track_does_not_hide_the_video(make_clip: Callable[..., bytes]) -> None:
    metadata = read_metadata(io.BytesIO(make_clip(sound=True)))
    assert (metadata.resolution, metadata.fps) == ("64x48", 24.0)


def test_a_sound_file_has_no_video_track(clip: bytes) -> None:
    assert "no video track" in refused(clip.replace(b"vide", b"soun"))


@pytest.mark.parametrize("layout", ["moov at the end", "faststart"])
def test_a_clip_cut_at_any_byte_is_refused(make_clip: Callable[..., bytes], layout: str) -> None:
    data = make_clip(LAYOUTS[layout])
    for length in range(len(data)):
        assert refused(data[:length])
        assert f"{length} of {len(data)} bytes" in refused(data[:length], len(data)) or length < 8


@pytest.mark.parametrize("layout", ["fragmented", "fragmented, no index at the end"])
def test_a_fragmented_clip_cut_at_any_byte_is_refused_where_its_length_was_announced(
    make_clip: Callable[..., bytes], layout: str
) -> None:
    data = make_clip(LAYOUTS[layout])
    accepted = set()
    for length in range(len(data)):
        refused(data[:length], len(data))
        with contextlib.suppress(VideoDownloadError):
            read_metadata(io.BytesIO(data[:length]))
            accepted.add(length)
    # The one cut that the file itself does not show: right behind a fragment.
    assert accepted == {end for kind, _, end in boxes_of(data) if kind == b"mdat"} - {len(data)}


def test_bytes_after_the_end_are_refused(clip: bytes) -> None:
    assert refused(clip + b"\0")
    assert refused(clip + b"\0" * 8)
    assert f"it has {len(clip) + 1} of {len(clip)} bytes" in refused(clip + b"x", len(clip))


def widened(data: bytes) -> bytes:
    """Return the clip with a 64-bit size for its media; ffmpeg leaves a ``free`` box for just that."""
    (free, _), (media, end) = span(data, b"free"), span(data, b"mdat")
    assert media - free == 8
    return data[:free] + struct.pack(">I4sQ", 1, b"mdat", end - free) + data[media + 8 :]


def test_a_64_bit_media_size_is_read(clip: bytes) -> None:
    wide = widened(clip)
    assert read_metadata(io.BytesIO(wide)) == read_metadata(io.BytesIO(clip))
    for length in range(len(wide)):
        refused(wide[:length])


def test_media_to_the_end_of_the_file_is_measured_by_its_samples(make_clip: Callable[..., bytes]) -> None:
    data = bytearray(make_clip("faststart"))
    start, _ = span(bytes(data), b"mdat")
    data[start : start + 4] = bytes(4)
    assert read_metadata(io.BytesIO(data)).resolution == "64x48"
    for length in range(len(data)):
        refused(bytes(data[:length]))


def test_only_the_last_media_may_be_open_ended(clip: bytes) -> None:
    start, _ = span(clip, b"mdat")
    assert "no 'moov'" in refused(clip[:start] + bytes(4) + clip[start + 4 :])


def test_media_that_lies_behind_the_end_is_missed(make_clip: Callable[..., bytes]) -> None:
    data = make_clip("faststart")
    start, _ = span(data, b"mdat")
    assert "its media continues at byte" in refused(data[:start] + box(b"mdat")[:8].ljust(8))


def test_the_picture_of_a_turned_track_is_turned(clip: bytes) -> None:
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    # The first matrix is the movie's, the second the track's.
    head, movie, rest = clip.partition(upright)
    assert read_metadata(io.BytesIO(head + movie + rest.replace(upright, turned, 1))).resolution == "48x64"


def test_the_size_of_the_track_stands_in_for_that_of_the_codec(clip: bytes) -> None:
    entry = clip.index(b"mp4v")
    assert clip[entry + 28 : entry + 32] == struct.pack(">HH", 64, 48)
    assert read_metadata(io.BytesIO(clip[: entry + 28] + bytes(4) + clip[entry + 32 :])).resolution == "64x48"


def test_version_1_clocks_are_read() -> None:
    clock = struct.pack(">I2QIQ", 1 << 24, 0, 0, 1000, 90_500)
    header = struct.pack(">I2Q2IQ", 1 << 24, 0, 0, 1, 0, 90_500) + bytes(16) + bytes(36)
    stbl = box(
        b"stbl",
        box(b"stts", struct.pack(">4I", 0, 1, 905, 100)),
        box(b"stsz", struct.pack(">3I", 0, 4, 905)),
        box(b"co64", struct.pack(">2IQ", 0, 1, 24)),
    )
    trak = box(
        b"trak",
        box(b"tkhd", header, struct.pack(">2I", 1920 << 16, 1080 << 16)),
        # The clock behind the table: boxes have no order.
        box(b"mdia", box(b"minf", stbl), box(b"hdlr", bytes(8), b"vide"), box(b"mdhd", clock)),
    )
    data = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(3620)) + box(b"moov", box(b"mvhd", clock), trak)
    assert read_metadata(io.BytesIO(data)) == VideoMetadata(90.5, "1920x1080", 10.0, "mp4", len(data))


def test_quicktime_is_named(clip: bytes) -> None:
    assert read_metadata(io.BytesIO(clip[:8] + b"qt  " + clip[12:])).format == "mov"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\0\0", "cut after 2 bytes"),
        (b"<html><body>Bad gateway</body></html>", "HTML, not an MP4: '<html><body>Bad gateway</body></html>'"),
        (b'{"status": "PROCESSING"}', "JSON, not an MP4"),
        (b"upstream timed out", "text, not an MP4: 'upstream timed out'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png, not an MP4"),
        (bytes(range(128, 200)), "does not begin with an 'ftyp' box"),
    ],
)
def test_what_is_no_video_is_named(data: bytes, words: str) -> None:
    assert words in refused(data)


def test_what_is_shown_of_a_foreign_file_has_no_links_and_keys() -> None:
    message = refused(
        b'{"url": "https://media.example/v/0123456789abcdef?sig=AAAABBBBCCCCDDDD", "k": "sk-0123456789abcdef"}'
    )
    assert "JSON" in message
    for secret in ("https", "0123456789", "AAAABBBB"):
        assert secret not in message


FTYP = box(b"ftyp", b"isom", bytes(4))


def wide(size: int) -> bytes:
    return struct.pack(">I4sQ", 1, b"mdat", size)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(FTYP + wide(1 << 63), "ends after 16", id="64-bit size beyond all files"),
        pytest.param(FTYP + wide(15), "no valid box at byte 16", id="64-bit size below its header"),
        pytest.param(FTYP + wide(16)[:12], "within a box header", id="64-bit size that is cut"),
        pytest.param(FTYP + box(b"free", size=7), "no valid box at byte 16", id="size below its header"),
        pytest.param(FTYP + box(b"free", size=0), "no valid box at byte 16", id="open end of what is not media"),
        pytest.param(FTYP + box(b"mdat", size=9), "ends after 8", id="one byte too few"),
        pytest.param(FTYP + box(b"moov", box(b"trak", size=9)), "'trak' at byte 24", id="child beyond its parent"),
        pytest.param(FTYP + box(b"moov", box(b"trak", size=0)), "no valid box at byte 24", id="child without an end"),
        pytest.param(FTYP + box(b"moov", box(b"mvhd", b"\1")), "'mvhd' at byte 24 is too short", id="short box"),
        pytest.param(FTYP + box(b"moov") * 2, "2 'moov'", id="two tables"),
        pytest.param(FTYP + box(b"\xff\xff\xff\xff"), "no valid box at byte 16", id="no name"),
        pytest.param(FTYP * (MAX_BOXES + 1), f"more than {MAX_BOXES} boxes", id="too many boxes"),
        pytest.param(FTYP + box(b"moov", bytes(MAX_MOOV)), "that is no clip's", id="a huge table"),
    ],
)
def test_hostile_structures_are_refused(data: bytes, words: str) -> None:
    assert words in refused(data)


def test_a_table_that_promises_more_entries_than_it_has_is_refused(clip: bytes) -> None:
    table = clip.index(b"stts")
    assert "no room" in refused(clip[: table + 8] + b"\xff\xff\xff\xff" + clip[table + 12 :])


def test_boxes_nested_without_end_cost_nothing() -> None:
    nested = b""
    for _ in range(20_000):
        nested = box(b"moov", nested)
    assert "no video track" in refused(FTYP + nested + box(b"mdat"))


def test_a_video_track_needs_frames(clip: bytes) -> None:
    table = clip.index(b"stsz")
    assert "no frames" in refused(clip[: table + 12] + bytes(4) + clip[table + 16 :])


def test_a_large_file_is_read_in_little_memory(clip: bytes, tmp_path: Path) -> None:
    start, end = span(clip, b"mdat")
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(clip[:start] + struct.pack(">I", end - start + (2 << 30)) + clip[start + 4 : end])
        file.seek(2 << 30, io.SEEK_CUR)
        file.write(clip[end:])
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            metadata = read_metadata(file)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert metadata.file_size == len(clip) + (2 << 30)
    assert peak < 500_000


def verdict_in_time(data: bytes) -> None:
    started = time.monotonic()
    with contextlib.suppress(VideoDownloadError):
        assert isinstance(read_metadata(io.BytesIO(data)), VideoMetadata)
    assert time.monotonic() - started < 2


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
@example(FTYP)
def test_arbitrary_bytes_get_a_verdict(data: bytes) -> None:
    verdict_in_time(data)
    verdict_in_time(FTYP + data)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_a_clip_with_arbitrary_damage_gets_a_verdict(clip: bytes, data: st.DataObject) -> None:
    # The tables are where damage is interpreted; the media is not looked at.
    start, end = span(clip, b"moov")
    damaged = bytearray(clip)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(start, end - 4))
        damaged[position : position + 4] = data.draw(st.one_of(st.binary(min_size=4, max_size=4), st.just(b"\xff" * 4)))
    verdict_in_time(bytes(damaged))
