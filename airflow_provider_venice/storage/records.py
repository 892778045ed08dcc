"""A small file beside a target, local or in object storage, that only one of many writers can create."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from airflow_provider_venice.storage.errors import name_file_in_errors
from airflow_provider_venice.storage.targets import LocalTarget, ObjectTarget

#: Stores whose clients send ``mode="create"`` as a condition that the server checks, if they are new enough.
#: fsspec's own ``mode="create"`` checks first and writes then, which two writers can pass.
_CONDITIONAL_PUT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})

#: The one server of S3 that is known to accept one of several conditional puts. Others may not: of two at one moment,
#: OpenStack Swift accepts both. Google and Azure have a protocol of their own, and keep the condition.
_EXACT_S3 = re.compile(r"https://([\w-]+\.)*amazonaws\.com(\.cn)?/?")

#: Shortest pause, in seconds, after which a writer reads back what it wrote where the condition is not certain.
_PAUSE = 1.0

#: Pause as a multiple of the time that the writer's own read and write took.
_PAUSE_FACTOR = 4.0

#: Most bytes of a file name, on nearly every file system.
_NAME_LIMIT = 255

#: Most bytes of a record.
_LIMIT = 1 << 16


class LocalRecord:
    """A record on a file system of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes | None:
        """Return the content, ``None`` where there is no file."""
        try:
            with self.path.open("rb") as file:
                return file.read(_LIMIT)
        except FileNotFoundError:
            return None

    def create(self, data: bytes) -> bool:
        """Write ``data`` if there is no file, and return whether this call has created it."""
        partial = self._write_partial(data)
        try:
            # The link is exclusive, also on NFS, and the file has its content when its name appears.
            os.link(partial, self.path)
        except FileExistsError:
            # Over NFS a repeated request can report a link as existing that it has made itself.
            return self.read() == data
        except OSError:
            # A file system without links. A crash within leaves an empty record, which an error names.
            return self._create_exclusively(data)
        finally:
            partial.unlink(missing_ok=True)
        return True

    def replace(self, data: bytes) -> None:
        """Write ``data`` in one step, whether there is a file or not."""
        partial = self._write_partial(data)
        try:
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _write_partial(self, data: bytes) -> Path:
        partial = self.path.with_name(f".reserved.{secrets.token_hex(8)}.part")
        try:
            with name_file_in_errors(partial), partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return partial

    def _create_exclusively(self, data: bytes) -> bool:
        try:
            file = self.path.open("xb")
        except FileExistsError:
            return False
        with name_file_in_errors(self.path), file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return True


class ObjectRecord:
    """
    A record in an object storage.

    :param place: the target beside which it is.
    :param key: its own key.
    """

    def __init__(self, place: ObjectTarget, key: str) -> None:
        self.fs: Any = place.fs
        self.key = key
        self.protocol: str = place.path.protocol
        self.name = f"{str(place).rpartition('/')[0]}/{key.rpartition('/')[2]}"

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes | None:
        """Return the content, ``None`` where there is no object."""
        self.fs.invalidate_cache()
        try:
            return bytes(self.fs.cat_file(self.key))
        except FileNotFoundError:
            return None

    def create(self, data: bytes) -> bool:
        """
        Write ``data`` if there is no object, and return whether this call has created it.

        Where the service keeps the condition of a conditional put, that is certain. Elsewhere the last of
        several writers has it: each waits, longer than its own read and write took and at
        least ``_PAUSE``, and reads back. Left open there: a writer whose write arrives later after its
        read than another one waited. It replaces a record that was already read back, and both have it.
        """
        started = time.monotonic()
        if self.read() is not None:
            return False
        accepted = self._put_new(data)
        if accepted is None:
            self.replace(data)
        elif not accepted and self.read() != data:
            return False
        # An old client sends no condition at all. Then the same put is accepted once more.
        if accepted is None or not self._is_exact() or self._put_new(data):
            time.sleep(max(_PAUSE, _PAUSE_FACTOR * (time.monotonic() - started)))
        # Not the answer of the put: a client repeats one whose answer was lost, and is refused by its own object.
        return self.read() == data

    def _is_exact(self) -> bool:
        """Whether the service accepts no more than one of several conditional puts."""
        if self.protocol not in ("s3", "s3a"):
            return True
        endpoint = getattr(getattr(getattr(self.fs, "s3", None), "meta", None), "endpoint_url", None)
        return _EXACT_S3.fullmatch(str(endpoint)) is not None

    def _put_new(self, data: bytes) -> bool | None:
        """Return whether a conditional put was accepted, ``None`` where the client knows no such thing."""
        if self.protocol not in _CONDITIONAL_PUT:
            return None
        try:
            self.fs.pipe_file(self.key, data, mode="create")
        except FileExistsError:
            return False
        except TypeError:
            return None
        except OSError as error:
            # As s3fs reports them: precondition failed; another put to the key is under way.
            response = getattr(error.__cause__, "response", None) or {}
            if response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (409, 412):
                raise
            return False
        return True

    def replace(self, data: bytes) -> None:
        """Write ``data``, whether there is an object or not."""
        if self.protocol not in _CONDITIONAL_PUT:
            self.fs.makedirs(self.fs._parent(self.key), exist_ok=True)
        self.fs.pipe_file(self.key, data)

    def remove(self) -> None:
        """Remove the object, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.key)


def record_beside(place: LocalTarget | ObjectTarget, suffix: str = "") -> LocalRecord | ObjectRecord:
    """
    Return a record of a target. It is in the target's folder, so that every spelling of a path leads to the same one.

    :param suffix: at most 17 characters that tell it from other records of the target.
    """
    name = f".{_cut(place.name)}.reserved{suffix}"
    if isinstance(place, LocalTarget):
        return LocalRecord(place.path.absolute().with_name(name))
    folder, slash, _ = place.key.rpartition("/")
    return ObjectRecord(place, f"{folder}{slash}{name}")


def _cut(name: str) -> str:
    """Return ``name``, with a digest in place of its end where a record's name would be too long."""
    room = _NAME_LIMIT - len("..reserved") - 17
    encoded = os.fsencode(name)
    if len(encoded) <= room:
        return name
    return f"{encoded[: room - 17].decode(errors='ignore')}.{hashlib.sha256(encoded).hexdigest()[:16]}"
