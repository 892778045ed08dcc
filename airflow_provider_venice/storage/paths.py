"""From a path, as it was given, to the place that it names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.storage import path_text
from airflow_provider_venice.storage.targets import ATOMIC_PUT, LocalTarget, ObjectTarget

#: The package that brings a scheme to Airflow.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "sftp": "apache-airflow-providers-sftp[sshfs]",
}


def resolve_path(target: object) -> LocalTarget | ObjectTarget:
    """
    Return the place that a path names.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VeniceRequestError: when it is none, or no installed package knows its scheme.
    """
    # pathlib's paths have no protocol; that of an ObjectStoragePath is empty or "file" for local ones.
    protocol = getattr(target, "protocol", None)
    if protocol is not None:
        path_text.check_values(str(target))
        if protocol in ("", *path_text.LOCAL_SCHEMES):
            return LocalTarget(Path(str(getattr(target, "path", target))))
        return _object_target(str(target), target)
    if not isinstance(target, (str, os.PathLike)):
        raise VeniceRequestError(f"a path is needed, not {type(target).__name__}")
    text = os.fsdecode(target)
    path_text.check_path(text, ATOMIC_PUT)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return LocalTarget(Path(text).expanduser() if text.startswith("~/") else Path(text))
    if scheme in path_text.LOCAL_SCHEMES:
        return LocalTarget(Path(rest))
    from airflow.sdk import ObjectStoragePath

    # Before the path is made: Airflow 3.3 makes the file system of a path together with it, and keeps it.
    if conn_id := rest.partition("/")[0].rpartition("@")[0]:
        _check_connection(text, scheme, conn_id)
    with _with_package(text, scheme):
        path = ObjectStoragePath(text)
    return _object_target(text, path)


def _object_target(text: str, path: Any) -> ObjectTarget:
    """Return the place of an ``ObjectStoragePath``, once the connection that it names was read."""
    # Airflow 3.0 and 3.1 keep it among the storage options.
    conn_id = getattr(path, "conn_id", None) or getattr(path, "storage_options", {}).get("conn_id")
    if conn_id is not None:
        _check_connection(text, path.protocol, conn_id)
    with _with_package(text, path.protocol):
        return ObjectTarget(path)


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

        # airflow.sdk.io.attach(fs=...) takes any name for a file system, also one that is no connection. But the file
        # system of S3 may be there because a path was made with "/", when Airflow made it without the connection.
        attached = vars(attach(protocol, conn_id)).get("fs")
        if attached is None or type(attached).__module__.startswith("s3fs."):
            raise VeniceRequestError(f"{text!r} cannot be used: {error}", fields=error.fields) from error
    _checked_connections.add((protocol, conn_id))


def resolve_target(target: object) -> LocalTarget | ObjectTarget:
    """
    Return the place that a path names, where a file is to be made.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VeniceRequestError: when it is none, one that nobody has meant, or a relative one: other workers, and the
        next try, may have another working directory.
    """
    path_text.check_target(str(target))
    place = resolve_path(target)
    if isinstance(place, LocalTarget):
        path_text.check_absolute(str(place.path))
    return place


@contextlib.contextmanager
def _with_package(target: str, scheme: str) -> Iterator[None]:
    """Say which package is missing where a scheme has no file system."""
    try:
        yield
    except (ValueError, ImportError) as error:
        package = _PACKAGES.get(scheme, f"the provider package that serves {scheme}://")
        raise VeniceRequestError(f"{target!r} cannot be used: {error}; install {package}") from error
