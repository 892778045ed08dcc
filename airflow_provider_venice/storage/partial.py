"""A file while it grows: its name is another one, and it is gone unless it was published."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from airflow_provider_venice.api.model import VideoMetadata
from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.exceptions import VideoDownloadError
from airflow_provider_venice.storage.errors import name_file_in_errors

#: Bytes that are gathered for one write, as the pieces of an encrypted connection are small.
_BUFFER = 1 << 18

#: Bytes after which the disk is to begin, while more are on the wire: the sync at the end then finds little left.
_WRITE_BACK = 1 << 23


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
        with name_file_in_errors(self.path, self.hint):
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
        with name_file_in_errors(self.path, self.hint):
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
        with name_file_in_errors(self.path, self.hint):
            self.file.seek(0)
            self.file.truncate()
        self.size, self._handed_over, self._expected_size, self._hash = 0, 0, None, hashlib.sha256()

    def check(self) -> VideoMetadata:
        """
        Return what the video says of itself, once its bytes are safe on the disk.

        :raises VideoDownloadError: when it is not whole.
        """
        with name_file_in_errors(self.path, self.hint):
            self.file.flush()
            metadata = read_metadata(self.file, expected_size=self._expected_size)
        if metadata.file_size != self.size:
            raise VideoDownloadError(f"{metadata.file_size} bytes are on the disk, but {self.size} bytes were received")
        self.sync()
        return metadata

    def sync(self) -> None:
        """Bring all bytes to the disk."""
        with name_file_in_errors(self.path, self.hint):
            self.file.flush()
            os.fsync(self.file.fileno())
