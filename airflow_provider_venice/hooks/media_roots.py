"""Which files may be sent to Venice as media: Airflow's option ``[venice] media_roots``."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_venice import storage
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.storage.paths import resolve_path
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
    from airflow.providers.common.compat.sdk import conf

    text = conf.get("venice", "media_roots", fallback="") or ""
    return [root.strip() for root in text.split(",") if root.strip()]


def _within(value: object, roots: list[str]) -> object:
    """Return what to read, its symbolic links resolved, if it is below one of the roots."""
    place = resolve_path(value)
    folders = [folder for root in roots if (folder := _local(root)) is not None]
    if isinstance(place, LocalTarget):
        # What is read is the path that was checked, not the link that may lead elsewhere a moment later.
        path = Path(os.path.realpath(place.path))
        if any(path.is_relative_to(os.path.realpath(folder)) for folder in folders):
            return path
    else:
        # Connection and bucket as they are written: another connection may lead to another store.
        urls = [f"{root.rstrip('/')}/" for root in roots if _local(root) is None]
        if ".." not in place.location.split("/") and place.location.startswith(tuple(urls)):
            return value
    raise VeniceRequestError(
        f"{str(place)!r} is not below a folder that [venice] media_roots in Airflow's configuration names"
    )


def _local(root: str) -> str | None:
    """Return the folder that a root names; ``None`` for the URL of an object storage."""
    scheme, separator, path = root.partition("://")
    if not separator:
        return os.path.expanduser(root)
    return path if scheme in ("file", "local") else None
