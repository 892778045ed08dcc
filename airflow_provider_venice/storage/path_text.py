"""What must be right about the text of a path, whatever is there: checked when a DAG is parsed, and before each use."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from airflow_provider_venice.exceptions import VeniceRequestError

#: Schemes of paths of this machine.
LOCAL_SCHEMES = ("file", "local")


def check_path(text: str, with_bucket: Collection[str]) -> None:
    """
    Refuse a text that names no file.

    :param text: a local path, or the URL of an object storage.
    :param with_bucket: the schemes whose URLs begin with a bucket.
    :raises VeniceRequestError: naming the text and the fix.
    """
    if not text.strip() or "\0" in text:
        raise VeniceRequestError(f"{text!r} is not a path; give that of a file, such as '/data/clip.mp4'")
    if text.endswith("/"):
        raise VeniceRequestError(f"{text!r} names a directory; add a file name, such as '{text}clip.mp4'")
    check_values(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return
    if scheme in LOCAL_SCHEMES:
        if not rest.startswith("/"):
            raise VeniceRequestError(f"{text!r} is not absolute; write {scheme}:///directory/name")
        return
    bucket, _, key = rest.partition("/")
    if scheme in with_bucket and not bucket.rpartition("@")[2]:
        raise VeniceRequestError(f"{text!r} names no bucket; write {scheme}://conn_id@bucket/key")
    if not key:
        raise VeniceRequestError(f"{text!r} names no key; write {scheme}://conn_id@bucket/key")


def check_target(text: str) -> None:
    """
    Refuse a text that nobody has meant as the name of a new file.

    :raises VeniceRequestError: naming the text and the fix.
    """
    if "{{" in text or "{%" in text:
        raise VeniceRequestError(
            f"{text!r} holds a template that was not rendered. Airflow renders those of an operator's own arguments, "
            "and none in values that come from another task or go to a hook"
        )
    if text.strip() and (text != text.strip() or any(character < " " for character in text.replace("\0", ""))):
        raise VeniceRequestError(f"{text!r} begins or ends with white space, or holds a line break; remove that")
    if re.match(r"[a-z][a-z0-9+.-]+:(?!//)", text):
        raise VeniceRequestError(f"{text!r} has no '//' after its scheme; write scheme://conn_id@bucket/key")


def check_absolute(text: str) -> None:
    """
    Refuse a relative path: other workers, and the next try, may have another working directory.

    :raises VeniceRequestError: naming the text and the absolute path of this process.
    """
    if text.strip() and "://" not in text and not text.startswith(("/", "~/")):
        raise VeniceRequestError(
            f"{text!r} is a relative path, and a worker's working directory may be any; write the absolute one, "
            f"such as {os.path.abspath(text)!r}"
        )


def check_values(text: str) -> None:
    """
    Refuse a path in which a template has become "None" or nothing, so that every such clip has the same name.

    :raises VeniceRequestError: naming the text and the fix.
    """
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
