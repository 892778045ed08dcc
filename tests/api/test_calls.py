"""Every endpoint: what is sent, and that any answer at all becomes a value or a ``VeniceError``."""

from __future__ import annotations

import base64
import datetime
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.model import GeneratedImage, VideoJob, VideoMetadata, VideoModel, VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.api.responses import Response, ResponseHead
from airflow_provider_venice.api.spending import Period, Spending
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceError,
    VeniceRateLimitError,
    VeniceRequestError,
    VeniceResponseError,
    VideoDownloadError,
    VideoGenerationError,
)

NOW = 1_790_000_000.0
LINK = "https://share.venice.ai/v1/share/read/s3cr3t"
JOB = VideoJob("wan", "q-7", queued_at=NOW - 60)
PRIVATE = VideoJob("wan-private", "q-8", download_url=LINK)
IDENTITY = {"model": "wan", "queue_id": "q-7"}
DELETE = "delete_media_on_completion"

CALLS: dict[str, Call[Any]] = {
    "quote": calls.quote(VideoRequest(model="wan", prompt="p", duration=5).to_quote_body()),
    "queue": calls.queue({"model": "wan", "prompt": "p"}),
    "retrieve": calls.retrieve(JOB),
    "download": calls.download(JOB),
    "link": calls.download(PRIVATE, start=10),
    "complete": calls.delete_media(JOB),
    "revoke": calls.delete_media(PRIVATE),
    "delete": calls.retrieve_and_delete(JOB),
    "models": calls.list_models(),
    "rate_limits": calls.rate_limits(),
    "balance": calls.balance(),
    "usage": calls.usage_analytics(Period(datetime.date(2026, 11, 1), datetime.date(2026, 11, 29))),
    "image": calls.generate_image({"model": "i", "prompt": "p"}),
}


def response(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return Response(ResponseHead(status, headers or {}, NOW), body)


SENT: list[tuple[str, str, str, Any, bool, str | None, bool]] = [
    ("quote", "POST", "/video/quote", {"model": "wan", "duration": "5s"}, True, None, False),
    ("queue", "POST", "/video/queue", {"model": "wan", "prompt": "p"}, False, "queue", False),
    ("retrieve", "POST", "/video/retrieve", IDENTITY, True, "retrieve", True),
    ("download", "POST", "/video/retrieve", IDENTITY, True, "retrieve", True),
    ("link", "GET", LINK, None, True, None, True),
    ("complete", "POST", "/video/complete", IDENTITY, True, None, False),
    ("revoke", "DELETE", LINK, None, True, None, False),
    ("delete", "POST", "/video/retrieve", {**IDENTITY, DELETE: True}, True, "retrieve", True),
    ("models", "GET", "/models", None, True, None, False),
    ("rate_limits", "GET", "/api_keys/rate_limits", None, True, None, False),
    ("balance", "GET", "/billing/balance", None, True, None, False),
    ("usage", "GET", "/billing/usage-analytics", None, True, None, False),
    ("image", "POST", "/image/generate", {"model": "i", "prompt": "p"}, False, None, False),
]


@pytest.mark.parametrize(("name", "method", "path", "body", "replayable", "budget", "media"), SENT)
def test_what_is_sent(
    name: str, method: str, path: str, body: Any, replayable: bool, budget: str | None, media: bool
) -> None:
    call = CALLS[name]
    assert (call.method, call.path, call.body) == (method, path, body)
    assert (call.replayable, call.budget, call.media) == (replayable, budget, media)
    assert json.loads(call.encode() or b"null") == body
    assert call.headers == ({"Range": "bytes=10-"} if name == "link" else {})
    params = {"models": {"type": "video"}, "usage": {"startDate": "2026-11-01", "endDate": "2026-11-29"}}
    assert call.params == params.get(name, {})


def test_one_call_asks_for_a_deletion_with_a_retrieve() -> None:
    assert [name for name, call in CALLS.items() if DELETE in (call.encode() or b"").decode()] == ["delete"]


def test_a_link_is_never_shown() -> None:
    for name in ("link", "revoke"):
        assert CALLS[name].is_link
        assert "s3cr3t" not in repr(CALLS[name]) + str(CALLS[name])
    assert str(CALLS["queue"]) == "POST /video/queue"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"x", datetime.date(2026, 1, 1), {(1, 2): 3}, object()])
