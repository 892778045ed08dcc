"""From a path, as it was given, to the place that it names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_venice.airflow_connections import read_connection
from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.places import ATOMIC_PUT, LocalPlace, ObjectPlace

#: The package that brings a scheme to Airflow.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "sftp": "apache-airflow-providers-sftp[sshfs]",
}


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
    if scheme in ATOMIC_PUT and not bucket.rpartition("@")[2]:
        raise VeniceRequestError(f"{text!r} names no bucket; write {scheme}://conn_id@bucket/key")
    if not key:
        raise VeniceRequestError(f"{text!r} names no key; write {scheme}://conn_id@bucket/key")
    from airflow.sdk import ObjectStoragePath

    # Before the path is made: Airflow 3.3 makes the file system of a path together with it, and keeps it.
    if conn_id := bucket.rpartition("@")[0]:
        _check_connection(text, scheme, conn_id)
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

        # airflow.sdk.io.attach(fs=...) takes any name for a file system, also one that is no connection. But the file
        # system of S3 may be there because a path was made with "/", when Airflow made it without the connection.
        attached = vars(attach(protocol, conn_id)).get("fs")
        if attached is None or type(attached).__module__.startswith("s3fs."):
            raise VeniceRequestError(f"{text!r} cannot be used: {error}", fields=error.fields) from error
    _checked_connections.add((protocol, conn_id))


def find_target(target: object) -> LocalPlace | ObjectPlace:
    """
    Return the place that a path names, where a file is to be made.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :raises VeniceRequestError: when it is none, one that nobody has meant, or a relative one: other workers, and the
        next try, may have another working directory.
    """
    text = str(target)
    if "{{" in text or "{%" in text:
        raise VeniceRequestError(
            f"{text!r} holds a template that was not rendered. Airflow renders those of an operator's own arguments, "
            "and none in values that come from another task or go to a hook"
        )
    if text.strip() and (text != text.strip() or any(character < " " for character in text.replace("\0", ""))):
        raise VeniceRequestError(f"{text!r} begins or ends with white space, or holds a line break; remove that")
    if re.match(r"[a-z][a-z0-9+.-]+:(?!//)", text):
        raise VeniceRequestError(f"{text!r} has no '//' after its scheme; write scheme://conn_id@bucket/key")
    place = find_place(target)
    if isinstance(place, LocalPlace) and not place.path.is_absolute():
        raise VeniceRequestError(
            f"{str(target)!r} is a relative path, and a worker's working directory may be any; write the absolute one, "
            f"such as {os.path.abspath(place.path)!r}"
        )
    return place


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
