"""Real media: H.264 clips and images that show their prompt, made with Pillow and PyAV, both imported late."""

from __future__ import annotations

import math
import os
import tempfile
import textwrap
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from PIL.Image import Image

MISSING = "the simulator needs Pillow, PyAV and jsonschema; pip install 'airflow-provider-venice[simulator]'"

#: The colours of a picture: the sky above, the sky at the horizon, and the hills that are near.
_PALETTES = (
    ((33, 52, 110), (244, 158, 120), (34, 26, 56)),
    ((18, 74, 122), (168, 214, 226), (14, 56, 62)),
    ((74, 40, 104), (250, 176, 146), (44, 20, 52)),
    ((24, 38, 72), (128, 160, 206), (16, 24, 44)),
    ((196, 106, 58), (252, 222, 158), (78, 36, 24)),
    ((28, 92, 84), (222, 226, 172), (18, 48, 44)),
)
_RIDGES = 4

_BAR_HEIGHT = 8

#: The part of a picture that is cut off on each side when a clip that begins with it ends.
_CLOSEST = 0.08

_TONE_HERTZ, _SAMPLE_RATE, _SAMPLES = 440, 48000, 1024
_ZEROS = bytes(1 << 16)


def require() -> None:
    """
    Check that the libraries are there.

    :raises ModuleNotFoundError: naming the extra that brings them.
    """
    try:
        import av
        import jsonschema
        import PIL.Image

        del av, jsonschema, PIL
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error


@dataclass(frozen=True)
class ClipSpec:
    """
    What a clip looks like.

    :param text: what is written in the picture.
    :param seconds: its length.
    :param width: pixels, even.
    :param height: pixels, even.
    :param fps: frames per second.
    :param audio: whether it has a sound track.
    :param picture: the file of a picture with which it begins, instead of the text.
    """

    text: str
    seconds: float
    width: int
    height: int
    fps: int
    audio: bool
    picture: bytes = b""


@dataclass(frozen=True)
class Clip:
    """
    An MP4: its encoded part, and a ``free`` box that carries the job's id and pads the file.

    :param encoded: the part that plays, shared between jobs where that is asked for.
    :param box: head of the ``free`` box with the job's id.
    :param zeros: bytes of padding after it; they are never held in memory.
    """

    encoded: bytes
    box: bytes = b""
    zeros: int = 0

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.encoded) + len(self.box) + self.zeros

    def labelled(self, queue_id: str, padding: int) -> Clip:
        """Return the clip with its job's id inside, grown to ``padding`` bytes if it is smaller."""
        label = f"venice-simulator {queue_id}".encode()
        smallest = 16 + len(label)
        length = max(smallest, padding - len(self.encoded))
        head = (1).to_bytes(4, "big") + b"free" + length.to_bytes(8, "big")
        return replace(self, box=head + label, zeros=length - smallest)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``stop`` in pieces of at most 64 KiB."""
        held = memoryview(self.encoded + self.box if start < len(self.encoded) + len(self.box) else b"")
        while start < stop:
            end = min(stop, start + len(_ZEROS))
            piece = bytes(held[start:end])
            yield piece + _ZEROS[: end - start - len(piece)]
            start = end


def encode(spec: ClipSpec, closed: Callable[[], bool]) -> bytes:
    """
    Encode a clip of exactly the asked length, size and frame rate.

    A text is drawn once, and only the progress bar moves, so that a clip costs well below a second. One that begins
    with a picture goes slowly nearer to it, which takes a second or two.

    :param closed: asked before every frame; ``True`` abandons the work, and nothing is returned.
    """
    import av

    with tempfile.TemporaryDirectory(prefix="venice-simulator-") as folder:
        path = Path(folder) / "clip.mp4"
        # The index is moved to the front after the fact, which needs a real file.
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            _encode_into(container, spec, closed)
        return b"" if closed() else path.read_bytes()


def _encode_into(container: OutputContainer, spec: ClipSpec, closed: Callable[[], bool]) -> None:
    import av
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"preset": "ultrafast", "crf": "30"} if codec == "libx264" else {}
    video = container.add_stream(codec, rate=spec.fps, options=options)
    assert isinstance(video, VideoStream)
    video.width, video.height, video.pix_fmt = spec.width, spec.height, "yuv420p"
    video.thread_count = min(2, os.cpu_count() or 1)
    if spec.audio:
        audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        _add_tone(container, audio, spec.seconds)
    frames = max(1, round(spec.seconds * spec.fps))
    picture = _open_picture(spec)
    drawn = _progress(spec, frames) if picture is None else _approach(picture, frames)
    for number, frame in enumerate(drawn):
        if closed():
            return
        frame.pts, frame.time_base = number, Fraction(1, spec.fps)
        container.mux(video.encode(frame))
    container.mux(video.encode(None))


def _progress(spec: ClipSpec, frames: int) -> Iterator[VideoFrame]:
    """Yield the frames of a drawing that shows the text, above a bar that grows."""
    import av

    picture = av.VideoFrame.from_image(draw(spec.text, spec.width, spec.height))  # type: ignore[no-untyped-call]
    yuv = picture.reformat(format="yuv420p")
    light, blue, red = (bytes(plane) for plane in yuv.planes)
    stride = yuv.planes[0].line_size
    bar = spec.height - _BAR_HEIGHT
    for number in range(frames):
        frame = av.VideoFrame(spec.width, spec.height, "yuv420p")
        done = max(1, spec.width * (number + 1) // frames)
        row = b"\xeb" * done + b"\x20" * (stride - done)
        frame.planes[0].update(light[: bar * stride] + row * _BAR_HEIGHT)
        frame.planes[1].update(blue)
        frame.planes[2].update(red)
        yield frame


def _open_picture(spec: ClipSpec) -> Image | None:
    """Return the picture cut to the clip's shape; ``None`` where there is none that can be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(spec.picture)) as file:
            return ImageOps.fit(file.convert("RGB"), (spec.width, spec.height))
    except (OSError, SyntaxError, ValueError):  # whatever Pillow makes of a file that is no whole picture
        return None


