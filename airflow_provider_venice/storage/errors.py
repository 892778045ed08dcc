"""What a storage says of a path, in words that name the path and the fix."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from airflow_provider_venice.exceptions import VeniceError, VeniceRequestError, VideoTargetUnavailable


@contextlib.contextmanager
def map_storage_errors(place: object, *, writes: bool = False) -> Iterator[None]:
    """
    Turn what the storage says of a wrong path into a :class:`VeniceRequestError` that names it.

    What else the storage says stays an ``OSError``, and names the path as well.

    :param place: the path.
    :param writes: whether a file is to be made there; then the error is a :class:`VideoTargetUnavailable`.
    """
    try:
        with name_file_in_errors(place):
            yield
    except IsADirectoryError as error:
        raise VeniceRequestError(f"{str(place)!r} is a directory; name a file") from error
    except OSError as error:
        # Those of an object storage may be of the class and have no number.
        if error.errno not in _WRONG_PATH and not isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        problem, path = error.strerror or str(error), error.filename or str(place)
        if writes:
            problem = "No file can be made there" if isinstance(error, FileNotFoundError) else problem
            # Of a partial file the folder: its own name was never given.
            there = os.path.dirname(path) if re.search(r"\.part(\.\w+)?$", path) else path
            raise VideoTargetUnavailable(f"{str(place)!r} cannot be used: {problem}: {there!r}") from error
        if isinstance(error, FileNotFoundError):
            raise VeniceRequestError(f"no such file {str(place)!r}") from error
        raise VeniceRequestError(f"{str(place)!r} cannot be read: {problem}: {path!r}") from error
    except VeniceError:
        raise
    except Exception as error:
        if type(error).__module__ == "builtins":
            raise
        # Of the client of an object storage: those of botocore, such as one for a store that is away, are no OSError.
        kind = VideoTargetUnavailable if writes else VeniceRequestError
        raise kind(f"{str(place)!r} cannot be reached now: {error}", can_heal=True) from error


#: What an ``OSError`` says of a path that is wrong, or of a mount that is missing or read-only.
_WRONG_PATH = frozenset(
    {
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG),
        *(errno.EINVAL, errno.ELOOP, errno.EROFS),
    }
)


@contextlib.contextmanager
def name_file_in_errors(path: object, hint: str = "") -> Iterator[None]:
    """
    Have an ``OSError`` name the file that it is about: those of a write, unlike those of an open, do not.

    :param path: the file.
    :param hint: what may mend it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and not hint):
            raise
        # Of the same class, as that is chosen by the number.
        raise OSError(error.errno, f"{error.strerror}{hint}", error.filename or str(path)) from error


class TargetExists(VeniceRequestError):
    """There is a file under a target's name, and it must not be replaced."""


def file_exists(place: object) -> TargetExists:
    """Return the error for a target that exists and must not be replaced."""
    return TargetExists(
        f"{str(place)!r} exists already; give another path, or replace it: existing='replace', or overwrite=True of "
        "VeniceHook"
    )
