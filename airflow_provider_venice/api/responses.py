"""What comes back over HTTP, and the errors that are made of it."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NoReturn

from airflow_provider_venice.api.limits import RateLimit, read_rate_limit, retry_after, server_time
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

#: What of HTML is not for readers.
_TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)

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

#: The same for a private link.
_LINK_ADVICE = {
    410: "it is used up, has expired or was revoked",
    429: "it was fetched too often; wait for its reset",
}

#: Statuses that mean the same whoever in front of the API answers.
_FOREIGN_ADVICE = (413, 429)


@dataclass(frozen=True)
class ResponseHead:
    """
    Status and headers of an answer whose body has not been read.

    :param status: HTTP status.
    :param headers: header values under lower-case names.
    :param received_at: epoch seconds, by our clock.
    :param source: the base URL that it came from, for messages; empty for a private link. Whoever chooses the link
        must not read through an error what is behind it: of such an answer only the status is shown.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: float
    source: str = "Venice"

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
    def retry_after(self) -> float:
        """Seconds to keep quiet after a 429."""
        return retry_after(self.headers, server_time(self.headers, self.received_at))

    def limits(self, now: float) -> tuple[RateLimit, float | None, float]:
        """
        Return what a pace learns from it: the headers' figures, the wait after a refusal, and when it came.

        :param now: when it came, on the clock of the pace, which the reset is converted to.
        """
        refused = self.retry_after if self.status == 429 else None
        then = server_time(self.headers, self.received_at)
        limits = read_rate_limit(self.headers, then)
        if limits.resets_at is not None:
            limits = replace(limits, resets_at=now + limits.resets_at - then)
        return limits, refused, now

    @property
    def is_media(self) -> bool:
        """Whether the body is a file to stream rather than a text to read."""
        kind = self.content_type
        return self.status in (200, 206) and (kind.startswith("video/") or kind in _MEDIA_TYPES)


@dataclass(frozen=True)
class Response:
    """
    An answer.

    :param head: its status and headers.
    :param body: its body; ``None`` where that is a video which was left unread.
    """

    head: ResponseHead
    body: bytes | None = field(repr=False)

    def json(self, *, not_found: str | None = None) -> Mapping[str, Any]:
        """
        Return the object in the body of a success.

        :param not_found: what to do about a 404, where it says nothing of a model or a job.
        :raises VeniceAPIError: when the status is an error.
        :raises VeniceResponseError: when the body is no JSON object.
        """
        raise_for_status(self, not_found=not_found)
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
        status = self.head.status
        if not self.head.source:
            return VeniceResponseError(f"the answer of the private link (HTTP {status}) {problem}", status_code=status)
        shown = "a video" if self.body is None else repr(self.text)
        hint = "" if self.body is None or _parse(self.body) is not None else f"; {_foreign_hint(status)}"
        return VeniceResponseError(
            f"the answer of {self.head.source} (HTTP {status}) {problem}: {shown}{hint}", status_code=status
        )

    @property
    def text(self) -> str:
        """The beginning of the body, for a message: on one line, without the tags of HTML and without addresses."""
        return _text(self.body)


def raise_for_status(
    response: Response,
    error_class: type[VeniceAPIError] | None = None,
    *,
    about: object = "",
    not_found: str | None = None,
    **fields: Any,
) -> None:
    """
    Raise what an error status means; return for a success.

    :param error_class: the class for what is neither a rate limit nor a wish for consent.
    :param about: what was asked about, to begin the message with.
    :param not_found: what to do about a 404.
    :param fields: further arguments of ``error_class``.
    :raises VeniceAPIError: for 4xx and 5xx, with everything that the server said.
    :raises VeniceResponseError: for a redirect, which the API never sends.
    """
    status = response.head.status
    if status < 300:
        return
    if status < 400:
        raise response.unreadable(f"is a redirect{_origin(response.head.headers.get('location', ''))}")
    if not response.head.source:
        _raise_for_link(status, response.head, error_class, about=about, **fields)
    payload = _parse(response.body)
    outer: Mapping[str, Any] = payload if isinstance(payload, dict) else {}
    error = outer.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, dict) else {}
    said = _string(inner.get("message")) or _string(error) or response.text

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
    # Only the API's own code shows that nothing was accepted; a proxy knows nothing of that.
    refused = response.is_api_error and known["error_code"] in _REFUSALS
    known["may_have_acted"] = False if refused else None
    known["is_foreign"] = not response.is_api_error
    if response.is_api_error:
        text = _message(status, said, known, not_found)
    else:
        words = repr(said) if said else "without a reason"
        text = (
            f"HTTP {status} from {response.head.source}, but not from the Venice API: {words}; {_foreign_hint(status)}"
        )
    message = f"{about}: " * bool(about) + text
    if status == 429:
        raise VeniceRateLimitError(message, status, retry_after=response.head.retry_after, **known)
    if status == 409 and ("consent" in outer or known["error_code"] == "needs_consent"):
        raise _consent_error(message, status, outer, known)
    raise (error_class or VeniceAPIError)(message, status, **known, **fields)


def _raise_for_link(
    status: int, head: ResponseHead, error_class: type[VeniceAPIError] | None, *, about: object, **fields: Any
) -> NoReturn:
    """Raise what an error status of a private link means, with nothing of the answer but the status."""
    advice = _LINK_ADVICE.get(status)
    message = f"{about}: " * bool(about) + f"HTTP {status} from the private link" + (f"; {advice}" if advice else "")
    if status == 429:
        raise VeniceRateLimitError(message, status, retry_after=head.retry_after)
    raise (error_class or VeniceAPIError)(message, status, **fields)


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


def _foreign_hint(status: int) -> str:
    """Return what to do about an answer that a proxy, a CDN or another server has given."""
    if status >= 500 or status == 408:
        return "a server in front of the API answers so, mostly for a short time"
    advice = _ADVICE.get(status, "")
    if status in _FOREIGN_ADVICE:
        return advice
    check = "check the connection's Base URL, which ends in /api/v1 for Venice, and any proxy before it"
    return f"{advice}; {check}" if advice else check


def _message(status: int, said: str | None, known: Mapping[str, Any], not_found: str | None) -> str:
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
    if status == 404 and not_found:
        parts.append(not_found)
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
    text = (body or b"")[: 8 * _EXCERPT].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        text = _TAG.sub(" ", text)
    return _without_addresses(" ".join(text.split()))[:_EXCERPT]


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(r"\1//…", text)


def _origin(location: str) -> str:
    """Return where a redirect leads, without path, query and user."""
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return ""
    return f" to {parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme and parts.netloc else ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
