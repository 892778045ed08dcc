"""A stream of bytes -> a checked video under its final name, local or in object storage, or nothing there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_venice.api.model import VideoMetadata
from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.api.plain import PlainObject
from airflow_provider_venice.exceptions import VeniceRequestError, VideoDownloadError
from airflow_provider_venice.storage.errors import file_exists, map_storage_errors
from airflow_provider_venice.storage.partial import PartialFile
from airflow_provider_venice.storage.paths import resolve_path, resolve_target
from airflow_provider_venice.storage.targets import LocalTarget, ObjectTarget

#: Bytes read at once.
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class StoredVideo(PlainObject):
    """
    A whole video under its final name.

    :param path: where it is stored, as a local path or as ``scheme://conn_id@bucket/key``.
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


def check_target(target: object, *, overwrite: bool = False) -> None:
    """
    Refuse a target under which no video can be stored, before any money is spent on one.

    Makes a file beside the target and removes it, and sees that some space is free. What only the whole clip shows,
    such as a quota, shows when it is stored.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param overwrite: whether a file that exists may be replaced.
    :raises VeniceRequestError: naming the target and the fix.
    """
    place = _checked_target(target, overwrite=overwrite)
    with map_storage_errors(place, writes=True):
        place.prove_writable()
    place.check_space()


def check_space(target: object) -> None:
    """
    Refuse a target whose disk is nearly full, before any money is spent on a clip.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VideoTargetUnavailable: naming the directory and the fix; worth another try.
    """
    resolve_target(target).check_space()


def _checked_target(target: object, *, overwrite: bool) -> LocalTarget | ObjectTarget:
    place = resolve_target(target)
    with map_storage_errors(place, writes=True):
        if place.size() is not None and not overwrite:
            raise file_exists(place)
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
    :param before_publish: is called with the file when it is whole and not yet in its place.
    :param writer: names who stores the video, such as a task instance, the same in each try; what a try of it that was
        killed has left is removed.
    :raises VeniceRequestError: when the target cannot be used, mostly before ``receive`` is called.
    :raises VideoDownloadError: when what came is not a whole video.
    """
    place = _checked_target(target, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        with map_storage_errors(place, writes=True):
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
        place.publish(partial.path, overwrite=overwrite, sha256=stored.sha256)
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
    place = resolve_path(target)
    place.remove_leftovers(_writer_digest(place, writer))


def _writer_digest(place: LocalTarget | ObjectTarget, writer: str | None) -> str:
    return "" if writer is None else hashlib.sha256(f"{writer}\n{place.location}".encode()).hexdigest()[:8]


def size_of(target: object) -> int | None:
    """
    Return the bytes of the file at ``target``, ``None`` where there is nothing.

    :raises VeniceRequestError: when it is no file, or cannot be read.
    """
    place = resolve_path(target)
    with map_storage_errors(place):
        return place.size()


def kept_digest(target: object) -> str | None:
    """
    Return the SHA-256 digest that :func:`store_video` has left with the object, ``None`` where there is none.

    Whoever replaces the object by another way leaves none. Local files have none.
    """
    place = resolve_path(target)
    with map_storage_errors(place):
        return place.kept_digest() if isinstance(place, ObjectTarget) else None


def existing_video(target: object, sha256: str | None = None) -> StoredVideo | None:
    """
    Return the whole video that is stored at ``target``, ``None`` where there is nothing.

    :param sha256: its digest, where that is known: then only its boxes are read.
    :raises VeniceRequestError: when something else is there.
    """
    place = resolve_path(target)
    with map_storage_errors(place):
        size = place.size()
        if size is None:
            return None
        with place.open() as file:
            try:
                metadata = read_metadata(file, expected_size=size)
            except VideoDownloadError as error:
                raise VeniceRequestError(f"{str(place)!r} is not a whole video ({error}); remove it") from error
            file.seek(0)
            digest = hashlib.sha256()
            while sha256 is None and (chunk := file.read(CHUNK)):
                digest.update(chunk)
    return StoredVideo(place.location, size, sha256 or digest.hexdigest(), metadata)
