"""Which files may be sent to Venice as media: Airflow's option ``[venice] media_roots``."""

from __future__ import annotations

from airflow_provider_venice import storage
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.storage.paths import resolve_path
from airflow_provider_venice.storage.roots import configured_roots, is_url_within, local_path_within
from airflow_provider_venice.storage.targets import LocalTarget


def read_media(value: object, limit: int) -> tuple[str, bytes]:
    """
    Return the name and the bytes of a file that may be sent; see :func:`airflow_provider_venice.storage.read_media`.

    :param value: local path or ``ObjectStoragePath``, as an object or a string.
    :param limit: most bytes that the caller has a use for.
    :raises VeniceRequestError: for a file outside of the folders that ``media_roots`` names, whether or not it is
        there, and for one that cannot be read.
    """
    roots = media_roots()
    return storage.read_media(value if not roots else _within(value, roots), limit)


def media_roots() -> list[str]:
    """Return the folders and URLs that ``media_roots`` names; an empty list where it is not set."""
    return configured_roots("media_roots")


def _within(value: object, roots: list[str]) -> object:
    """Return what to read, its symbolic links resolved, if it is below one of the roots."""
    place = resolve_path(value)
    if isinstance(place, LocalTarget):
        if (path := local_path_within(place, roots)) is not None:
            return path
    elif is_url_within(place.location, roots):
        return value
    raise VeniceRequestError(
        f"{str(place)!r} is not below a folder that [venice] media_roots in Airflow's configuration names"
    )