def test_what_json_cannot_say_is_refused_before_anything_is_sent(value: Any) -> None:
    call = calls.queue({"model": "wan", "prompt": "p", "new": value})
    with pytest.raises(VeniceRequestError, match="body of POST /video/queue is not JSON"):
        call.encode()


MP4 = {"content-type": "video/mp4", "content-length": "1234"}

VALUES: list[tuple[str, Response, Any]] = [
    ("quote", response(200, {"quote": 0.35}), VideoQuote(Decimal("0.35"), model="wan")),
    ("quote", response(200, {"quote": "0.35"}), VideoQuote(Decimal("0.35"), model="wan")),
    ("quote", response(200, {"quote": 0}), VideoQuote(Decimal(0), model="wan")),
    ("queue", response(200, {"model": "wan-2", "queue_id": "q"}), VideoJob("wan-2", "q", queued_at=NOW)),
    ("queue", response(201, {"queue_id": "q", "model": 5, "download_url": ""}), VideoJob("wan", "q", queued_at=NOW)),
    (
        "queue",
        response(200, {"model": "wan", "queue_id": "q", "download_url": LINK}),
        VideoJob("wan", "q", download_url=LINK, queued_at=NOW),
    ),
    (
        "retrieve",
        response(200, {"status": "PROCESSING", "average_execution_time": 145000, "execution_duration": 5000.5}),
        VideoJob(
            "wan",
            "q-7",
            status="processing",
            queued_at=NOW - 60,
            average_execution_time=145000.0,
            execution_duration=5000.5,
        ),
    ),
    (
        "retrieve",
        response(200, {"status": "queued", "average_execution_time": None, "execution_duration": "x"}),
        VideoJob("wan", "q-7", queued_at=NOW - 60),
    ),
    (
        "retrieve",
        response(200, {"status": "COMPLETED"}),
        VideoJob("wan", "q-7", status="completed", queued_at=NOW - 60, completed_at=NOW),
    ),
    (
        "retrieve",
        response(200, None, MP4),
        VideoJob(
            "wan",
            "q-7",
            status="completed",
            queued_at=NOW - 60,
            completed_at=NOW,
            metadata=VideoMetadata(format="mp4", file_size=1234),
        ),
    ),
    ("complete", response(200, {"success": True}), True),
    ("complete", response(200, {"success": False}), False),
    ("complete", response(200, {}), False),
    ("complete", response(404, {"error": "gone"}), False),
    ("revoke", response(204, b""), True),
    ("revoke", response(200, b"<html>"), True),
    ("revoke", response(410, b""), False),
    ("revoke", response(404, {"error": "No such link."}), False),
    ("complete", response(400, {"error": "Request ID is invalid."}), None),
    ("complete", response(400, {"error": {"message": "No", "code": "REQUEST_ID_NOT_FOUND"}}), None),
    ("complete", response(400, {"error": "No", "code": "REQUEST_ID_NOT_FOUND"}), None),
    ("delete", response(200, None, {"content-type": "video/mp4"}), True),
    ("delete", response(200, {"status": "PROCESSING"}), False),
    ("delete", response(200, {"status": "COMPLETED"}), False),
    ("delete", response(404, {"error": "gone"}), False),
    ("delete", response(410, {"error": "gone"}), False),
    ("delete", response(400, {"error": "Request ID is invalid."}), False),
    ("retrieve", response(200, {"status": "running"}), VideoJob("wan", "q-7", status="processing", queued_at=NOW - 60)),
    ("models", response(200, {"data": [{"id": "wan"}, {"id": 5}, "x", {}]}), [VideoModel("wan")]),
    ("rate_limits", response(200, {"data": {"apiTier": {}}}), {"apiTier": {}}),
    ("balance", response(200, {"balances": {"usd": 0.1}}), {"balances": {"usd": Decimal("0.1")}}),
    ("image", response(200, {"images": [base64.b64encode(b"png").decode()]}), GeneratedImage(b"png", "image/webp")),
]


@pytest.mark.parametrize(("name", "answer", "value"), VALUES)
def test_an_answer_is_a_typed_value(name: str, answer: Response, value: Any) -> None:
    assert CALLS[name].read(answer) == value


