"""A stream of bytes -> a checked video under its final name, local or in object storage, or nothing there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from airflow_provider_venice.api.model import VideoMetadata
from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.api.plain import PlainObject
from airflow_provider_venice.exceptions import VeniceRequestError, VideoDownloadError
from airflow_provider_venice.path_errors import explained, named, taken
from airflow_provider_venice.paths import find_place, find_target
from airflow_provider_venice.places import LocalPlace, ObjectPlace

#: Bytes read at once.
CHUNK = 1024 * 1024

#: Bytes that are gathered for one write, as the pieces of an encrypted connection are small.
_BUFFER = 1 << 18

#: Bytes after which the disk is to begin, while more are on the wire: the sync at the end then finds little left.
_WRITE_BACK = 1 << 23


@dataclass(frozen=True)
class StoredVideo(PlainObject):
    """
    A whole video under its final name.

    :param path: where it lies, as a local path or as ``scheme://conn_id@bucket/key``.
    :param size: bytes.
    :param sha256: hexadecimal digest of its bytes.
    :param metadata: what the file says of itself.
    """

    path: str
    size: int
    sha256: str
    metadata: VideoMetadata

    @classmethod
    def of(cls, video: Mapping[str, Any]) -> StoredVideo:
        """
        Return the file that :meth:`to_dict` has described. It is not read.

        :param video: what that has returned.
        """
        return cls(video["path"], video["size"], video["sha256"], VideoMetadata(**video["metadata"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return dataclasses.asdict(self)


class PartialFile:
    """
    A local file while a download fills it. It is gone when the ``with`` block ends, unless published.

    :param directory: where to put it; the directory for temporary files by default.
    :param name: the final name. A process that is killed leaves ``.name.<writer><random>.part``, never the name.
    :param suffix: in place of ``.part``.
    :param hint: what the error of a write adds, such as how to free space.
    :param writer: eight hexadecimal digits by which the same writer finds what it has left when it was killed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        name: str = "video.mp4",
        suffix: str = ".part",
        hint: str = "",
        writer: str = "",
    ) -> None:
        # Cut, as a name has at most 255 bytes and a character up to four.
        self.path = Path(directory or tempfile.gettempdir(), f".{name[:50]}.{writer}{secrets.token_hex(4)}{suffix}")
        self.hint = hint
        self.size = 0
        self._handed_over = 0
        self._expected_size: int | None = None
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> PartialFile:
        # Not tempfile's: its files are readable by their owner only, and would stay so when published.
        with named(self.path, self.hint):
            self._file = self.path.open("x+b", buffering=_BUFFER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A clip that was published stays so, and the write that failed first says more than its repetition here.
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def file(self) -> BinaryIO:
        """The open file."""
        if self._file is None:
            raise ValueError("the partial file is open within its 'with' block only")
        return self._file

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes so far."""
        return self._hash.hexdigest()

    @property
    def expected_size(self) -> int | None:
        """Bytes that the server announced for the whole, ``None`` while it has not."""
        return self._expected_size

    @expected_size.setter
    def expected_size(self, size: int | None) -> None:
        known = self._expected_size
        if known is not None and size is not None and size != known:
            raise VideoDownloadError(
                f"the server announced {known} bytes before and {size} bytes now: the video has changed meanwhile"
            )
        self._expected_size = known if size is None else size

    def write(self, chunk: bytes) -> None:
        """
        Append ``chunk``.

        :raises VideoDownloadError: when more comes than was announced.
        """
        if self._expected_size is not None and self.size + len(chunk) > self._expected_size:
            raise VideoDownloadError(f"more bytes came than the {self._expected_size} that the server announced")
        with named(self.path, self.hint):
            self.file.write(chunk)
            self._hash.update(chunk)
            self.size += len(chunk)
            if self.size - self._handed_over >= _WRITE_BACK:
                self._start_writing()

    def _start_writing(self) -> None:
        """Have the disk begin with what has come, and do not wait for it."""
        self.file.flush()
        if sys.platform == "linux":
            # This advice starts the writing. It drops only what is on the disk already, and nothing of this is.
            with contextlib.suppress(OSError):
                length = self.size - self._handed_over
                os.posix_fadvise(self.file.fileno(), self._handed_over, length, os.POSIX_FADV_DONTNEED)
        self._handed_over = self.size

    def restart(self) -> None:
        """Forget all bytes and the announced length: the next answer starts at byte 0."""
        with named(self.path, self.hint):
            self.file.seek(0)
            self.file.truncate()
        self.size, self._handed_over, self._expected_size, self._hash = 0, 0, None, hashlib.sha256()

    def check(self) -> VideoMetadata:
        """
        Return what the video says of itself, once its bytes are safe on the disk.

        :raises VideoDownloadError: when it is not whole.
        """
        with named(self.path, self.hint):
            self.file.flush()
            metadata = read_metadata(self.file, expected_size=self._expected_size)
        if metadata.file_size != self.size:
            raise VideoDownloadError(f"{metadata.file_size} bytes lie on the disk, but {self.size} bytes were received")
        self.sync()
        return metadata

    def sync(self) -> None:
        """Bring all bytes to the disk."""
        with named(self.path, self.hint):
            self.file.flush()
            os.fsync(self.file.fileno())


def check_target(target: object, *, overwrite: bool = False) -> None:
    """
    Refuse a target under which no video can be stored, before any money is spent on one.

    Makes a file beside the target and removes it, and sees that some space is free. What only the whole clip shows,
    such as a quota, shows when it is stored.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param overwrite: whether a file that exists may be replaced.
    :raises VeniceRequestError: naming the target and the fix.
    """
    place = _checked_place(target, overwrite=overwrite)
    with explained(place, writes=True):
        place.prove_writable()
    place.check_space()


def check_space(target: object) -> None:
    """
    Refuse a target whose disk is nearly full, before any money is spent on a clip.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VideoTargetUnavailable: naming the directory and the fix; worth another try.
    """
    find_target(target).check_space()


def _checked_place(target: object, *, overwrite: bool) -> LocalPlace | ObjectPlace:
    place = find_target(target)
    with explained(place, writes=True):
        if place.size() is not None and not overwrite:
            raise taken(place)
        place.check_folder()
    return place


def store_video(
    target: object,
    receive: Callable[[PartialFile], None],
    *,
    overwrite: bool = False,
    before_publish: Callable[[StoredVideo], None] | None = None,
    writer: str | None = None,
) -> StoredVideo:
    """
    Store the video that ``receive`` fetches. The final name holds a whole video, or what it held before.

    In constant memory. Two writers to one local target without ``overwrite``: the first one to end wins.

    :param target: local path or ``ObjectStoragePath``, as an object or a string; its folders are made.
    :param receive: fills the partial file and sets its ``expected_size``.
    :param overwrite: whether a file that exists may be replaced.
    :param before_publish: is told of the file when it is whole and not yet in its place.
    :param writer: names who stores the video, such as a task instance, the same in each try; what a try of it that was
        killed has left is removed.
    :raises VeniceRequestError: when the target cannot be used, mostly before ``receive`` is called.
    :raises VideoDownloadError: when what came is not a whole video.
    """
    place = _checked_place(target, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        with explained(place, writes=True):
            directory = place.make_staging()
            place.remove_leftovers(digest := _writer_digest(place, writer))
            partial = PartialFile(directory, place.name, place.partial_suffix, place.staging_hint, digest)
            stack.enter_context(partial)
        receive(partial)
        stored = StoredVideo(place.location, partial.size, partial.sha256, partial.check())
        if before_publish is not None:
            before_publish(stored)
        # Invariant: a partial file that was removed is not published. The next try removes that of one that was frozen.
        # A crash right here leaves a partial file, which the next try removes.
        if not partial.path.exists():
            raise VideoDownloadError(
                f"the partial file of {str(place)!r} was removed while it was written, by another try of this task"
            )
        # Not explained as a wrong request: the video is paid by now, and a later try may store it.
        place.publish(partial.path, overwrite=overwrite)
        if (size := place.size()) != partial.size:
            raise VideoDownloadError(
                f"{str(place)!r} has {size} bytes, but {partial.size} were stored; something else writes there"
            )
    return stored


def remove_leftovers(target: object, writer: str) -> None:
    """
    Remove the partial files that tries of ``writer`` have left, which were killed while they stored ``target``.

    :param target: as it was given to :func:`store_video`.
    :param writer: as it was given to :func:`store_video`.
    """
    place = find_place(target)
    place.remove_leftovers(_writer_digest(place, writer))


def _writer_digest(place: LocalPlace | ObjectPlace, writer: str | None) -> str:
    return "" if writer is None else hashlib.sha256(f"{writer}\n{place.location}".encode()).hexdigest()[:8]


def existing_video(target: object) -> StoredVideo | None:
    """
    Return the whole video that lies at ``target``, ``None`` where nothing lies.

    :raises VeniceRequestError: when something else lies there.
    """
    place = find_place(target)
    with explained(place):
        size = place.size()
        if size is None:
            return None
        with place.open() as file:
            try:
                metadata = read_metadata(file, expected_size=size)
            except VideoDownloadError as error:
                raise VeniceRequestError(
                    f"{str(place)!r} is not a whole video ({error}); remove it, or give overwrite=True"
                ) from error
            file.seek(0)
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return StoredVideo(place.location, size, digest.hexdigest(), metadata)


def read_media(value: object, limit: int) -> tuple[str, bytes]:
    """
    Return the name and the bytes of a file; at most ``limit + 1`` bytes, so that a larger one shows.

    :param value: local path or ``ObjectStoragePath``, as an object or a string.
    :param limit: most bytes that the caller has a use for.
    :raises VeniceRequestError: naming a file that is not there or cannot be read.
    """
    place = find_place(value)
    with explained(place):
        if place.size() is None:
            raise VeniceRequestError(f"no such file {str(place)!r}")
        with place.open() as file:
            return str(place), file.read(limit + 1)


def read_file(target: object, limit: int) -> bytes | None:
    """
    Return the first bytes of a file that is to be written, ``None`` where there is none.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param limit: most bytes to read.
    :raises VeniceRequestError: when something else has its name, or it cannot be read.
    """
    place = find_target(target)
    with explained(place, writes=True):
        if place.size() is None:
            return None
        with place.open() as file:
            return file.read(limit)


def store_text(target: object, text: str) -> str:
    """
    Write a small text file, replacing what lies there, and return where it lies.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param text: its content, written as UTF-8.
    :raises VeniceRequestError: when the target cannot be used.
    """
    place = find_target(target)
    with explained(place, writes=True), PartialFile(place.make_staging(), place.name, place.partial_suffix) as partial:
        partial.write(text.encode())
        partial.sync()
        place.publish(partial.path, overwrite=True)
    return place.location
