"""Where a file is or is to be: a path of this machine or a key of an object storage."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

from airflow_provider_venice.exceptions import VideoDownloadError, VideoTargetUnavailable
from airflow_provider_venice.storage.errors import file_exists

#: Stores in which an object appears whole when its upload has ended, and not before. Elsewhere the
#: upload goes to a name beside the target and is moved.
ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"})

#: Least bytes that must be free where the partial file grows, before a clip is bought. Venice documents no sizes; half
#: a minute at 25 Mbit/s has 94 MB.
FREE_SPACE = 100 * 10**6

#: What mends a directory for temporary files that is full.
_TEMPORARY = "free space in the worker's directory for temporary files, or set TMPDIR to another one"

#: What the upload of a file takes beside its name. s3fs holds ten parts in memory, and botocore each of them once more:
#: with parts of 50 MiB, as s3fs has them, a clip of 1 GB takes 1 GB. 8 MiB is what boto3 takes. A clip of less than two
#: parts goes up as one.
_PUT_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"chunksize": 8 << 20}, "s3a": {"chunksize": 8 << 20}}

#: The argument of an upload that takes what a user wants to be kept with the object, where there is one.
_METADATA_OPTION = {"s3": "Metadata", "s3a": "Metadata", "gs": "metadata", "gcs": "metadata"}


class LocalTarget:
    """A path of this machine."""

    partial_suffix = ".part"
    #: What an error of the partial file adds.
    staging_hint = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        #: What names the place from any working directory.
        self.location = str(path.absolute())

    def __str__(self) -> str:
        return str(self.path)

    def size(self) -> int | None:
        """Return the bytes of the file, ``None`` where there is none; ``OSError`` for what is not a file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(self))
        if not stat.S_ISREG(status.st_mode):
            # A pipe would be waited for, for ever.
            raise OSError(errno.EINVAL, "is not a regular file", str(self))
        return status.st_size

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading."""
        return self.path.open("rb")

    def check_folder(self) -> None:
        """Raise ``OSError`` when something else than a folder is in its place."""
        folder = self._existing_folder()
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder))

    def prove_writable(self) -> None:
        """Make a file in the folder, or in the one above that is there, and remove it; ``OSError`` when that fails."""
        probe = self._existing_folder() / f".{secrets.token_hex(8)}.part"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()

    def check_space(self) -> None:
        """Raise :class:`VideoTargetUnavailable` when the disk of the folder is nearly full."""
        _check_space(self._existing_folder(), "free space there")

    def _existing_folder(self) -> Path:
        folder = self.path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        return folder

    def make_staging(self) -> Path:
        """Return the directory in which the file that is to be published must grow."""
        # Beside the target, as only a rename within one file system is atomic.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.parent

    def remove_leftovers(self, writer: str) -> None:
        """Remove the partial files of ``writer``, eight hexadecimal digits, as far as that can be done."""
        _remove_leftovers(self.path.absolute().parent, writer)

    def publish(self, file: Path, *, overwrite: bool, sha256: str | None = None) -> None:
        """Put the whole ``file`` under its final name, on the disk for good; it may leave its own."""
        if overwrite:
            os.replace(file, self.path)
        else:
            try:
                # Unlike a rename, a link never takes the place of a file.
                os.link(file, self.path)
            except OSError as error:
                # Some file systems have no links; there, all that can be done is to check first.
                if isinstance(error, FileExistsError) or os.path.lexists(self.path):
                    raise file_exists(self) from error
                os.replace(file, self.path)
        # Some network file systems refuse this; the file is in its place all the same.
        with contextlib.suppress(OSError):
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


class ObjectTarget:
    """
    A key of an object storage, reached through the path's own fsspec file system.

    :param path: an ``ObjectStoragePath``, or a path of the same make.
    """

    staging_hint = f"; {_TEMPORARY}"

    def __init__(self, path: Any) -> None:
        self.path = path
        self.name: str = path.name
        self.location = str(path)
        self.key: str = path.path
        # The store takes the type of the object from the name of the file that is uploaded.
        self.partial_suffix = f".part{Path(self.name).suffix}"
        # Not ObjectStoragePath.open: that would report each read of a file as lineage.
        self.fs: Any = path.fs

    def __str__(self) -> str:
        return str(self.path)

    def size(self) -> int | None:
        """Return the bytes of the object, ``None`` where there is none; ``OSError`` for a folder."""
        return self._size(self.key)

    def _size(self, key: str) -> int | None:
        # Listings are cached, and another process may have written since.
        self.fs.invalidate_cache()
        try:
            info = self.fs.info(key)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(self))
        return int(info["size"])

    def check_folder(self) -> None:
        """Raise ``OSError`` when there is no such bucket; in other stores folders are made."""
        if self.path.protocol in ATOMIC_PUT:
            bucket = self.key.lstrip("/").partition("/")[0]
            # Who may write to a bucket may not always list it.
            with contextlib.suppress(PermissionError):
                try:
                    self.fs.info(bucket)
                except FileNotFoundError:
                    raise OSError(errno.EINVAL, "there is no such bucket", bucket) from None

    def prove_writable(self) -> None:
        """Make an object beside the target and remove it; an ``OSError`` of the store when that fails."""
        folder, slash, _ = self.key.rpartition("/")
        probe = f"{folder}{slash}.{secrets.token_hex(8)}.part"
        if self.path.protocol not in ATOMIC_PUT:
            self.fs.makedirs(folder, exist_ok=True)
        self.fs.pipe_file(probe, b"\n")
        self.fs.rm_file(probe)

    def check_space(self) -> None:
        """Raise :class:`VideoTargetUnavailable` when the disk on which the partial file grows is nearly full."""
        _check_space(self.make_staging(), _TEMPORARY)

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the object for reading."""
        return cast("AbstractContextManager[BinaryIO]", self.fs.open(self.key, "rb"))

    def make_staging(self) -> Path:
        """
        Return the directory in which the file that is to be published must grow.

        :raises VideoTargetUnavailable: when there is none that can be written to.
        """
        try:
            return Path(tempfile.gettempdir())
        except FileNotFoundError as error:
            raise VideoTargetUnavailable(
                f"{str(self)!r} cannot be used: {error.strerror}; {_TEMPORARY}", can_heal=True
            ) from error

    def remove_leftovers(self, writer: str) -> None:
        """Remove the partial files of ``writer``, eight hexadecimal digits, here and in the store, if possible."""
        with contextlib.suppress(VideoTargetUnavailable):
            _remove_leftovers(self.make_staging(), writer)
        if writer and self.path.protocol not in ATOMIC_PUT:
            with contextlib.suppress(Exception):
                for key in self.fs.ls(self.key.rpartition("/")[0], detail=False):
                    if _is_leftover(str(key).rpartition("/")[2], writer):
                        self.fs.rm_file(key)

    def publish(self, file: Path, *, overwrite: bool, sha256: str | None = None) -> None:
        """
        Put the whole ``file`` under its final key.

        :param sha256: its digest, kept with the object where the store can.
        """
        # Stores offer no common "create only", so a writer between this check and the upload is not seen.
        if not overwrite and self.size() is not None:
            raise file_exists(self)
        if self.path.protocol in ATOMIC_PUT:
            options = {**_PUT_OPTIONS.get(self.path.protocol, {})}
            if sha256 is not None and self.path.protocol in _METADATA_OPTION:
                options[_METADATA_OPTION[self.path.protocol]] = {"sha256": sha256}
            self.fs.put_file(str(file), self.key, **options)
            self._check_digest(file)
            return
        folder, slash, _ = self.key.rpartition("/")
        # Without the wildcard characters, which fsspec's move would expand.
        name = re.sub(r"[*?\[\]]", "_", f"{file.name}.part")
        key = f"{folder}{slash}{name}"
        try:
            self.fs.put_file(str(file), key)
            arrived, size = self._size(key), file.stat().st_size
            if arrived != size:
                raise VideoDownloadError(f"{arrived} of {size} bytes arrived beside {self}; check the storage")
            self.fs.mv(key, self.key)
        except BaseException:
            with contextlib.suppress(Exception):
                self.fs.rm_file(key)
            raise

    def kept_digest(self) -> str | None:
        """Return the SHA-256 digest that :meth:`publish` has left with the object, ``None`` where there is none."""
        if self.path.protocol in ("s3", "s3a"):
            kept = self.fs.metadata(self.key)
        else:
            kept = self.fs.info(self.key).get("metadata") or {}
        return kept.get("sha256") if isinstance(kept, dict) else None

    def presigned_url(self, expires_in: int, **options: str) -> str | None:
        """
        Return a URL by which anybody may read the object for a while, ``None`` where the store makes none.

        :param expires_in: seconds.
        :param options: what the answer's headers are to be, as the store names them.
        """
        try:
            return str(self.fs.sign(self.key, expiration=expires_in, **options))
        except Exception:
            # Some stores know no such thing, some need a kind of credentials that the connection has not.
            return None

    def _check_digest(self, file: Path) -> None:
        """
        Compare ``file`` with the MD5 digest that the store has made of the object, if it reports one.

        Google and Azure do. The ETag of S3 is a digest only under conditions that it does not
        report; S3 checks an upload itself, against the checksum that came with it.
        """
        self.fs.invalidate_cache()
        info = self.fs.info(self.key)
        digest_of_store = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5")
        if not digest_of_store:
            return
        digest = hashlib.md5(usedforsecurity=False)
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
        if (
            base64.b64decode(digest_of_store) if isinstance(digest_of_store, str) else bytes(digest_of_store)
        ) != digest.digest():
            raise VideoDownloadError(f"{self} does not hold the bytes that were uploaded; check the storage")


def _is_leftover(name: str, writer: str) -> bool:
    return re.fullmatch(rf"\..*\.{writer}[0-9a-f]{{8}}\.part(\.\w+)*", name) is not None


def _remove_leftovers(folder: Path, writer: str) -> None:
    if not writer:
        return
    # What cannot be removed is in nobody's way.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _is_leftover(entry.name, writer):
                os.unlink(entry.path)


def _check_space(folder: Path, fix: str) -> None:
    usage = shutil.disk_usage(folder)
    # Some file systems, such as those of FUSE, do not say.
    if usage.total and usage.free < FREE_SPACE:
        raise VideoTargetUnavailable(
            f"{str(folder)!r} has {usage.free / 1e6:.1f} MB free, and a clip may take {FREE_SPACE / 1e6:.0f} MB; {fix}",
            can_heal=True,
        )
