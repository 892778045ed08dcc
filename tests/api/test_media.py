"""Files, bytes and URLs become what the API takes, or one error names every field that cannot."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_venice.api.media import MAX_BODY_BYTES, MAX_FILE_BYTES, MEDIA_FIELDS, resolve_media, sniff
from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.exceptions import VeniceRequestError


def picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(data, kind)
    return data.getvalue()


def recording(path: Path, codec: str, container: str) -> bytes:
    """Return a real sound file or, for video codecs, a real clip."""
    with av.open(str(path), "w", format=container) as output:
        if codec in ("mpeg4", "libvpx"):
            video = output.add_stream(codec, rate=24)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = 0
            output.mux(video.encode(frame))
            output.mux(video.encode())
        else:
            stream = output.add_stream(codec, rate=48000, layout="mono")
            sound = av.AudioFrame(format=stream.format.name, layout="mono", samples=960)
            sound.planes[0].update(bytes(sound.planes[0].buffer_size))
            sound.sample_rate, sound.pts = 48000, 0
            output.mux(stream.encode(sound))
            output.mux(stream.encode())
    return path.read_bytes()


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return data.getvalue()


PNG = picture("PNG")
JPEG = picture("JPEG")
MP4 = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt "
MP3 = b"\xff\xfb\x90\x00" + bytes(100)
PDF = b"%PDF-1.7\n"
SAMPLES = {"image": PNG, "audio": WAV, "video": MP4, "document": PDF}


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class Files:
    """A store of files for ``resolve_media``; it notes what it was asked for."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.limits: dict[str, int] = {}

    def read(self, value: object, limit: int) -> tuple[str, bytes]:
        name = str(value)
        self.limits[name] = limit
        if name not in self.files:
            raise VeniceRequestError(f"no such file {name!r}")
        return name, self.files[name][: limit + 1]


