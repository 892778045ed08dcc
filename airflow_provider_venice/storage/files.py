"""Small files, and media that is sent: read and written whole."""

from __future__ import annotations

from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.storage.errors import map_storage_errors
from airflow_provider_venice.storage.partial import PartialFile
from airflow_provider_venice.storage.paths import resolve_path, resolve_target


def read_media(value: object, limit: int) -> tuple[str, bytes]:
    """
    Return the name and the bytes of a file; at most ``limit + 1`` bytes, so that a larger one shows.

    :param value: local path or ``ObjectStoragePath``, as an object or a string.
    :param limit: most bytes that the caller has a use for.
    :raises VeniceRequestError: naming a file that is not there or cannot be read.
    """
    place = resolve_path(value)
    with map_storage_errors(place):
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
    place = resolve_target(target)
    with map_storage_errors(place, writes=True):
        if place.size() is None:
            return None
        with place.open() as file:
            return file.read(limit)


def store_text(target: object, text: str) -> str:
    """
    Write a small text file, replacing what is there, and return its location.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param text: its content, written as UTF-8.
    :raises VeniceRequestError: when the target cannot be used.
    """
    place = resolve_target(target)
    with (
        map_storage_errors(place, writes=True),
        PartialFile(place.make_staging(), place.name, place.partial_suffix) as partial,
    ):
        partial.write(text.encode())
        partial.sync()
        place.publish(partial.path, overwrite=True)
    return place.location
