"""What comes back over HTTP, and how an error in it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from airflow_provider_venice.api.limits import RateLimit, read_rate_limit, retry_after
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConsentRequired,
    VeniceRateLimitError,
    VeniceResponseError,
)

#: Longest piece of a foreign answer that goes into a message, in characters.
_EXCERPT = 300

#: An address in a foreign answer, even cut short: it may be a private link.
_ADDRESS = re.compile(r"""(https?:)[\\/]+[^\s"'<>]*""")

#: Types under which storage servers deliver videos, beside ``video/*``.
_MEDIA_TYPES = ("application/octet-stream", "binary/octet-stream", "application/mp4")

#: Codes under which Venice refuses a request although the status is a 5xx: nothing was accepted
#: (https://docs.venice.ai/api-reference/error-codes). The other codes of a 5xx, such as ``INFERENCE_FAILED`` or
#: ``REQUEST_TIMEOUT``, do not say how far the request came.
_REFUSALS = ("MODEL_OFFLINE", "MODEL_AT_CAPACITY")

#: What to do about a status, where the server's words seldom say it.
_ADVICE = {
    401: "check the API key in the connection's password",
    402: "top up the Venice balance or raise the key's spend limit",
    403: "the plan, the region or the key does not permit this",
    413: "the request is too large; pass media by URL instead of by value",
    429: "the rate limit is reached; wait for its reset",
}


@dataclass(frozen=True)
class Head:
    """
    Status and headers of an answer whose body has not been read.

    :param status: HTTP status.
    :param headers: header values under lower-case names.
    :param received_at: epoch seconds, by our clock.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: float

    @property
    def content_type(self) -> str:
        """MIME type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """Bytes of the file that the body is, or ``None`` where the server did not announce them."""
        text = self.headers.get("content-length", "")
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        known = encoding in ("", "identity") and text.isascii() and text.isdecimal() and len(text) < 19
        return int(text) if known else None

    @property
    def limits(self) -> tuple[RateLimit, float | None, float]:
        """What a pace learns from it: the headers' figures, the wait after a refusal, and when it came."""
        refused = retry_after(self.headers, self.received_at) if self.status == 429 else None
        return read_rate_limit(self.headers, self.received_at), refused, self.received_at

    @property
    def is_media(self) -> bool:
        """Whether the body is a file to stream rather than a text to read."""
        kind = self.content_type
        return self.status in (200, 206) and (kind.startswith("video/") or kind in _MEDIA_TYPES)


@dataclass(frozen=True)
class Reply:
    """
    An answer.

    :param head: its status and headers.
    :param body: its body; ``None`` where that is a video which was left unread.
    """

    head: Head
    body: bytes | None = field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """
        Return the object in the body of a success.

        :raises VeniceAPIError: when the status is an error.
        :raises VeniceResponseError: when the body is no JSON object.
        """
        raise_for_status(self)
        payload = _parse(self.body)
        if not isinstance(payload, dict):
            raise self.unreadable("is not a JSON object")
        return payload

    @property
    def is_api_error(self) -> bool:
        """Whether the body is an error of the API, and not one of a proxy or a CDN in front of it."""
        payload = _parse(self.body)
        return isinstance(payload, dict) and (isinstance(payload.get("error"), (str, dict)) or "x402Version" in payload)

    def unreadable(self, problem: str) -> VeniceResponseError:
        """Return the error for an answer that is not the API's."""
        shown = "a video" if self.body is None else repr(_text(self.body))
        return VeniceResponseError(
            f"the answer of Venice (HTTP {self.head.status}) {problem}: {shown}", status_code=self.head.status
        )