def resolve(body: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> dict[str, Any]:
    return resolve_media(body, Files(files).read)


def problems(body: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> dict[str, str]:
    with pytest.raises(VeniceRequestError) as caught:
        resolve(body, files)
    for field, problem in caught.value.fields.items():
        assert f"{field} {problem}" in str(caught.value)
    return caught.value.fields


@pytest.mark.parametrize(
    ("kind", "mime"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
def test_pictures_are_told_by_their_bytes(kind: str, mime: str) -> None:
    assert sniff(picture(kind)) == mime


@pytest.mark.parametrize(
    ("codec", "container", "mime"),
    [
        ("pcm_s16le", "wav", "audio/wav"),
        ("mp3", "mp3", "audio/mpeg"),
        ("flac", "flac", "audio/flac"),
        ("libopus", "ogg", "audio/ogg"),
        ("aac", "adts", "audio/aac"),
        ("aac", "ipod", "audio/mp4"),
        ("mpeg4", "mp4", "video/mp4"),
        ("mpeg4", "mov", "video/quicktime"),
        ("mpeg4", "matroska", "video/x-matroska"),
        ("mpeg4", "avi", "video/x-msvideo"),
        ("libvpx", "webm", "video/webm"),
    ],
)
def test_recordings_are_told_by_their_bytes(tmp_path: Path, codec: str, container: str, mime: str) -> None:
    assert sniff(recording(tmp_path / "file", codec, container)) == mime


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"", None),
        (b"\0" * 32, None),
        (b"\xff", None),
        (MP3, "audio/mpeg"),
        (b"\xff\xff\xff\xff" + bytes(8), None),
        (b"ID3\4\0\0" + bytes(20), "audio/mpeg"),
        (struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"avif"), "image/avif"),
        (struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"heic"), "image/heic"),
        (struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1"), "image/heic"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
        (b"RIFF\0\0\0\0CDDA", None),
        (b"OggS" + bytes(24) + b"\x80theora", "video/ogg"),
        (PDF, "application/pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
        (
            zipped("[Content_Types].xml", "word/document.xml"),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (zipped("a.txt"), "application/zip"),
        (b" <!DOCTYPE html><p>", "text/html"),
        ("Grüße".encode(), "text/plain"),
        ("Grüße".encode("latin-1") + b" aus", None),
        (b"\xef\xbb\xbf# Title\r\n", "text/plain"),
        (b"a" * 4095 + "ü".encode(), "text/plain"),
    ],
)
def test_other_bytes(head: bytes, mime: str | None) -> None:
    assert sniff(head) == mime


@given(st.binary(max_size=200))
def test_any_bytes_have_a_type_or_none(head: bytes) -> None:
    assert sniff(head) is None or "/" in str(sniff(head))


def test_every_media_field_of_a_request_is_known() -> None:
    fields = {name for name in REQUEST_FIELDS if name.endswith(("_url", "_urls"))}
    assert fields == set(MEDIA_FIELDS) - {"frontal_image_url"}


def test_http_urls_and_plain_fields_stay_as_they_are() -> None:
    body = {
        "model": "m",
        "prompt": "data: is a word; so is s3://",
        "duration": "5s",
        "image_url": "https://x.example/a.png",
        "reference_video_urls": ["HTTP://x.example/b.mp4"],
        "new_media_url": "x.png",
        "seed": 0,
    }
    files = Files()
    assert resolve_media(body, files.read) == body
    assert not files.limits


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_bytes_become_a_data_url_of_their_own_type(make: Callable[[bytes], object]) -> None:
    assert resolve({"image_url": make(JPEG)}) == {"image_url": data_url("image/jpeg", JPEG)}


@pytest.mark.parametrize("value", ["a.png", "/x/a.png", "file:///x/a.png", "s3://c@b/a.png", PurePosixPath("a.png")])
def test_a_path_is_read_and_sent_as_what_it_is(value: object) -> None:
    # A JPEG under the name of a PNG: the name is not believed.
    assert resolve({"image_url": value}, {str(value): JPEG}) == {"image_url": data_url("image/jpeg", JPEG)}


@pytest.mark.parametrize(("field", "kind"), MEDIA_FIELDS.items())
def test_each_field_takes_its_kind_and_no_other(field: str, kind: str) -> None:
    listed = field.endswith("_urls")
    prefix = "elements[0]." if field == "frontal_image_url" else ""
    for sample, data in SAMPLES.items():
        value: Any = [data] if listed else data
        body = {"elements": [{field: value}]} if prefix else {field: value}
        if sample == kind:
            assert "base64" in str(resolve(body))
        else:
            name = prefix + field + ("[0]" if listed else "")
            assert problems(body) == {name: f"is {sniff(data)}; {NEEDED[kind]} is needed"}


NEEDED = {"image": "an image", "audio": "a sound file", "video": "a video", "document": "a document"}


def test_nested_fields_are_resolved_and_their_neighbours_kept() -> None:
    body: dict[str, Any] = {
        "elements": [
            {"frontal_image_url": PNG, "reference_image_urls": [JPEG, "https://x.example/a.png"], "name": "Ann"},
            {"video_url": MP4, "frontal_image_url": None, "reference_image_urls": "one.png"},
        ],
        "keyframes": [{"image_url": "k.png", "frame_index": 0}],
    }
    assert resolve(body, {"k.png": PNG, "one.png": PNG}) == {
        "elements": [
            {
                "frontal_image_url": data_url("image/png", PNG),
                "reference_image_urls": [data_url("image/jpeg", JPEG), "https://x.example/a.png"],
                "name": "Ann",
            },
            {"video_url": data_url("video/mp4", MP4), "reference_image_urls": [data_url("image/png", PNG)]},
        ],
        "keyframes": [{"image_url": data_url("image/png", PNG), "frame_index": 0}],
    }
    assert body["elements"][0]["frontal_image_url"] is PNG


def test_a_request_goes_through() -> None:
    request = VideoRequest.of(model="m", prompt="p", image_url=PNG, scene_image_urls="s.png", extra_body={"x_url": "y"})
    body = resolve(request.to_body(), {"s.png": JPEG})
    assert body["image_url"] == data_url("image/png", PNG)
    assert body["scene_image_urls"] == [data_url("image/jpeg", JPEG)]
    assert body["x_url"] == "y"
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize(
    ("given_url", "sent"),
    [
        (data_url("image/png", PNG), None),
        (data_url("image/jpg", JPEG), data_url("image/jpeg", JPEG)),
        (data_url("image/PNG", PNG), data_url("image/png", PNG)),
        (data_url("image/png;name=a", PNG), None),
        (data_url("image/png", PNG).replace("data:", "DATA:"), data_url("image/png", PNG)),
    ],
)
def test_a_true_data_url_is_kept(given_url: str, sent: str | None) -> None:
    assert resolve({"image_url": given_url}) == {"image_url": sent or given_url}


@pytest.mark.parametrize("declared", ["text/markdown", "text/plain", "application/json"])
def test_texts_may_say_what_kind_of_text_they_are(declared: str) -> None:
    body = {"reference_document_urls": [data_url(declared, b'{"a": 1}')]}
    assert resolve(body) == body


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (data_url("image/png", JPEG), "is a data URL that declares image/png, but its bytes are image/jpeg"),
        (data_url("", PNG), "is a data URL that declares no type, but its bytes are image/png"),
        ("data:image/png;base64,", "is a data URL whose content is empty"),
        ("data:image/png,abc", "is not a valid data URL; it takes the form data:image/png;base64,…"),
        ("data:image/png;base64", "is not a valid data URL; it takes the form data:image/png;base64,…"),
        (data_url("image/png", PNG)[:-1], "is a data URL whose base64 is broken: Incorrect padding"),
        (data_url("image/png", PNG) + "\nä", None),
        (data_url("image/png", PNG).replace("iVBOR", "iV-OR"), None),
        (data_url("image/png", PNG).replace("iVBOR", "iVB\nOR"), None),
        (data_url("video/mp4", MP4), "is a data URL whose content is video/mp4; an image is needed"),
    ],
)
def test_a_false_data_url_is_refused(url: str, problem: str | None) -> None:
    found = problems({"image_url": url})["image_url"]
    assert found == problem or (problem is None and "base64 is broken" in found)


