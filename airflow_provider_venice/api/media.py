"""Files, bytes and URLs, turned into the URL or data URL that the API takes."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_venice.api.request import raise_problems
from airflow_provider_venice.exceptions import VeniceRequestError

#: Largest body of ``/video/queue``, in bytes: 35 MB (the vendor's limit), read in the stricter way.
MAX_BODY_BYTES = 35_000_000

#: Largest file that fits into that body once it is base64 (4 characters for 3 bytes).
MAX_FILE_BYTES = MAX_BODY_BYTES * 3 // 4

#: Reads one value: ``(value, limit)`` -> its name for messages, and its bytes. It returns at most
#: ``limit + 1`` bytes, the one too many telling that the file is larger, and raises
#: ``VeniceRequestError`` for what cannot be read.
Reader = Callable[[object, int], tuple[str, bytes]]

#: What each media field holds. The names mean the same inside ``elements`` and ``keyframes``.
MEDIA_FIELDS = {
    "image_url": "image",
    "end_image_url": "image",
    "frontal_image_url": "image",
    "reference_image_urls": "image",
    "scene_image_urls": "image",
    "audio_url": "audio",
    "reference_audio_urls": "audio",
    "video_url": "video",
    "reference_video_urls": "video",
    "reference_document_urls": "document",
}

#: Fields whose entries hold media fields of their own.
_NESTED = ("elements", "keyframes")

_NOUNS = {"image": "an image", "audio": "a sound file", "video": "a video", "document": "a document"}

#: Other names in use for the types that :func:`sniff` returns.
_SAME_TYPE = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/heif": "image/heic",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "application/ogg": "audio/ogg",
    "video/x-m4v": "video/mp4",
    "video/mov": "video/quicktime",
}

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"ADIF", "audio/aac"),
    (b"%PDF-", "application/pdf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIPPED = (
    (b"word/", _OFFICE + "wordprocessingml.document"),
    (b"xl/", _OFFICE + "spreadsheetml.sheet"),
    (b"ppt/", _OFFICE + "presentationml.presentation"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.ASCII | re.IGNORECASE)


def sniff(head: bytes) -> str | None:
    """
    Return the MIME type that the bytes themselves show, ``None`` where they show none.

    :param head: the beginning of a file; 4096 bytes show all types but those of zipped documents.
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _sniff_brand(head)
    if head[4:8] in (b"moov", b"mdat", b"wide") and head[:2] == b"\0\0":
        return "video/quicktime"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:64] else "audio/ogg"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "image/bmp"
    if head[:4] == b"PK\x03\x04":
        return next((kind for folder, kind in _ZIPPED if folder in head), "application/zip")
    return _sniff_frame(head) or _sniff_text(head[:4096])


def _sniff_brand(head: bytes) -> str:
    """Tell the relatives of MP4 apart by their brands (ISO/IEC 14496-12, 4.3)."""
    major, length = head[8:12], int.from_bytes(head[:4], "big")
    compatible = head[16 : min(length, 256)]
    if major in (b"avif", b"avis") or (major in (b"mif1", b"msf1") and b"avif" in compatible):
        return "image/avif"
    if major in _HEIF_BRANDS:
        return "image/heic"
    if major in (b"M4A ", b"M4B "):
        return "audio/mp4"
    return "video/quicktime" if major == b"qt  " else "video/mp4"


