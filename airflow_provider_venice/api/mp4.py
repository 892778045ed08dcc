"""Whether a file is a whole MP4, and what it holds, read from its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from airflow_provider_venice.api.media import sniff
from airflow_provider_venice.api.model import VideoMetadata
from airflow_provider_venice.exceptions import VideoDownloadError

#: Most boxes read on one level. A fragment takes two, so this is seven hours of one-second fragments.
MAX_BOXES = 50_000

#: Largest ``moov`` that is read, in bytes; an hour at 60 frames a second takes about 5 MB.
MAX_MOOV = 32 * 1024 * 1024

#: Bytes of a table read at once; a multiple of every entry size below.
_CHUNK = 64 * 1024

#: Where a value of this is found, the writer did not know the duration.
_UNKNOWN = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


class _Box(NamedTuple):
    """One box: its type, and where its header, its content and it itself begin and end, in bytes."""

    kind: bytes
    start: int
    body: int
    end: int
    open_ended: bool


@dataclass
class _Track:
    """What the sample table of one track says."""

    is_video: bool = False
    samples: int = 0
    sample_bytes: int = 0
    last_chunk: int = -1
    fps: float | None = None
    resolution: str | None = None


def read_metadata(file: BinaryIO, *, expected_size: int | None = None) -> VideoMetadata:
    """
    Return what an MP4 holds, if it is whole: nothing is missing, nothing follows, a video track is there.

    Only box headers and sample tables are read, in constant memory. A last ``mdat`` of size 0 ("to the
    end of the file") counts as whole when it can hold every sample of the tables. Fragmented files have
    no such table: one that is cut exactly between two fragments shows only in ``expected_size``.

    :param file: seekable; its position is changed.
    :param expected_size: bytes that the server announced.
    :raises VideoDownloadError: saying what was found instead.
    """
    size = file.seek(0, 2)
    if size == 0:
        raise VideoDownloadError("the file is empty")
    _check_start(file)
    if expected_size is not None and size != expected_size:
        problem = "is cut after" if size < expected_size else "continues after its announced end: it has"
        raise VideoDownloadError(f"the file {problem} {size} of {expected_size} bytes")
    boxes = list(_boxes(file, None, size))
    moovs = [box for box in boxes if box.kind == b"moov"]
    if len(moovs) != 1:
        raise VideoDownloadError(f"the file has {len(moovs) or 'no'} 'moov' box; it is cut or not a video")
    tracks, duration = _read_moov(file, moovs[0])
    video = _check_media(boxes, tracks, size)
    brand = _read(file, boxes[0], 0, 4)
    return VideoMetadata(
        duration=duration,
        resolution=video.resolution,
        fps=video.fps,
        format="mov" if brand == b"qt  " else "mp4",
        file_size=size,
    )


def _check_start(file: BinaryIO) -> None:
    """Refuse what is not an MP4 at all, naming what it is."""
    file.seek(0)
    head = file.read(4096)
    if head[4:8] == b"ftyp" or len(head) < 8:
        return
    kind = sniff(head)
    if kind is None:
        raise VideoDownloadError("the file is not an MP4: it does not begin with an 'ftyp' box")
    shown = ""
    if kind.startswith("text/"):
        # A long run of such characters may be a link or a key, which must not reach a log.
        text = re.sub(r"[\w\-+/=.~%:&?]{16,}", "…", head.decode("utf-8", "replace"))
        shown = f": {' '.join(text.split())[:60]!r}"
        kind = "JSON" if text.lstrip()[:1] in ("{", "[") else {"text/html": "HTML"}.get(kind, "text")
    raise VideoDownloadError(f"the file is {kind}, not an MP4{shown}")


def _boxes(file: BinaryIO, parent: _Box | None, end: int) -> Iterator[_Box]:
    """Yield the boxes of ``parent``, or of the whole file, each proved to end where its parent allows."""
    position = parent.body if parent else 0
    for _ in range(MAX_BOXES):
        # A container may be padded with less than a header; a file may not.
        if position == end or (parent and end - position < 8):
            return
        box = _read_header(file, position, end, at_top=parent is None)
        yield box
        position = box.end
    raise VideoDownloadError(f"the file has more than {MAX_BOXES} boxes on one level")


def _read_header(file: BinaryIO, position: int, end: int, *, at_top: bool) -> _Box:
    file.seek(position)
    header = file.read(min(16, end - position))
    if len(header) < 8:
        raise VideoDownloadError(f"the file is cut after {end} bytes, within a box header")
    length, kind = struct.unpack_from(">I4s", header)
    width, open_ended = 8, False
    if length == 1:
        if len(header) < 16:
            raise VideoDownloadError(f"the file is cut after {end} bytes, within a box header")
        (length,), width = struct.unpack_from(">Q", header, 8), 16
    elif length == 0 and at_top and kind == b"mdat":
        length, open_ended = end - position, True
    if length < width or not kind.isascii():
        raise VideoDownloadError(f"there is no valid box at byte {position} of the file")
    if position + length > end:
        name, where = kind.decode("ascii"), "the file" if at_top else "the box around it"
        raise VideoDownloadError(
            f"the file is cut or broken: box {name!r} at byte {position} has {length} bytes, "
            f"but {where} ends after {end - position} of them"
        )
    return _Box(kind, position, position + width, position + length, open_ended)


def _check_media(boxes: list[_Box], tracks: list[_Track], size: int) -> _Track:
    """Return the video track, if all the media that the tables name is in the file."""
    videos = [track for track in tracks if track.is_video]
    if not videos:
        raise VideoDownloadError("the file has no video track")
    media = [box for box in boxes if box.kind in (b"mdat", b"moof")]
    if not any(box.kind == b"mdat" for box in media) or media[-1].kind == b"moof":
        raise VideoDownloadError(f"the file is cut after {size} bytes: the media data ('mdat') is missing")
    video = next((track for track in videos if track.samples), videos[0])
    if not video.samples and not any(box.kind == b"moof" for box in media):
        raise VideoDownloadError("the video track has no frames")
    last = max(track.last_chunk for track in tracks)
    if last >= size:
        raise VideoDownloadError(f"the file is cut after {size} bytes: its media continues at byte {last}")
    needed = sum(track.sample_bytes for track in tracks)
    held = sum(box.end - box.body for box in media if box.kind == b"mdat")
    if media[-1].open_ended and held < needed:
        raise VideoDownloadError(f"the file is cut after {size} bytes: {needed - held} bytes of media are missing")
    return video


def _read_moov(file: BinaryIO, moov: _Box) -> tuple[list[_Track], float | None]:
    """Return the tracks, and the duration in seconds."""
    if moov.end - moov.start > MAX_MOOV:
        raise VideoDownloadError(f"the 'moov' box has {moov.end - moov.start} bytes; that is no clip's")
    tracks: list[_Track] = []
    timescale, duration, fragmented_duration = 0, 0, 0
    for box in _boxes(file, moov, moov.end):
        if box.kind == b"mvhd":
            timescale, duration = _read_clock(file, box)
        elif box.kind == b"trak":
            tracks.append(_read_track(file, box))
        elif box.kind == b"mvex":
            for child in _boxes(file, box, box.end):
                if child.kind == b"mehd":
                    wide = _read(file, child, 0, 1) == b"\x01"
                    fragmented_duration = int.from_bytes(_read(file, child, 4, 8 if wide else 4), "big")
    # A fragmented file's own duration, where it is given at all, covers the part before the fragments.
    ticks = fragmented_duration or duration
    known = timescale and ticks and ticks not in _UNKNOWN
    return tracks, round(ticks / timescale, 3) if known else None


def _read_track(file: BinaryIO, trak: _Box) -> _Track:
    track = _Track()
    timescale, turned, display = 0, False, ""
    for box in _boxes(file, trak, trak.end):
        if box.kind == b"tkhd":
            turned, display = _read_display(file, box)
        elif box.kind == b"mdia":
            for child in _boxes(file, box, box.end):
                if child.kind == b"mdhd":
                    timescale, _ = _read_clock(file, child)
                elif child.kind == b"hdlr":
                    track.is_video = _read(file, child, 8, 4) == b"vide"
                elif child.kind == b"minf":
                    _read_media_info(file, child, track)
    if not track.is_video:
        return track
    if track.fps is not None:
        # _read_table left frames per tick here, as the clock may stand behind the table.
        track.fps = round(track.fps * timescale, 3) or None
    width, _, height = (track.resolution or display).partition("x")
    track.resolution = (f"{height}x{width}" if turned else f"{width}x{height}") if height else None
    return track


def _read_media_info(file: BinaryIO, minf: _Box, track: _Track) -> None:
    for stbl in _boxes(file, minf, minf.end):
        if stbl.kind == b"stbl":
            for box in _boxes(file, stbl, stbl.end):
                _read_table(file, box, track)


def _read_table(file: BinaryIO, box: _Box, track: _Track) -> None:
    """Add to ``track`` what one box of its sample table says."""
    if box.kind == b"stsd" and box.end - box.body >= 44:
        # Full-box header and count (8), then the first entry: its header (8) and 24 bytes before the size.
        width, height = struct.unpack(">HH", _read(file, box, 40, 4))
        track.resolution = f"{width}x{height}" if width and height else None
    elif box.kind == b"stts":
        frames = ticks = 0
        for pairs in _entries(file, box, 8, ">II"):
            frames += sum(pairs[0::2])
            ticks += sum(count * delta for count, delta in zip(pairs[0::2], pairs[1::2], strict=True))
        track.fps = frames / ticks if ticks else None
    elif box.kind in (b"stco", b"co64"):
        for offsets in _entries(file, box, 8, ">I" if box.kind == b"stco" else ">Q"):
            track.last_chunk = max(track.last_chunk, *offsets)
    elif box.kind == b"stsz":
        same, track.samples = struct.unpack(">II", _read(file, box, 4, 8))
        if same:
            track.sample_bytes = same * track.samples
        else:
            track.sample_bytes = sum(sum(sizes) for sizes in _entries(file, box, 12, ">I"))
    elif box.kind == b"stz2":
        (track.samples,) = struct.unpack(">I", _read(file, box, 8, 4))


def _entries(file: BinaryIO, box: _Box, offset: int, layout: str) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of a table, some thousands at a time; its count stands before ``offset``."""
    codes, width = layout[1:], struct.calcsize(layout)
    (count,) = struct.unpack(">I", _read(file, box, offset - 4, 4))
    if box.body + offset + count * width > box.end:
        name = box.kind.decode("ascii")
        raise VideoDownloadError(f"the file is broken: table {name!r} at byte {box.start} has no room for its entries")
    while count:
        rows = min(count, _CHUNK // width)
        yield struct.unpack(f">{rows * len(codes)}{codes[0]}", _read(file, box, offset, rows * width))
        count -= rows
        offset += rows * width


def _read_clock(file: BinaryIO, box: _Box) -> tuple[int, int]:
    """Return ticks per second, and the duration in ticks, of an ``mvhd`` or ``mdhd`` box."""
    layout, offset = (">IQ", 20) if _read(file, box, 0, 1) == b"\x01" else (">II", 12)
    timescale, duration = struct.unpack(layout, _read(file, box, offset, struct.calcsize(layout)))
    return timescale, duration


def _read_display(file: BinaryIO, tkhd: _Box) -> tuple[bool, str]:
    """Return whether the picture is shown turned by a quarter, and the size it is shown in, in pixels."""
    offset = 52 if _read(file, tkhd, 0, 1) == b"\x01" else 40
    numbers = struct.unpack(">9i2I", _read(file, tkhd, offset, 44))
    (a, b, _, c, d), (width, height) = numbers[:5], numbers[9:]
    turned = a == d == 0 and bool(b) and bool(c)
    return turned, f"{width >> 16}x{height >> 16}" if width >> 16 and height >> 16 else ""


def _read(file: BinaryIO, box: _Box, offset: int, length: int) -> bytes:
    """Return ``length`` bytes of a box's content."""
    data = b""
    if box.body + offset + length <= box.end:
        file.seek(box.body + offset)
        data = file.read(length)
    if len(data) < length:
        name = box.kind.decode("ascii")
        raise VideoDownloadError(f"the file is broken: box {name!r} at byte {box.start} is too short")
    return data