def test_every_wrong_field_is_named_in_one_error() -> None:
    body = {
        "image_url": "x.png",
        "end_image_url": 7,
        "audio_url": b"",
        "video_url": "notes.txt",
        "reference_image_urls": ["", None, "empty.png"],
        "elements": [{"frontal_image_url": b"\0\1"}, "ann.png", {"name": "Bob"}],
        "keyframes": [{"frame_index": 1}],
    }
    assert problems(body, {"notes.txt": b"hello", "empty.png": b""}) == {
        "image_url": "cannot be read: no such file 'x.png'",
        "end_image_url": "takes an http(s) URL, a data URL, bytes or a path, not int",
        "audio_url": "is empty",
        "video_url": "is 'notes.txt', which is text/plain; a video is needed",
        "reference_image_urls[0]": "is empty",
        "reference_image_urls[1]": "is missing",
        "reference_image_urls[2]": "is 'empty.png', which is empty",
        "elements[0].frontal_image_url": "is not an image of a known format",
        "elements[1]": "takes a mapping, not str",
        "elements[2]": "names no media",
        "keyframes[0]": "names no media",
    }


def test_an_open_file_is_not_a_path() -> None:
    assert "not BytesIO" in problems({"image_url": io.BytesIO(PNG)})["image_url"]


def padded(data: bytes, size: int) -> bytes:
    return data + bytes(size - len(data))


def test_a_reader_is_told_the_limit_and_a_larger_file_is_refused() -> None:
    files = Files({"large.mp4": padded(MP4, MAX_FILE_BYTES + 5), "small.png": PNG})
    with pytest.raises(VeniceRequestError) as caught:
        resolve_media({"video_url": "large.mp4", "image_url": "small.png", "prompt": "p" * 200_000}, files.read)
    assert files.limits == {"large.mp4": MAX_FILE_BYTES, "small.png": MAX_FILE_BYTES}
    assert caught.value.fields == {
        "body": "would have more than the 35 MB that the API takes (the other fields 0.2 MB, "
        "video_url 'large.mp4' over 35.0 MB, image_url 'small.png' 0.0 MB); give large media as http(s) URLs"
    }


def test_files_that_fit_alone_may_be_too_much_together() -> None:
    half = padded(MP4, MAX_FILE_BYTES // 2)
    message = problems({"video_url": half, "reference_video_urls": [data_url("video/mp4", half)]})["body"]
    assert "video_url 17.5 MB, reference_video_urls[0] 17.5 MB" in message


@pytest.mark.parametrize("field", ["video_url", "reference_video_urls"])
def test_what_is_let_through_is_within_the_limit(field: str) -> None:
    largest = padded(MP4, MAX_FILE_BYTES - 600)
    value: Any = [largest] if field.endswith("s") else largest
    body = resolve({"model": "m", "prompt": "p" * 300, field: value})
    assert MAX_BODY_BYTES - 1000 < len(json.dumps(body)) <= MAX_BODY_BYTES


def test_wrong_fields_are_named_beside_the_size() -> None:
    found = problems({"video_url": padded(MP4, MAX_FILE_BYTES + 1), "image_url": WAV, "end_image_url": "gone.png"})
    assert set(found) == {"body", "image_url", "end_image_url"}