CROOKED: list[tuple[str, Any, str]] = [
    ("quote", {}, "no price"),
    ("quote", {"quote": None}, "no price"),
    ("quote", {"quote": True}, "no price"),
    ("quote", {"quote": -1}, "no price"),
    ("quote", {"quote": "NaN"}, "no price"),
    ("quote", {"quote": "cheap"}, "no price"),
    ("quote", {"quote": [1]}, "no price"),
    ("queue", {"model": "wan"}, "no 'queue_id'"),
    ("queue", {"model": "wan", "queue_id": ""}, "no 'queue_id'"),
    ("queue", {"model": "wan", "queue_id": " "}, "no 'queue_id'"),
    ("queue", {"model": "wan", "queue_id": 7}, "no 'queue_id'"),
    ("queue", [], "not a JSON object"),
    ("retrieve", {}, "no known 'status'"),
    ("retrieve", {"status": "DANCING"}, "no known 'status'"),
    ("retrieve", {"status": None}, "no known 'status'"),
    ("link", {"status": "COMPLETED"}, "not a video"),
    ("models", {"data": {}}, "no list of models"),
    ("rate_limits", {"data": []}, "no 'data'"),
    ("balance", {"balances": 5}, "no 'balances'"),
    ("image", {"images": []}, "no image"),
    ("image", {"images": ["%%%"]}, "no image"),
    ("image", {"images": ["ü"]}, "unexpected form"),
]


@pytest.mark.parametrize(("name", "body", "problem"), CROOKED)
def test_an_answer_that_is_not_the_apis_is_told(name: str, body: Any, problem: str) -> None:
    with pytest.raises(VeniceResponseError, match=problem):
        CALLS[name].read(response(200, body))


def test_a_model_that_cannot_be_read_does_not_hide_the_others() -> None:
    entries = [{"id": "x", "model_spec": [1]}, {"id": 7}, None, {"id": "good"}]
    assert [model.id for model in CALLS["models"].read(response(200, {"data": entries}))] == ["good"]


ENDED = (400, 404, 410, 422)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 410, 416, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("name", ["retrieve", "download", "link"])
def test_only_what_says_that_the_job_has_ended_ends_it(name: str, status: int) -> None:
    with pytest.raises(VeniceAPIError) as caught:
        CALLS[name].read(response(status, {"error": "x"}))
    error = caught.value
    assert isinstance(error, VideoGenerationError) is (status in ENDED)
    assert isinstance(error, VeniceRateLimitError) is (status == 429)
    assert error.can_heal is (status in (408, 429) or status >= 500)
    if isinstance(error, VideoGenerationError):
        assert error.queue_id == ("q-8" if name == "link" else "q-7")


def test_a_failed_job_has_ended() -> None:
    with pytest.raises(VideoGenerationError, match="out of memory") as caught:
        CALLS["retrieve"].read(response(200, {"status": "FAILED", "error": "out of memory"}))
    assert not caught.value.can_heal


def test_a_job_that_still_runs_may_be_fetched_later() -> None:
    with pytest.raises(VideoDownloadError, match="processing") as caught:
        CALLS["download"].read(response(200, {"status": "PROCESSING"}))
    assert caught.value.can_heal


@pytest.mark.parametrize("status", ["COMPLETED", "completed"])
def test_an_ordinary_job_that_is_completed_before_its_video_is_there_may_be_fetched_later(status: str) -> None:
    with pytest.raises(VideoDownloadError, match=r"not deliver its video yet.*gave a download_url") as caught:
        CALLS["download"].read(response(200, {"status": status}))
    assert caught.value.can_heal


def test_a_failed_job_is_not_fetched_again() -> None:
    with pytest.raises(VideoGenerationError, match="out of memory"):
        CALLS["download"].read(response(200, {"status": "FAILED", "error": "out of memory"}))


def test_a_private_job_without_its_link_is_told_from_one_that_runs() -> None:
    with pytest.raises(VideoGenerationError, match="download_url came only once") as caught:
        calls.download(VideoJob("wan-private", "q-8")).read(response(200, {"status": "completed"}))
    assert not caught.value.can_heal


