"""What the vendor answers, as values; the shapes are those of its OpenAPI document."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.simulator.faults import untagged
from airflow_provider_venice.simulator.issues import Issue, details_of

if TYPE_CHECKING:
    from airflow_provider_venice.simulator.jobs import Job
    from airflow_provider_venice.simulator.media import Clip


@dataclass
class Reply:
    """
    One answer before it is sent.

    :param status: HTTP status.
    :param json: the body, when it is JSON.
    :param content: the body, when it is not.
    :param content_type: MIME type of ``content``.
    :param headers: further headers.
    :param clip: the media to stream, when that is the body.
    :param job: the job whose media ``clip`` is.
    :param start: first byte of the clip to send.
    :param stop: byte after the last one to send.
    """

    status: int = 200
    json: Any = None
    content: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    clip: Clip | None = None
    job: Job | None = None
    start: int = 0
    stop: int = 0


def error(status: int, message: str, **beside: Any) -> Reply:
    """Return the ``StandardError`` shape, with ``code`` or the like beside the message."""
    return Reply(status, json={"error": message, **beside})


def invalid(issues: Sequence[Issue]) -> Reply:
    """Return the ``DetailedError`` shape for wrong fields."""
    listed = [issue.to_dict() for issue in issues]
    return Reply(400, json={"error": "Invalid request parameters", "details": details_of(issues), "issues": listed})


def not_json(problem: str) -> Reply:
    """The body is no JSON object."""
    return invalid([Issue((), problem, "invalid_type")])


def model_unknown(name: str, known: Iterable[str]) -> Reply:
    """There is no such model."""
    near = difflib.get_close_matches(name, sorted(known), n=3)
    suggestion = f". Did you mean: {', '.join(near)}?" if near else ""
    return error(404, f"Specified model not found: {name}{suggestion}", code="MODEL_NOT_FOUND")


def path_unknown(method: str, path: str) -> Reply:
    """There is no such endpoint."""
    return error(404, f"Not found: {method} {path}")


def admin_only() -> Reply:
    """The key is a good one, but not of the kind that the endpoint asks for."""
    return error(401, "Admin API key required")


def usage_retired() -> Reply:
    """``/billing/usage`` has ended; the answer names what follows it."""
    message = (
        "GET /billing/usage has ended. Use GET /billing/usage-history: pageSize and nextCursor replace page and "
        "limit, startTimestamp and endTimestamp replace startDate and endDate."
    )
    reply = error(410, message)
    reply.headers = {
        "Deprecation": "@1783555200",
        "Sunset": "Wed, 16 Sep 2026 00:00:00 GMT",
        "Link": '</api/v1/billing/usage-history>; rel="successor-version"',
    }
    return reply


def unauthorized() -> Reply:
    """The key is missing or wrong."""
    return error(401, "Authentication failed")


def too_large() -> Reply:
    """The body is above the vendor's 35 MB."""
    return error(
        413, "The request payload is too large. Please reduce the size of your request.", code="PAYLOAD_TOO_LARGE"
    )


def insufficient_balance() -> Reply:
    """The balance does not cover the price."""
    message = (
        "Insufficient USD or Diem balance to complete request. Visit https://venice.ai/settings/api to add credits."
    )
    return error(402, message, code="INSUFFICIENT_BALANCE")


def key_limit_reached() -> Reply:
    """The account has the money, and the key may not spend it."""
    return error(
        402,
        "API key USD spend limit exceeded. Your account may still have USD balance, but this API key has reached its "
        "configured USD spending limit.",
    )


def request_unknown() -> Reply:
    """``/video/complete`` knows of no such media; a private job's is deleted through its link."""
    return error(400, "Request ID is invalid.", code="REQUEST_ID_NOT_FOUND")


def model_offline() -> Reply:
    """The model takes no requests at present; nothing was charged, although this is a 5xx."""
    return error(503, "The model is temporarily offline. Please try again later.", code="MODEL_OFFLINE")


def media_gone() -> Reply:
    """The media never was, has expired, or was deleted."""
    return error(404, "Media could not be found. Request may be invalid, expired, or deleted.")


def link_gone() -> Reply:
    """The private link is spent, expired or revoked."""
    return error(410, "This link has expired or was revoked.")


def rate_limited() -> Reply:
    """The minute's requests are used up."""
    return error(429, "Rate limit exceeded")


def blocked(most: int, seconds: float) -> Reply:
    """
    Too many failed requests: everything is refused for a while.

    :param most: failures that are allowed.
    :param seconds: how long the block lasts, in vendor seconds.
    """
    message = (
        f"Too many failed attempts (> {most}) resulting in a non-success status code. "
        f"Please wait {seconds:.0f}s and try again."
    )
    return error(429, message)


def prompt_refused(prompt: str) -> Reply:
    """The content policy at submission; nothing was charged."""
    suggestion = untagged(prompt) or "A calm canal in Venice at sunrise."
    return error(
        422, "Your prompt violates the content policy of Venice.ai or the model provider", suggested_prompt=suggestion
    )


def provider_refused(recommended_model: str | None) -> Reply:
    """The provider's content policy during generation; the charge was returned."""
    message = "The selected model provider rejected this request due to its content policies."
    problem: dict[str, Any] = {
        "message": f"{message} Credits have been refunded.",
        "type": "provider_content_policy",
        "credits_refunded": True,
    }
    if recommended_model is not None:
        problem["message"] += f" Try using {recommended_model} instead."
        problem["recommended_model"] = recommended_model
    return Reply(422, json={"error": problem})


def needs_consent(roles: list[str]) -> Reply:
    """A person has to accept the provider's policy first; nothing was charged."""
    return Reply(
        409,
        json={
            "error": {
                "code": "needs_consent",
                "message": "Seedance consent is required for this request.",
            },
            "consent_flow": "seedance",
            "face_media_roles": roles,
            "consent": {
                "consent_version": "v2.0",
                "policy_text": "I accept the provider's terms and privacy policy, I have the legal right to use "
                "the submitted media, and I acknowledge that it may be screened before processing.",
            },
            "docs_url": "https://docs.venice.ai/guides/media/seedance-face-consent",
        },
    )