def _approach(picture: Image, frames: int) -> Iterator[VideoFrame]:
    """Yield frames that begin with the picture, and go nearer to its middle."""
    import av
    from PIL.Image import Resampling

    width, height = picture.size
    for number in range(frames):
        cut = _CLOSEST * number / frames
        part = (width * cut, height * cut, width * (1 - cut), height * (1 - cut))
        yield av.VideoFrame.from_image(picture.resize(picture.size, Resampling.BILINEAR, part))  # type: ignore[no-untyped-call]


def _add_tone(container: OutputContainer, stream: object, seconds: float) -> None:
    """A quiet tone, a little shorter than the picture so that it never lengthens the file."""
    import av
    from av.audio.stream import AudioStream

    assert isinstance(stream, AudioStream)
    for start in range(0, int(seconds * _SAMPLE_RATE) - 4 * _SAMPLES, _SAMPLES):
        wave = (0.1 * math.sin(2 * math.pi * _TONE_HERTZ * n / _SAMPLE_RATE) for n in range(start, start + _SAMPLES))
        frame = av.AudioFrame(format="fltp", layout="mono", samples=_SAMPLES)
        frame.planes[0].update(array("f", wave).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, start, Fraction(1, _SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def probe(data: bytes) -> tuple[float, int, int] | None:
    """Return length in seconds, width and height of a video file; ``None`` when it cannot be read."""
    import av

    try:
        with av.open(BytesIO(data)) as container:
            stream = container.streams.video[0]
            return (container.duration or 0) / 1_000_000 or 1.0, stream.width, stream.height
    except (av.FFmpegError, IndexError):
        return None


def draw(text: str, width: int, height: int) -> Image:
    """Draw hills under a sky, with ``text`` on them; colours and shapes come from the text, so that clips differ."""
    import random

    from PIL import Image, ImageDraw, ImageFont

    chance = random.Random(text)
    sky, horizon, hills = chance.choice(_PALETTES)
    shade = Image.linear_gradient("L").resize((width, height))
    picture = Image.composite(Image.new("RGB", (width, height), horizon), Image.new("RGB", (width, height), sky), shade)
    pencil = ImageDraw.Draw(picture)
    sun, radius = (chance.uniform(0.2, 0.8) * width, chance.uniform(0.25, 0.5) * height), min(width, height) / 9
    pencil.ellipse((sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius), fill=(255, 244, 214))
    for number in range(_RIDGES):
        nearness = (number + 1) / _RIDGES
        colour = tuple(round(far + (near - far) * nearness) for far, near in zip(horizon, hills, strict=True))
        pencil.polygon(_ridge(chance, width, height, 0.42 + 0.4 * nearness), fill=colour)
    size = max(10, min(width, height) // 26)
    columns = max(8, int(width * 0.75 / (size * 0.55)))
    rows = max(1, int((height * 0.9 - _BAR_HEIGHT) / (size * 1.3)))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, columns) or [""]][:rows]
    # On the hills, at the bottom, where it can be read on all of them.
    pencil.multiline_text(
        (width * 0.05, height * 0.95 - _BAR_HEIGHT),
        "\n".join(lines),
        fill="white",
        font=ImageFont.load_default(size),
        anchor="ld",
        stroke_width=max(1, size // 14),
        stroke_fill=hills,
    )
    return picture


def _ridge(chance: random.Random, width: int, height: int, level: float) -> list[tuple[float, float]]:
    """Return the outline of hills, from the left edge to the right one and along the bottom."""
    waves = [(chance.uniform(0.5, 4), chance.uniform(0, 2 * math.pi), chance.uniform(0.01, 0.05)) for _ in range(4)]
    steps = 48
    outline = [
        (
            width * step / steps,
            height * (level + sum(high * math.sin(often * 6 * step / steps + start) for often, start, high in waves)),
        )
        for step in range(steps + 1)
    ]
    return [(0, height), *outline, (width, height)]


def image_bytes(text: str, width: int, height: int, file_format: str) -> bytes:
    """
    Return a picture that shows ``text``.

    :param file_format: ``png``, ``jpeg`` or ``webp``.
    """
    buffer = BytesIO()
    draw(text, width, height).save(buffer, file_format.upper())
    return buffer.getvalue()
