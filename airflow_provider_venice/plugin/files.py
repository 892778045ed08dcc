"""
The file of a clip, as far as the API server may serve it.

A task says where its clip is, and whoever writes a task may say anything. So a file is served only if it is below a
root that the configuration names, or in an object storage; if it is a whole MP4; and if it is the very file that the
task has announced, by its SHA-256 digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.storage.path_text import LOCAL_SCHEMES
from airflow_provider_venice.storage.paths import resolve_path
from airflow_provider_venice.storage.roots import configured_roots, is_url_within, local_path_within
from airflow_provider_venice.storage.targets import ATOMIC_PUT, LocalTarget, ObjectTarget

#: Bytes read at once.
CHUNK = 256 * 1024

#: Seconds for which a URL of an object storage is good: a person may look on, and go back in the clip.
_PRESIGNED_FOR = 3600

#: What object storages call that which changes when an object does.
_CHANGES = ("ETag", "etag", "LastModified", "mtime", "updated")

#: How many files are known to be what a task has announced.
_MOST_VERIFIED = 10_000

_OUTSIDE = (
    "The clip is in a folder that the API server does not show. If it sees that disk, name the folder in [venice] "
    "ui_roots of Airflow's configuration"
)
_ABSENT = (
    "The API server does not find this clip at that path. It may be on the disk of a worker, or was moved, removed or "
    "replaced"
)


class ClipUnavailable(Exception):
    """A clip cannot be served; the message says why, for people."""


@dataclass
class ServedFile:
    """
    An open file that was verified.

    :param file: open for reading, seekable.
    :param size: bytes.
    :param name: the name under which a browser saves it.
    :param sha256: its digest.
    """

    file: BinaryIO
    size: int
    name: str
    sha256: str

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """
        Yield bytes of the file, and close it.

        :param start: the first byte.
        :param stop: the one after the last.
        """
        with contextlib.closing(self.file):
            self.file.seek(start)
            left = stop - start
            while left > 0 and (data := self.file.read(min(CHUNK, left))):
                left -= len(data)
                yield data


@dataclass
class _Verified:
    """Which files have been found to be what was announced, by what shows a change of them."""

    _known: OrderedDict[tuple[Any, ...], None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __contains__(self, identity: tuple[Any, ...]) -> bool:
        with self._lock:
            return identity in self._known

    def add(self, identity: tuple[Any, ...]) -> None:
        with self._lock:
            self._known[identity] = None
            while len(self._known) > _MOST_VERIFIED:
                self._known.popitem(last=False)


_verified = _Verified()


def why_not_served(file: Mapping[str, Any]) -> str | None:
    """
    Return why a clip cannot be served, ``None`` where it may be, as far as its path alone shows that.

    :param file: what the task has announced: ``path``, ``size`` and ``sha256``.
    """
    path = file.get("path")
    if not isinstance(path, str):
        return _ABSENT
    scheme, separator, _ = path.partition("://")
    if separator and scheme not in LOCAL_SCHEMES:
        # Before anything is made of the path: another scheme may lead the API server to any host.
        is_shown = scheme in ATOMIC_PUT or is_url_within(path, configured_roots("ui_roots"))
        return None if is_shown else _outside_of_storages(scheme)
    try:
        place = resolve_path(path)
    except VeniceError:
        return _ABSENT
    assert isinstance(place, LocalTarget)
    real = local_path_within(place, configured_roots("ui_roots"))
    if real is None:
        return _OUTSIDE
    return None if real.is_file() else _ABSENT


def open_clip(file: Mapping[str, Any]) -> ServedFile:
    """
    Open the file of a clip, once it was verified.

    :param file: what the task has announced: ``path``, ``size`` and ``sha256``.
    :raises ClipUnavailable: when it may not be shown, or is not what was announced.
    """
    if (reason := why_not_served(file)) is not None:
        raise ClipUnavailable(reason)
    opened: BinaryIO
    try:
        place = resolve_path(file["path"])
        if isinstance(place, LocalTarget):
            opened = _open_local(place)
        else:
            opened = place.fs.open(place.key, "rb", block_size=CHUNK, cache_type="readahead")
    except ClipUnavailable:
        raise
    except Exception as error:
        # Whatever a storage raises; its text may name more than the page should show.
        raise ClipUnavailable(_ABSENT) from error
    try:
        return _verify(opened, place, file)
    except BaseException:
        opened.close()
        raise


def presigned_url(file: Mapping[str, Any], *, as_attachment: bool) -> str | None:
    """
    Return a URL by which a browser gets a verified clip from its object storage; ``None`` where there is none.

    :param file: what the task has announced.
    :param as_attachment: whether the browser is to save it.
    """
    from airflow_provider_venice.version_compat import conf

    if not conf.getboolean("venice", "ui_presigned_urls", fallback=True):
        return None
    place = resolve_path(file["path"])
    if isinstance(place, LocalTarget):
        return None
    options = {}
    if place.path.protocol in ("s3", "s3a"):
        options["ResponseContentType"] = "video/mp4"
        if as_attachment:
            options["ResponseContentDisposition"] = f'attachment; filename="{download_name(place.name)}"'
    elif as_attachment:
        # Other stores take no such wish: the API server sends the clip itself.
        return None
    return place.presigned_url(_PRESIGNED_FOR, **options)


def download_name(name: str) -> str:
    """
    Return a file's name as a header may have it.

    :param name: the last part of its path.
    """
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._- ") else "_" for letter in name)
    return safe if safe.lower().endswith(".mp4") else f"{safe}.mp4"


def _open_local(place: LocalTarget) -> BinaryIO:
    path = local_path_within(place, configured_roots("ui_roots"))
    if path is None:
        raise ClipUnavailable(_OUTSIDE)
    # Without following a link that was put in its place since, nor waiting for a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ClipUnavailable(_ABSENT)
    return file


def _verify(opened: BinaryIO, place: LocalTarget | ObjectTarget, file: Mapping[str, Any]) -> ServedFile:
    """
    Return the file, if it is a whole MP4 with the digest that its task has announced.

    Invariant: nothing else is ever served, whatever a task has written. Who names the file of somebody else must know
    its digest, and who knows that has seen the file, or may read what its task has written.
    """
    size, digest = file.get("size"), file.get("sha256")
    if not isinstance(size, int) or not isinstance(digest, str) or opened.seek(0, 2) != size:
        raise ClipUnavailable(_ABSENT)
    identity = (*_identity(opened, place, size), digest)
    if identity not in _verified:
        try:
            read_metadata(opened, expected_size=size)
        except VeniceError as error:
            raise ClipUnavailable(_ABSENT) from error
        if _digest(opened, place) != digest:
            raise ClipUnavailable(_ABSENT)
        _verified.add(identity)
    return ServedFile(opened, size, download_name(place.name), digest)


def _identity(opened: BinaryIO, place: LocalTarget | ObjectTarget, size: int) -> tuple[Any, ...]:
    """Return what changes when the file does."""
    if isinstance(place, LocalTarget):
        status = os.fstat(opened.fileno())
        return (status.st_dev, status.st_ino, size, status.st_mtime_ns, status.st_ctime_ns)
    info = place.fs.info(place.key)
    return (
        place.location,
        size,
        *(str(info.get(name)) for name in ("ETag", "etag", "LastModified", "mtime", "updated")),
    )


def _digest(opened: BinaryIO, place: LocalTarget | ObjectTarget) -> str:
    if isinstance(place, ObjectTarget) and (kept := place.kept_digest()) is not None:
        return kept
    digest = hashlib.sha256()
    opened.seek(0)
    while data := opened.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _outside_of_storages(scheme: str) -> str:
    return f"The API server does not show clips of {scheme}://. Name the folder in [venice] ui_roots to show them"