#: What proxies and CDNs say.
FOREIGN = [b"", b"<html>404 Not Found</html>", b"null", b'"error"', b'{"message": "Not Found"}', b"[1]"]


@pytest.mark.parametrize("body", [*FOREIGN, b'{"error": 404}', b'{"error": null}', b'{"error": "cut'])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 407, 409, 410, 413, 418, 422, 451])
@pytest.mark.parametrize("name", ["retrieve", "download", "link", "complete", "revoke", "delete"])
def test_a_refusal_that_is_not_the_apis_says_nothing_of_a_job(name: str, status: int, body: bytes) -> None:
    if name in ("link", "revoke") and status == 410:
        return  # the test below
    with pytest.raises(VeniceResponseError, match="not from the API") as caught:
        CALLS[name].read(response(status, body))
    assert caught.value.can_heal
    assert caught.value.status_code == status


@pytest.mark.parametrize("body", FOREIGN)
def test_a_link_that_is_spent_is_known_by_its_status(body: bytes) -> None:
    with pytest.raises(VideoGenerationError):
        CALLS["link"].read(response(410, body))
    assert CALLS["revoke"].read(response(410, body)) is False


@pytest.mark.parametrize("body", FOREIGN)
@pytest.mark.parametrize("status", [403, 404, 413])
def test_a_refused_submission_is_refused_whoever_says_so(status: int, body: bytes) -> None:
    with pytest.raises(VeniceAPIError) as caught:
        CALLS["queue"].read(response(status, body))
    assert not caught.value.may_have_acted
    assert not caught.value.can_heal


def test_a_payment_that_is_required_is_the_apis_in_its_other_form_too() -> None:
    with pytest.raises(VeniceAPIError) as caught:
        CALLS["retrieve"].read(response(402, {"x402Version": 2, "accepts": []}))
    assert not caught.value.can_heal


@pytest.mark.parametrize(
    ("age", "heals"), [(0, True), (59, True), (-5, True), (61, False), (3600, False), (None, False)]
)
@pytest.mark.parametrize("make", [calls.retrieve, calls.download])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "Media could not be found."}),
        (400, {"error": "Request ID is invalid."}),
        (400, {"error": "Unknown.", "code": "REQUEST_ID_NOT_FOUND"}),
    ],
)
def test_a_job_that_was_just_submitted_may_not_be_known_everywhere(
    make: Any, status: int, body: Any, age: float | None, heals: bool
) -> None:
    job = VideoJob("wan", "q-7", queued_at=None if age is None else NOW - age)
    with pytest.raises(VeniceError) as caught:
        make(job).read(response(status, body))
    assert caught.value.can_heal is heals
    assert isinstance(caught.value, VideoGenerationError) is not heals
    with pytest.raises(VideoGenerationError):
        make(job).read(response(422, {"error": "policy"}))
    with pytest.raises(VideoGenerationError):
        make(job).read(response(400, {"error": "Video generation failed"}))


def test_a_submission_without_its_id_does_not_show_the_link() -> None:
    with pytest.raises(VeniceResponseError) as caught:
        CALLS["queue"].read(response(200, {"model": "wan-private", "download_url": LINK}))
    assert "s3cr3t" not in str(caught.value)
    assert "wan-private" in str(caught.value)


@pytest.mark.parametrize(
    "number", ["1e400", "1e99999999999999999999", "9" * 400, "NaN", "Infinity", "-1", "true", '"x"']
)
def test_a_run_time_that_is_none_is_unknown(number: str) -> None:
    body = f'{{"status": "PROCESSING", "average_execution_time": {number}, "execution_duration": {number}}}'
    try:
        job = CALLS["retrieve"].read(response(200, body.encode()))
    except VeniceResponseError:
        assert number == "1e99999999999999999999"
        return
    assert (job.average_execution_time, job.execution_duration, job.progress) == (None, None, None)


TYPES: dict[str, type | tuple[type, ...]] = {
    "quote": VideoQuote,
    "queue": VideoJob,
    "retrieve": VideoJob,
    "complete": (bool, type(None)),
    "delete": bool,
    "revoke": bool,
    "models": list,
    "rate_limits": dict,
    "balance": dict,
    "usage": Spending,
    "image": GeneratedImage,
}

