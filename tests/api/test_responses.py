"""What the vendor says of an error arrives whole, in the right class, with what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_venice.api.responses import Response, ResponseHead, raise_for_status
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConsentRequired,
    VeniceError,
    VeniceRateLimitError,
    VeniceResponseError,
    VideoGenerationError,
)

NOW = 1_790_000_000.0
HTML = b"<!DOCTYPE html>\n<html><h1>Bad   gateway</h1></html>"


def response(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer, its body encoded unless it is bytes."""
    return Response(
        ResponseHead(status, headers or {}, NOW), body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def refusal(of: Response, *args: Any, **kwargs: Any) -> VeniceError:
    """Return what an answer raises."""
    with pytest.raises(VeniceError) as caught:
        raise_for_status(of, *args, **kwargs)
    return caught.value


@pytest.mark.parametrize(("body", "is_foreign"), [({"error": "It broke"}, False), (HTML, True), ({}, True)])
def test_who_has_answered_is_known(body: Any, is_foreign: bool) -> None:
    error = refusal(response(404, body))
    assert isinstance(error, VeniceAPIError)
    assert error.is_foreign is is_foreign


STATUSES = {
    # status: (class, can heal, advice)
    400: (VeniceAPIError, False, ""),
    401: (VeniceAPIError, False, "check the API key"),
    402: (VeniceAPIError, False, "top up"),
    403: (VeniceAPIError, False, "plan, the region or the key"),
    404: (VeniceAPIError, False, ""),
    409: (VeniceAPIError, False, ""),
    410: (VeniceAPIError, False, ""),
    413: (VeniceAPIError, False, "by URL"),
    422: (VeniceAPIError, False, ""),
    429: (VeniceRateLimitError, True, "wait for its reset"),
    500: (VeniceAPIError, True, ""),
    502: (VeniceAPIError, True, ""),
    503: (VeniceAPIError, True, ""),
    504: (VeniceAPIError, True, ""),
}

FORMS = {
    "string": ({"error": "It broke"}, "It broke"),
    "object": ({"error": {"message": "It broke", "code": "E1", "type": "t1"}}, "It broke"),
    "html": (HTML, "'Bad gateway'"),
    "text": (b"It broke", "It broke"),
    "other json": ([1, 2], "[1, 2]"),
    "empty": (b"", "without a reason"),
    "unread": (None, "without a reason"),
    "not utf-8": (b"\xff\xfeIt broke", "It broke"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_means_the_same_in_every_form(status: int, form: str) -> None:
    body, said = FORMS[form]
    kind, can_heal, advice = STATUSES[status]
    answer = Response(ResponseHead(status, {}, NOW), None) if body is None else response(status, body)
    error = refusal(answer)
    assert type(error) is kind
    assert isinstance(error, VeniceAPIError)
    assert error.can_heal is can_heal
    assert error.status_code == status
    assert f"HTTP {status}" in str(error)
    assert said in str(error)
    assert advice in str(error)
    coded = form == "object"
    assert (error.error_code, error.error_type) == (("E1", "t1") if coded else (None, None))
    assert error.retry_after == (30.0 if status == 429 else None)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_the_caller_chooses_the_class(status: int) -> None:
    error = refusal(response(status, {"error": "x"}), VideoGenerationError, model="m", queue_id="q")
    assert isinstance(error, VideoGenerationError)
    assert (error.model, error.queue_id, error.can_heal) == ("m", "q", False)


FIELDS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (
        {"error": "Invalid", "details": {"_errors": [], "duration": {"_errors": ["Bad", "Worse"]}}},
        {"details": {"_errors": [], "duration": {"_errors": ["Bad", "Worse"]}}},
        ["details: duration Bad; duration Worse"],
    ),
    (
        {"error": "Invalid", "details": {"_errors": ["All wrong"], "elements": {"0": {"video_url": ["Gone"]}}}},
        {},
        ["details: All wrong; elements.0.video_url Gone"],
    ),
    ({"error": "Invalid", "issues": ["a", {"path": "b"}]}, {"details": ["a", {"path": "b"}]}, ["details: a; path b"]),
    ({"error": "Invalid", "details": "prompt"}, {"details": "prompt"}, ["details: prompt"]),
    ({"error": {"message": "No", "details": ["in"]}, "details": ["out"]}, {"details": ["in"]}, ["details: in"]),
    ({"error": "No", "code": "INSUFFICIENT_BALANCE"}, {"error_code": "INSUFFICIENT_BALANCE"}, []),
    (
        {"error": "No", "suggested_prompt": "A calm canal"},
        {"suggested_prompt": "A calm canal"},
        ["suggested prompt: 'A calm canal'"],
    ),
    (
        {
            "error": {
                "message": "Rejected",
                "type": "provider_content_policy",
                "code": "POLICY",
                "recommended_model": "wan",
                "credits_refunded": True,
            }
        },
        {
            "error_type": "provider_content_policy",
            "error_code": "POLICY",
            "recommended_model": "wan",
            "credits_refunded": True,
        },
        ["Rejected", "type provider_content_policy", "the charge was refunded", "recommended model: wan"],
    ),
    ({"error": "No", "credits_refunded": False}, {"credits_refunded": False}, ["the charge was not refunded"]),
    (
        {"error": 5, "type": ["x"], "code": 7, "credits_refunded": "yes", "recommended_model": {}},
        {"error_type": None, "error_code": None, "credits_refunded": None, "recommended_model": None},
        [],
    ),
]


@pytest.mark.parametrize(("body", "fields", "words"), FIELDS)
@pytest.mark.parametrize("status", [400, 402, 422, 500])
def test_all_that_the_server_says_is_told(
    status: int, body: dict[str, Any], fields: dict[str, Any], words: list[str]
) -> None:
    error = refusal(response(status, body))
    for name, value in fields.items():
        assert getattr(error, name) == value
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(
    ("status", "body", "acted"),
    [
        (503, {"error": "The model is offline", "code": "MODEL_OFFLINE"}, False),
        (503, {"error": {"message": "The model is offline", "code": "MODEL_OFFLINE"}}, False),
        (503, {"error": "The model is at capacity", "code": "MODEL_AT_CAPACITY"}, False),
        (503, {"error": "The model is at capacity"}, True),
        (503, {"code": "MODEL_OFFLINE"}, True),
        (503, b"<html>MODEL_OFFLINE</html>", True),
        (500, {"error": "x", "code": "INFERENCE_FAILED"}, True),
        (500, {"error": "x", "code": "UNKNOWN_ERROR"}, True),
        (504, {"error": "x", "code": "REQUEST_TIMEOUT"}, True),
        (502, HTML, True),
        (504, b"", True),
        (408, {"error": "x"}, True),
        (429, {"error": "x", "code": "MODEL_OVERLOADED"}, False),
        (400, {"error": "x"}, False),
        (402, HTML, False),
        (422, {"error": "x"}, False),
    ],
)
def test_only_the_apis_own_code_says_that_nothing_was_accepted(status: int, body: Any, acted: bool) -> None:
    error = refusal(response(status, body))
    assert error.may_have_acted is acted
    assert error.can_heal is (status in (408, 429) or status >= 500)


CONSENT = {
    "error": {"code": "needs_consent", "message": "Consent is required"},
    "consent_flow": "seedance",
    "face_media_roles": ["image", "video"],
    "consent": {"policy_text": "I have the right to use this."},
}


@pytest.mark.parametrize(
    "body",
    [
        CONSENT,
        {**CONSENT, "error": "Consent is required", "code": "needs_consent"},
        {**CONSENT, "error": "Consent is required"},
    ],
)
def test_a_wish_for_consent_shows_the_policy(body: dict[str, Any]) -> None:
    error = refusal(response(409, body))
    assert isinstance(error, VeniceConsentRequired)
    assert error.policy_text == "I have the right to use this."
    assert error.face_media_roles == ("image", "video")
    assert error.consent_flow == "seedance"
    assert error.can_heal is False
    assert "Consent is required" in str(error)
    assert "I have the right to use this." in str(error)
    assert "consents=" in str(error)


@pytest.mark.parametrize("consent", [None, "x", [], {"policy_text": 5}])
def test_a_crooked_wish_for_consent_is_one_all_the_same(consent: Any) -> None:
    error = refusal(
        response(409, {"error": {"code": "needs_consent"}, "consent": consent, "face_media_roles": "image"})
    )
    assert isinstance(error, VeniceConsentRequired)
    assert (error.policy_text, error.face_media_roles) == (None, ())


RESETS: list[tuple[dict[str, str], float]] = [
    ({}, 30.0),
    ({"x-ratelimit-reset-requests": str(int(NOW) + 17)}, 17.0),
    ({"x-ratelimit-reset-requests": str(int(NOW * 1000) + 17500)}, 17.5),
    ({"x-ratelimit-reset-requests": "17"}, 17.0),
    ({"x-ratelimit-reset-requests": "0.5"}, 0.5),
    ({"x-ratelimit-reset-requests": str(int(NOW) - 5)}, 0.0),
    ({"retry-after": "12"}, 12.0),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "Mon, 21 Sep 2026 14:13:40 GMT"}, 20.0),
    ({"retry-after": "Mon, 21 Sep 2026 14:00:00 GMT"}, 0.0),
    ({"retry-after": "12", "x-ratelimit-reset-requests": "40"}, 12.0),
    ({"retry-after": "soon", "x-ratelimit-reset-requests": "40"}, 40.0),
    ({"retry-after": "soon"}, 30.0),
    ({"retry-after": "Mon, 99 Jan 99999999999 99:99:99 GMT"}, 30.0),
    ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, 30.0),
    ({"retry-after": "-5"}, 30.0),
    ({"retry-after": "nan"}, 30.0),
    ({"retry-after": "1e300"}, 30.0),
    ({"x-ratelimit-reset-requests": "tomorrow"}, 30.0),
    ({"x-ratelimit-reset-requests": str(int(NOW * 1e6))}, 30.0),
]


