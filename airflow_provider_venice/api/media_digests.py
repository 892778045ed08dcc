"""
What the media of a request hold: digests that are kept in a manifest, and compared before a clip is reused.

The fingerprint of a request counts a file by its path, and a URL without its query. These digests count what it leaves
open: the bytes of a file, and the query of a URL but for its signature. They are stored, and compared by later
releases: what they are computed from must never change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from airflow_provider_venice.api.values import bare_url

#: Parameters of a URL that are new each time it is signed, as S3 and Google have them.
_SIGNATURE = re.compile(
    r"x-(amz|goog)-(algorithm|credential|date|expires|security-token|signature|signedheaders)", re.IGNORECASE
)

#: Those of other signatures, of which some are common words: only where the URL has the one that is named first. The
#: older ones of S3 and Google, with those of CloudFront; and those of Azure.
_OTHER_SIGNATURES = {
    "signature": {"signature", "expires", "policy", "awsaccesskeyid", "googleaccessid", "key-pair-id"},
    "sig": {"sig", *["sv", "ss", "srt", "sp", "se", "st", "spr", "sr", "skoid", "sktid", "skt", "ske", "sks", "skv"]},
}


def media_digests(body: Mapping[str, Any]) -> dict[str, str]:
    """
    Return a digest of each data URL, and of each URL with a query, by the name of its field.

    :param body: of ``/video/queue``, as :func:`~airflow_provider_venice.api.media.resolve_media` returns it: each
        file is a data URL.
    """
    return {name: digest for name, text in _texts(body, "") if (digest := _digest(text)) is not None}


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of a body but its prompts, with the names of their fields, such as ``keyframes[0].image_url``."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if "prompt" not in key:
                yield from _texts(entry, f"{name}.{key}" if name else key)
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _texts(entry, f"{name}[{index}]")
    elif isinstance(value, str):
        yield name, value.strip()


def _digest(text: str) -> str | None:
    """Return the digest of what the fingerprint does not count by itself, ``None`` where there is nothing of that."""
    if text[:5].lower() == "data:":
        head, _, content = text.partition(",")
        try:
            data = base64.b64decode(content, validate=True) if head.lower().endswith(";base64") else text.encode()
        except (binascii.Error, ValueError):
            data = text.encode("utf-8", "surrogatepass")
        return f"sha256:{hashlib.sha256(data).hexdigest()}"
    if bare_url(text) is None or "?" not in text:
        return None
    # The query may be a secret: only its digest is kept.
    query = parse_qsl(text.partition("?")[2].partition("#")[0], keep_blank_values=True)
    names = {name.lower() for name, _ in query}
    signed = set().union(*(others for name, others in _OTHER_SIGNATURES.items() if name in names))
    kept = [(name, value) for name, value in query if not _SIGNATURE.fullmatch(name) and name.lower() not in signed]
    return f"query-sha256:{hashlib.sha256(urlencode(kept).encode()).hexdigest()}" if kept else None