def _sniff_frame(head: bytes) -> str | None:
    """Tell MP3 and AAC by the header of their first frame: they have no magic of their own."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0:
        return "audio/aac" if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13 else None
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return "audio/mpeg" if version != 1 and bitrate not in (0, 15) and rate != 3 else None


def _sniff_text(head: bytes) -> str | None:
    try:
        # Incremental, as the end of the head may cut a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    if not text or any(character < " " and character not in "\t\n\r\f" for character in text):
        return None
    return "text/html" if re.match(r"\s*<(!doctype html|html|head|body)\b", text, re.IGNORECASE) else "text/plain"


def resolve_media(body: Mapping[str, Any], read: Reader) -> dict[str, Any]:
    """
    Return the body of ``/video/queue`` with each file and each piece of bytes made a data URL.

    http(s) URLs stay as they are and data URLs are checked. Fields that are not media are not touched.

    :param body: as ``VideoRequest.to_body()`` gives it.
    :param read: reads what is neither a URL nor bytes; see :data:`Reader`.
    :raises VeniceRequestError: one error that names every field that is missing, empty, too large, not
        media, or media of another kind than the field takes.
    """
    return _Resolver(read).resolve(body)


class _Resolver:
    """One pass over a body: what is wrong with it, and how many bytes each field takes."""

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.problems: dict[str, str] = {}
        self.shares: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.oversized = False

    def resolve(self, body: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: value for name, value in body.items() if name not in MEDIA_FIELDS and name not in _NESTED}
        self.take("the other fields", len(json.dumps(plain, default=str)))
        resolved = self.mapping("", body)
        if self.oversized:
            shares = ", ".join(
                f"{path}{self.names.get(path, '')} {'over ' if size > MAX_BODY_BYTES else ''}"
                f"{min(size, MAX_BODY_BYTES) / 1e6:.1f} MB"
                for path, size in self.shares.items()
            )
            self.problems["body"] = (
                f"would have more than the {MAX_BODY_BYTES / 1e6:.0f} MB that the API takes ({shares}); "
                "give large media as http(s) URLs"
            )
        raise_problems("the media of the video request cannot be sent", self.problems)
        return resolved

    def mapping(self, prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve the media fields of the body, or of one element or keyframe."""
        resolved = dict(fields)
        for name, value in fields.items():
            path = prefix + name
            if name in MEDIA_FIELDS and name.endswith("_urls"):
                entries = value if isinstance(value, (list, tuple)) else [value]
                resolved[name] = [
                    self.value(f"{path}[{index}]", MEDIA_FIELDS[name], entry) for index, entry in enumerate(entries)
                ]
            elif name in MEDIA_FIELDS:
                resolved[name] = self.value(path, MEDIA_FIELDS[name], value)
            elif name in _NESTED and not prefix:
                resolved[name] = list(self.nested(name, value))
        return resolved

    def nested(self, name: str, entries: Any) -> Iterator[dict[str, Any]]:
        for index, entry in enumerate(entries if isinstance(entries, (list, tuple)) else [entries]):
            if isinstance(entry, Mapping):
                # A field that is None is not set, here as in the body itself.
                given = {key: value for key, value in entry.items() if value is not None}
                if not any(key in MEDIA_FIELDS for key in given):
                    self.problems[f"{name}[{index}]"] = "names no media"
                yield self.mapping(f"{name}[{index}].", given)
            else:
                self.problems[f"{name}[{index}]"] = f"takes a mapping, not {type(entry).__name__}"

    def value(self, path: str, kind: str, value: Any) -> str:
        """Return the URL of one value; what is wrong with it is noted under ``path``."""
        try:
            url = self.url(path, kind, value)
        except VeniceRequestError as error:
            self.problems[path] = str(error)
            return ""
        # Beyond the limit nothing will be sent: keep counting, hold nothing.
        return "" if self.oversized else url

    def url(self, path: str, kind: str, value: Any) -> str:
        if value is None or (isinstance(value, (str, bytes, bytearray, memoryview)) and not len(value)):
            raise VeniceRequestError("is empty" if value is not None else "is missing")
        if isinstance(value, str) and re.match("https?://", value.strip(), re.IGNORECASE):
            self.take(path, len(value))
            return value.strip()
        if isinstance(value, str) and value.lstrip()[:5].lower() == "data:":
            self.take(path, len(value))
            return "" if self.oversized else _check_data_url(value.strip(), kind)
        if isinstance(value, (bytes, bytearray, memoryview)):
            name, data = "", bytes(value)
        elif isinstance(value, (str, os.PathLike)) or hasattr(value, "open"):
            try:
                name, data = self.read(value, MAX_FILE_BYTES)
            except VeniceRequestError as error:
                raise VeniceRequestError(f"cannot be read: {error}") from error
        else:
            raise VeniceRequestError(f"takes an http(s) URL, a data URL, bytes or a path, not {type(value).__name__}")
        if name:
            self.names[path] = f" {name!r}"
        media_type = _check_kind(data, kind, f"is {name!r}, which" if name else "")
        self.take(path, (len(data) + 2) // 3 * 4)
        return "" if self.oversized else f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"

    def take(self, path: str, size: int) -> None:
        """Count the bytes that a field takes in the body, its name and punctuation included."""
        self.shares[path] = size + len(path) + 40
        self.oversized = sum(self.shares.values()) > MAX_BODY_BYTES


def _check_kind(data: bytes, kind: str, subject: str) -> str:
    """
    Return the MIME type of ``data``.

    :raises VeniceRequestError: when a field of this kind does not take it.
    """
    if not data:
        raise VeniceRequestError(f"{subject} is empty".strip())
    media_type = sniff(data)
    if media_type is None:
        raise VeniceRequestError(f"{subject} is not {_NOUNS[kind]} of a known format".strip())
    group = media_type.partition("/")[0]
    if group in ("application", "text"):
        group = "document"
    if group != kind:
        raise VeniceRequestError(f"{subject} is {media_type}; {_NOUNS[kind]} is needed".strip())
    return media_type


def _check_data_url(url: str, kind: str) -> str:
    """Return a data URL whose bytes are what it says, its type under the usual name."""
    match = _DATA_URL.match(url)
    if match is None or not match[3]:
        raise VeniceRequestError("is not a valid data URL; it takes the form data:image/png;base64,…")
    try:
        data = base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise VeniceRequestError(f"is a data URL whose base64 is broken: {error}") from None
    media_type = _check_kind(data, kind, "is a data URL whose content")
    declared = (match[1] or "").lower()
    declared = _SAME_TYPE.get(declared, declared)
    both_text = media_type.startswith("text/") and (declared.startswith("text/") or declared == "application/json")
    if declared != media_type and not both_text:
        raise VeniceRequestError(f"is a data URL that declares {declared or 'no type'}, but its bytes are {media_type}")
    return f"data:{declared}{match[2]};base64,{url[match.end() :]}"