@pytest.mark.parametrize(("headers", "seconds"), RESETS)
def test_a_refusal_says_for_how_long(headers: dict[str, str], seconds: float) -> None:
    error = refusal(response(429, {"error": "Slow down"}, headers), VideoGenerationError, model="m", queue_id="q")
    assert isinstance(error, VeniceRateLimitError)
    assert error.retry_after == pytest.approx(seconds)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
def test_a_redirect_is_not_the_apis(status: int) -> None:
    error = refusal(response(status, HTML))
    assert isinstance(error, VeniceResponseError)
    assert error.status_code == status
    assert "check the connection's Base URL" in str(error)


@pytest.mark.parametrize(
    "body", [b"", HTML, b"[]", b"1", b'{"cut": ', b"\xff", b"[" * 100_000, b'{"x": 1e9' + b"9" * 30]
)
def test_a_success_that_is_no_object_is_not_the_apis(body: bytes) -> None:
    with pytest.raises(VeniceResponseError) as caught:
        response(200, body).json()
    assert caught.value.can_heal
    assert len(str(caught.value)) < 700


def test_what_stands_in_an_answer_is_shown_but_no_address() -> None:
    cut = b'{"model": "wan-private", "queue_id": "q-7", "download_url": "https://share.venice.ai/v1/read/s3cr3t'
    error = response(200, cut).unreadable("is cut")
    assert "q-7" in str(error)
    assert "s3cr3t" not in str(error)
    assert "s3cr3t" not in str(response(200, cut.replace(b"/", b"\\/")).unreadable("is cut"))
    assert "s3cr3t" not in str(refusal(response(502, cut)))


