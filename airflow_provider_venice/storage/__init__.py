"""
Files, on a local disk or in an object storage.

``video`` stores a clip under its final name, whole or not at all: ``paths`` finds the target (``targets``) that a path
names, ``partial`` is the file while it grows. ``reservations`` decides who may store a clip under a name, by
``records`` beside it. ``files`` reads media, and reads and writes small files.
"""

from __future__ import annotations

from airflow_provider_venice.storage.files import read_file, read_media, store_text
from airflow_provider_venice.storage.partial import PartialFile
from airflow_provider_venice.storage.video import (
    StoredVideo,
    check_space,
    check_target,
    existing_video,
    kept_digest,
    remove_leftovers,
    size_of,
    store_video,
)

__all__ = [
    "PartialFile",
    "StoredVideo",
    "check_space",
    "check_target",
    "existing_video",
    "kept_digest",
    "read_file",
    "read_media",
    "remove_leftovers",
    "size_of",
    "store_text",
    "store_video",
]