def raise_for_status(
    reply: Reply, error_class: type[VeniceAPIError] | None = None, *, about: object = "", **fields: Any
) -> None:
    """
    Raise what an error status means; return for a success.

    :param error_class: the class for what is neither a rate limit nor a wish for consent.
    :param about: what was asked about, to begin the message with.
    :param fields: further arguments of ``error_class``.
    :raises VeniceAPIError: for 4xx and 5xx, with everything that the server said.
    :raises VeniceResponseError: for a redirect, which the API never sends.
    """
    status = reply.head.status
    if status < 300:
        return
    if status < 400:
        raise reply.unreadable("is a redirect; check the host in the connection")
    payload = _parse(reply.body)
    outer: Mapping[str, Any] = payload if isinstance(payload, dict) else {}
    error = outer.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, dict) else {}
    said = _string(inner.get("message")) or _string(error) or _text(reply.body)

    def either(name: str) -> Any:
        return inner.get(name, outer.get(name))

    known = {
        "error_type": _string(either("type")),
        "error_code": _string(either("code")),
        "details": either("details") or either("issues"),
        "suggested_prompt": _string(either("suggested_prompt")),
        "recommended_model": _string(either("recommended_model")),
        "credits_refunded": refunded if isinstance(refunded := either("credits_refunded"), bool) else None,
    }
    # Only the API's own code tells that nothing was accepted; a proxy knows nothing of that.
    refused = reply.is_api_error and known["error_code"] in _REFUSALS
    known["may_have_acted"] = False if refused else None
    message = f"{about}: " * bool(about) + _message(status, said, known)
    if status == 429:
        wait = retry_after(reply.head.headers, reply.head.received_at)
        raise VeniceRateLimitError(message, status, retry_after=wait, **known)
    if status == 409 and ("consent" in outer or known["error_code"] == "needs_consent"):
        raise _consent_error(message, status, outer, known)
    raise (error_class or VeniceAPIError)(message, status, **known, **fields)


def _consent_error(
    message: str, status: int, outer: Mapping[str, Any], known: Mapping[str, Any]
) -> VeniceConsentRequired:
    consent = outer.get("consent")
    policy = _string(consent.get("policy_text")) if isinstance(consent, dict) else None
    roles = outer.get("face_media_roles")
    return VeniceConsentRequired(
        f"{message.rstrip('.')}. A person has to accept the provider's policy first; then pass their attestation as "
        f"consents=. The policy: {policy}",
        status,
        policy_text=policy,
        face_media_roles=[str(role) for role in roles] if isinstance(roles, list) else [],
        consent_flow=_string(outer.get("consent_flow")),
        **known,
    )


def _message(status: int, said: str | None, known: Mapping[str, Any]) -> str:
    """One sentence with all that was said: what happened, why, what the server suggests, what to do."""
    parts = [f"Venice answered HTTP {status}: {_without_addresses(said) if said else 'without a reason'}"]
    if known["error_type"]:
        parts.append(f"type {known['error_type']}")
    if known["details"]:
        parts.append("details: " + _without_addresses("; ".join(_problems(known["details"])))[:1000])
    if known["credits_refunded"] is not None:
        parts.append("the charge was refunded" if known["credits_refunded"] else "the charge was not refunded")
    if known["recommended_model"]:
        parts.append(f"recommended model: {known['recommended_model']}")
    if known["suggested_prompt"]:
        parts.append(f"suggested prompt: {known['suggested_prompt']!r}")
    if status in _ADVICE:
        parts.append(_ADVICE[status])
    return "; ".join(parts)


def _problems(details: Any, path: str = "") -> list[str]:
    """Flatten the server's problems per field (``{"field": {"_errors": [...]}}``, or a list) into lines."""
    if isinstance(details, dict):
        lines = []
        for name, value in details.items():
            inner = path if name == "_errors" else f"{path}.{name}".lstrip(".")
            lines += _problems(value, inner)
        return lines
    if isinstance(details, list):
        return [line for value in details for line in _problems(value, path)]
    return [f"{path} {details}".strip()]


def _parse(body: bytes | None) -> Any:
    """JSON with money as ``Decimal``; ``None`` where it is not JSON."""
    try:
        return json.loads(body or b"", parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | Decimal | None:
    """A number of JSON; one that is beyond all measure is none, and does not make the rest unreadable."""
    try:
        return int(digits) if digits.lstrip("-").isdecimal() else Decimal(digits)
    except (ArithmeticError, ValueError):
        return None


def _text(body: bytes | None) -> str:
    """The beginning of an answer, for a message: on one line, and without addresses."""
    text = " ".join((body or b"")[: 4 * _EXCERPT].decode("utf-8", "replace").split())
    return _without_addresses(text)[:_EXCERPT]


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(r"\1//…", text)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