words = st.sampled_from(
    [
        *("status", "queue_id", "model", "download_url", "quote", "data", "balances", "images", "error", "message"),
        *(
            "details",
            "issues",
            "_errors",
            "code",
            "type",
            "consent",
            "policy_text",
            "face_media_roles",
            "id",
            "success",
        ),
        *("model_spec", "constraints", "durations", "average_execution_time", "execution_duration", "needs_consent"),
        *("PROCESSING", "COMPLETED", "FAILED", "QUEUED", "0.35", "NaN", "1e999", "", " ", "x", "\ud800", "ü"),
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
bodies = st.one_of(
    st.none(),
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([100, 900, 2000, 100_000]).map(lambda n: b'{"error":"x","details":' + b"[" * n + b"]" * n + b"}"),
    st.just(b'{"quote": 1e99999999999999999999, "error": "x"}'),
)
texts = st.text("0123456789 :-+.,eGMTOctMonnaif/*;\x00é٣", max_size=40) | st.just("9" * 5000) | words
headers = st.dictionaries(
    st.sampled_from(
        ["retry-after", "content-length", "content-type", "content-range", "content-encoding"]
        + [f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset")]
    ),
    texts | st.sampled_from(["video/mp4", "application/json", "Mon, 21 Sep 2026 14:13:40 GMT"]),
    max_size=4,
)
statuses = st.sampled_from([100, 200, 204, 206, 302, 400, 404, 409, 410, 416, 422, 429, 500, 503, 599, 999])


@pytest.mark.parametrize("name", CALLS)
@given(status=statuses, headers=headers, body=bodies)
@example(status=429, headers={"retry-after": "Mon, 99 Jan 99999999999 99:99:99 GMT"}, body=b"")
@example(status=200, headers={"content-length": "9" * 5000}, body=None)
@example(status=409, headers={}, body=b'{"error": {"code": "needs_consent"}, "consent": []}')
def test_any_answer_at_all_becomes_a_value_or_our_error(
    name: str, status: int, headers: dict[str, str], body: bytes | None
) -> None:
    if body is None:  # what a transport leaves unread is the media of a success
        status, headers = 200, {**headers, "content-type": "video/mp4"}
    try:
        value = CALLS[name].read(Response(ResponseHead(status, headers, NOW), body))
    except VeniceError as error:
        told = str(error)
    else:
        told = repr(value)
        assert isinstance(value, TYPES[name])
        assert status < 300 or (name in ("complete", "revoke", "delete") and status in (404, 410))
        if isinstance(value, VideoJob):
            assert VideoJob.of(json.loads(json.dumps(value.to_dict()))) == value
    assert told
    assert "s3cr3t" not in told


queue_ids = st.sampled_from(["q-7", " q ", "\ud800", "ü"])
balances = st.sampled_from(
    ["1e999", "NaN", "sNaN", "-", "-1", "", "9" * 10_000, "1e99999999999999999999", "Infinity", "12.5"]
)
odd_links: st.SearchStrategy[Any] = st.sampled_from(
    ["", " ", "http://[::1", "fernet:x", "/v1/share/read/x", "ftp://x/y", "//", 5, {}, [LINK], None, "\ud800", LINK]
)


@given(
    queue_id=queue_ids,
    balance=balances | st.text(max_size=20),
    model=values,
    link=odd_links | values,
    extra=st.dictionaries(st.text(max_size=5).map("x-{}".format), values, max_size=3),
    number=st.sampled_from(["1", "1e99999999999999999999", "9" * 5000, "NaN", "-Infinity", "-" + "9" * 5000]),
)
def test_nothing_but_a_missing_id_loses_a_job_that_was_paid_for(
    queue_id: str, balance: str, model: Any, link: Any, extra: dict[str, Any], number: str
) -> None:
    payload = {**extra, "queue_id": queue_id, "model": model, "download_url": link}
    body = (json.dumps(payload)[:-1] + f', "number": {number}}}').encode()
    job = CALLS["queue"].read(response(200, body, {"x-venice-balance-usd": balance}))
    assert job.queue_id == queue_id
    assert job.model == (model if isinstance(model, str) and model.strip() else "wan")
    assert job.download_url in (None, link)
    assert VideoJob.of(json.loads(json.dumps(job.to_dict(), allow_nan=False))) == job
