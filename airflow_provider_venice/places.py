"""Where a file lies or shall lie: a path of this machine or a key of an object storage."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.exceptions import VeniceRequestError, VideoDownloadError

#: Stores in which an object appears whole when its upload has ended, and not before. Elsewhere the
#: upload goes to a name beside the target and is moved.
_ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"})

#: The package that brings a scheme to Airflow.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "sftp": "apache-airflow-providers-sftp[sshfs]",
}


class LocalPlace:
    """A path of this machine."""

    partial_suffix = ".part"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        #: What names the place from any working directory.
        self.location = str(path.absolute())

    def __str__(self) -> str:
        return str(self.path)

    def size(self) -> int | None:
        """Return the bytes of the file, ``None`` where nothing lies; ``OSError`` for what is not a file."""
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
        """Raise ``OSError`` when no file can be made there."""
        ancestor = self.path.absolute().parent
        while not ancestor.exists():
            ancestor = ancestor.parent
        if not ancestor.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory", str(ancestor))
        if not os.access(ancestor, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "is not writable", str(ancestor))

    def make_staging(self) -> Path:
        """Return the directory in which the file that is to be published must grow."""
        # Beside the target, as only a rename within one file system is atomic.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.parent

    def publish(self, file: Path, *, overwrite: bool) -> None:
        """Put the whole ``file`` under its final name, on the disk for good; it may leave its own."""
        if overwrite:
            os.replace(file, self.path)
        else:
            try:
                # Unlike a rename, a link never takes the place of a file.
                os.link(file, self.path)
            except OSError as error:
                # Some file systems have no links; there, all that can be done is to look first.
                if isinstance(error, FileExistsError) or os.path.lexists(self.path):
                    raise taken(self) from error
                os.replace(file, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            # Some network file systems refuse this; the file is in its place all the same.
            with contextlib.suppress(OSError):
                os.fsync(directory)
        finally:
            os.close(directory)


class ObjectPlace:
    """
    A key of an object storage, reached through the path's own fsspec file system.

    :param path: an ``ObjectStoragePath``, or a path of the same make.
    """

    def __init__(self, path: Any) -> None:
        self.path = path
        self.name: str = path.name
        self.location = str(path)
        self.key: str = path.path
        # The store takes the type of the object from the name of the file that is uploaded.
        self.partial_suffix = f".part{Path(self.name).suffix}"
        # Not ObjectStoragePath.open: that would report every look at a file as lineage.
        self.fs: Any = path.fs

    def __str__(self) -> str:
        return str(self.path)

    def size(self) -> int | None:
        """Return the bytes of the object, ``None`` where nothing lies; ``OSError`` for a folder."""
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
        if self.path.protocol in _ATOMIC_PUT:
            bucket = self.key.lstrip("/").partition("/")[0]
            # Who may write to a bucket may not always look at it.
            with contextlib.suppress(PermissionError):
                try:
                    self.fs.info(bucket)
                except FileNotFoundError:
                    raise OSError(errno.EINVAL, "there is no such bucket", bucket) from None

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the object for reading."""
        return cast("AbstractContextManager[BinaryIO]", self.fs.open(self.key, "rb"))

    def make_staging(self) -> Path:
        """Return the directory in which the file that is to be published must grow."""
        return Path(tempfile.gettempdir())

    def publish(self, file: Path, *, overwrite: bool) -> None:
        """Put the whole ``file`` under its final key."""
        # Stores offer no common "create only", so a writer between this look and the upload is not seen.
        if not overwrite and self.size() is not None:
            raise taken(self)
        if self.path.protocol in _ATOMIC_PUT:
            self.fs.put_file(str(file), self.key)
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
                raise VideoDownloadError(f"{arrived} of {size} bytes arrived beside {self}; look after the storage")
            self.fs.mv(key, self.key)
        except BaseException:
            with contextlib.suppress(Exception):
                self.fs.rm_file(key)
            raise

    def _check_digest(self, file: Path) -> None:
        """
        Compare ``file`` with the MD5 digest that the store has made of the object, if it tells one.

        Google and Azure do. The ETag of S3 is a digest only under conditions that it does not
        tell; S3 checks an upload itself, against the checksum that came with it.
        """
        self.fs.invalidate_cache()
        info = self.fs.info(self.key)
        told = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5")
        if not told:
            return
        digest = hashlib.md5(usedforsecurity=False)
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
        if (base64.b64decode(told) if isinstance(told, str) else bytes(told)) != digest.digest():
            raise VideoDownloadError(f"{self} does not hold the bytes that were uploaded; look after the storage")