HEADERS: list[tuple[dict[str, str], int | None]] = [
    ({"content-length": "17"}, 17),
    ({"content-length": "17", "content-encoding": "identity"}, 17),
    ({"content-length": "17", "content-encoding": "gzip"}, None),
    ({"content-length": "9" * 5000}, None),
    ({"content-length": "٣"}, None),
    ({"content-length": "-1"}, None),
    ({"content-length": "5, 5"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "length"), HEADERS)
def test_a_length_is_that_of_the_file_or_unknown(headers: dict[str, str], length: int | None) -> None:
    assert ResponseHead(200, headers, NOW).content_length == length


@pytest.mark.parametrize(
    ("status", "content_type", "is_media"),
    [
        (200, "video/mp4", True),
        (206, "Video/MP4; codecs=avc1", True),
        (200, "video/webm", True),
        (200, "application/octet-stream", True),
        (200, "application/json", False),
        (200, "text/html", False),
        (200, "", False),
        (404, "video/mp4", False),
        (204, "video/mp4", False),
    ],
)
def test_media_is_told_by_its_head(status: int, content_type: str, is_media: bool) -> None:
    assert ResponseHead(status, {"content-type": content_type}, NOW).is_media is is_media


@pytest.mark.parametrize(
    "body",
    [
        {"error": "gone: https://h.example/v1/share/T0KEN"},
        {"error": {"message": "x"}, "details": {"u": ["at http://h.example/T0KEN"]}},
    ],
)
def test_an_address_in_the_servers_words_may_be_a_private_link_and_is_not_told(body: Any) -> None:
    message = str(refusal(response(410, body)))
    assert "T0KEN" not in message
    assert "…" in message
