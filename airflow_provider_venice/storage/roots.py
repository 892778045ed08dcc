"""Whether a place is below one of the folders and URLs that an option of Airflow's configuration names."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_venice.storage.targets import LocalTarget


def configured_roots(option: str) -> list[str]:
    """
    Return the folders and URLs that an option names; an empty list where it is not set.

    :param option: its name in the section ``[venice]``.
    """
    from airflow_provider_venice.version_compat import conf

    text = conf.get("venice", option, fallback="") or ""
    return [root.strip() for root in text.split(",") if root.strip()]


def local_path_within(place: LocalTarget, roots: list[str]) -> Path | None:
    """
    Return the path to read, its symbolic links resolved, if it is below one of the roots.

    What is read is then the path that was checked, not the link that may lead elsewhere a moment later.

    :param place: a path of this machine.
    :param roots: as the option has them.
    """
    path = Path(os.path.realpath(place.path))
    folders = [folder for root in roots if (folder := _local(root)) is not None]
    return path if any(path.is_relative_to(os.path.realpath(folder)) for folder in folders) else None


def is_url_within(url: str, roots: list[str]) -> bool:
    """
    Whether the URL of an object storage is below one of the roots.

    Connection and bucket count as they are written: another connection may lead to another store.

    :param url: such as ``s3://conn_id@bucket/key``.
    :param roots: as the option has them.
    """
    urls = tuple(f"{root.rstrip('/')}/" for root in roots if _local(root) is None)
    return ".." not in url.split("/") and url.startswith(urls)


def _local(root: str) -> str | None:
    """Return the folder that a root names; ``None`` for the URL of an object storage."""
    scheme, separator, path = root.partition("://")
    if not separator:
        return os.path.expanduser(root)
    return path if scheme in ("file", "local") else None