def find_place(target: object) -> LocalPlace | ObjectPlace:
    """
    Return the place that a path names.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VeniceRequestError: when it is none, or no installed package knows its scheme.
    """
    # pathlib's paths have no protocol; that of an ObjectStoragePath is empty or "file" for local ones.
    protocol = getattr(target, "protocol", None)
    if protocol is not None:
        _refuse_empty_values(str(target))
        if protocol in ("", "file", "local"):
            return LocalPlace(Path(str(getattr(target, "path", target))))
        return _object_place(str(target), target)
    if not isinstance(target, (str, os.PathLike)):
        raise VeniceRequestError(f"a path is needed, not {type(target).__name__}")
    text = os.fsdecode(target)
    if not text.strip() or "\0" in text:
        raise VeniceRequestError(f"{text!r} is not a path; give a file name")
    if text.endswith("/"):
        raise VeniceRequestError(f"{text!r} names a directory; add a file name")
    _refuse_empty_values(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return LocalPlace(Path(text).expanduser() if text.startswith("~/") else Path(text))
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise VeniceRequestError(f"{text!r} is not absolute; write {scheme}:///directory/name")
        return LocalPlace(Path(rest))
    bucket, _, key = rest.partition("/")
    if scheme in _ATOMIC_PUT and not bucket.rpartition("@")[2]:
        raise VeniceRequestError(f"{text!r} names no bucket; write {scheme}://conn_id@bucket/key")
    if not key:
        raise VeniceRequestError(f"{text!r} names no key; write {scheme}://conn_id@bucket/key")
    from airflow.sdk import ObjectStoragePath

    with _with_package(text, scheme):
        path = ObjectStoragePath(text)
    return _object_place(text, path)


def _object_place(text: str, path: Any) -> ObjectPlace:
    """Return the place of an ``ObjectStoragePath``, once the connection that it names was read."""
    # Airflow 3.0 and 3.1 keep it among the storage options.
    conn_id = getattr(path, "conn_id", None) or getattr(path, "storage_options", {}).get("conn_id")
    if conn_id is not None:
        _check_connection(text, path.protocol, conn_id)
    with _with_package(text, path.protocol):
        return ObjectPlace(path)


#: Schemes and connections that were read before in this process; Airflow keeps the file system of each as well.
_checked_connections: set[tuple[str, str]] = set()


def _check_connection(text: str, protocol: str, conn_id: str) -> None:
    """
    Read the connection that a path names, before Airflow makes a file system of it.

    Where the connection is missing, or cannot be read at that moment, Airflow's Amazon provider only logs so and takes
    the public endpoint with whatever credentials the environment has: perhaps a bucket of the same name that belongs to
    somebody else.

    :raises VeniceRequestError: when it is not defined, and no file system was attached under its name.
    :raises VeniceConnectionError: when it cannot be read now.
    """
    if (protocol, conn_id) in _checked_connections:
        return
    try:
        read_connection(conn_id)
    except VeniceRequestError as error:
        from airflow.sdk.io import attach

        # airflow.sdk.io.attach(fs=...) takes any name for a file system, also one that is no connection.
        if "fs" not in vars(attach(protocol, conn_id)):
            raise VeniceRequestError(f"{text!r} cannot be used: {error}", fields=error.fields) from error
    _checked_connections.add((protocol, conn_id))


def _refuse_empty_values(text: str) -> None:
    """Refuse a path in which a template has become "None" or nothing, so that every such clip has the same name."""
    # The connection before "@" is a part like the others.
    parts = re.split(r"[/@]", text)
    if "None" in parts or re.fullmatch(r"None\.\w+", parts[-1]):
        problem = "has a part that is 'None'"
    elif re.fullmatch(r"\s*\.\w{1,5}", parts[-1]):
        problem = "has no name before its suffix"
    elif any(part and not part.strip() for part in parts):
        problem = "has a part that is blank"
    else:
        return
    raise VeniceRequestError(f"{text!r} {problem}; give a value to each variable of its template")


@contextlib.contextmanager
def _with_package(target: str, scheme: str) -> Iterator[None]:
    """Say which package is missing where a scheme has no file system."""
    try:
        yield
    except (ValueError, ImportError) as error:
        package = _PACKAGES.get(scheme, f"the provider package that serves {scheme}://")
        raise VeniceRequestError(f"{target!r} cannot be used: {error}; install {package}") from error


@contextlib.contextmanager
def explained(place: object) -> Iterator[None]:
    """Turn what the storage says of a wrong path into a :class:`VeniceRequestError` that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise VeniceRequestError(f"no such file {str(place)!r}") from error
    except IsADirectoryError as error:
        raise VeniceRequestError(f"{str(place)!r} is a directory; name a file") from error
    except PermissionError as error:
        raise VeniceRequestError(f"access to {error.filename or str(place)!r} is not permitted: {error}") from error
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.EROFS):
            raise
        raise VeniceRequestError(f"{str(place)!r} cannot be used: {error}") from error


def taken(place: object) -> VeniceRequestError:
    """Return the error for a target that exists and must not be replaced."""
    return VeniceRequestError(f"{str(place)!r} exists already; give another path, or overwrite=True to replace it")
