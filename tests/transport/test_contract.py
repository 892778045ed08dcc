"""What both transports promise: one answer or one error, and never a clip that is paid twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.model import GeneratedImage, VideoJob, VideoQuote
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceConsentRequired,
    VeniceRateLimitError,
    VeniceResponseError,
    VideoGenerationError,
)
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.transport.blocking import BlockingTransport
from airflow_provider_venice.transport.settings import Settings
from tests.transport.carriers import API_KEY, Carry, failure

REQUEST = VideoRequest(model="wan-2-7-text-to-video", prompt="A canal", duration=5, resolution="720p")
PRIVATE = VideoRequest(model="grok-imagine-text-to-video-private", prompt="A canal", duration=5, resolution="480p")
IMAGE = {"model": "grok-imagine-image", "prompt": "A canal", "width": 64, "height": 64, "format": "png"}


def submitted(venice: VeniceSimulator, request: VideoRequest = REQUEST) -> VideoJob:
    transport = BlockingTransport(Settings(API_KEY, venice.base_url))
    try:
        # Some minutes ago, as what is not found right after its submission is no end.
        return dataclasses.replace(transport.send(calls.queue(request.to_body())), queued_at=time.time() - 300)
    finally:
        transport.close()


#: Per endpoint of the simulator: the call, and whether its result is what it should be.
ENDPOINTS: dict[str, tuple[Callable[[VeniceSimulator], Call[Any]], Callable[[Any], bool]]] = {
    "quote": (
        lambda _: calls.quote(REQUEST.to_quote_body()),
        lambda v: v == VideoQuote(Decimal("0.35"), model=REQUEST.model, balance=v.balance),
    ),
    "queue": (lambda _: calls.queue(REQUEST.to_body()), lambda v: v.is_processing() and v.queue_id),
    "retrieve": (lambda venice: calls.retrieve(submitted(venice)), lambda v: v.is_completed() and v.metadata.file_size),
    "complete": (lambda venice: calls.delete_media(submitted(venice)), lambda v: v is True),
    "models": (lambda _: calls.list_models(), lambda v: REQUEST.model in [model.id for model in v]),
    "rate_limits": (lambda _: calls.rate_limits(), lambda v: v["apiTier"]["id"] == "paid"),
    "balance": (lambda _: calls.balance(), lambda v: v["canConsume"] is True),
    "image": (
        lambda _: calls.generate_image(IMAGE),
        lambda v: isinstance(v, GeneratedImage) and v.data.startswith(b"\x89PNG"),
    ),
    "revoke": (lambda venice: calls.delete_media(submitted(venice, PRIVATE)), lambda v: v in (True, False)),
}
PAYING = ("queue", "image")
NOTHING = Decimal(0)
PRICES = {"queue": Decimal("0.35"), "image": Decimal("0.02")}


class Bench:
    """One endpoint of a fresh simulator, and what has arrived there since."""

    def __init__(self, venice: VeniceSimulator, endpoint: str) -> None:
        make, self.good = ENDPOINTS[endpoint]
        self.venice, self.endpoint, self.call = venice, endpoint, make(venice)
        self._known, self._charged = len(venice.journal.calls(endpoint)), venice.journal.charged

    @property
    def arrived(self) -> int:
        return len(self.venice.journal.calls(self.endpoint)) - self._known

    @property
    def charged(self) -> Decimal:
        return self.venice.journal.charged - self._charged


@pytest.fixture(params=ENDPOINTS)
def bench(request: pytest.FixtureRequest, venice: VeniceSimulator) -> Bench:
    return Bench(venice, request.param)


def test_a_good_answer_is_a_value(bench: Bench, venice: VeniceSimulator, carry: Carry) -> None:
    assert bench.good(carry(venice.base_url).send(bench.call))
    assert bench.arrived == 1
    assert bench.charged == PRICES.get(bench.endpoint, NOTHING)
    key = venice.journal.calls(bench.endpoint)[-1].key
    assert (key is None) is (bench.endpoint == "revoke")


def test_a_private_submission_brings_its_link(venice: VeniceSimulator, carry: Carry) -> None:
    job = carry(venice.base_url).send(calls.queue(PRIVATE.to_body()))
    assert job.download_url.startswith("http://127.0.0.1")
    seen = carry(venice.base_url).send(calls.retrieve(job))
    assert seen.is_completed()
    assert seen.download_url == job.download_url


def test_a_running_job_tells_its_times(venice: VeniceSimulator, carry: Carry) -> None:
    venice.job_seconds = 3600
    seen = carry(venice.base_url).send(calls.retrieve(submitted(venice)))
    assert seen.is_processing()
    assert seen.average_execution_time == 15_000
    assert seen.execution_duration is not None


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 410, 413, 422])
def test_a_refusal_is_final(bench: Bench, venice: VeniceSimulator, carry: Carry, status: int) -> None:
    venice.fail(bench.endpoint, status=status, times=None, body={"error": {"message": "No", "code": "needs_consent"}})
    carrier = carry(venice.base_url)
    if bench.endpoint in ("complete", "revoke") and status in (404, 410):
        assert carrier.send(bench.call) is False
    else:
        error = failure(carrier, bench.call)
        ended = bench.endpoint == "retrieve" and status in (400, 404, 410, 422)
        assert type(error) is (
            VideoGenerationError
            if ended
            else VeniceConsentRequired
            if status == 409 and bench.endpoint != "revoke"
            else VeniceAPIError
        )
        assert error.status_code == status
        assert not error.can_heal
    assert (bench.arrived, bench.charged) == (1, NOTHING)


#: What may have been acted upon, or was: (fault, whether it was, what is raised where it is not made again).
UNSURE: dict[str, tuple[dict[str, Any], bool, type[Exception]]] = {
    "500": ({"status": 500}, False, VeniceAPIError),
    "502 after acting": ({"status": 502, "act": True}, True, VeniceAPIError),
    "503": ({"status": 503, "headers": {"retry-after": "0"}}, False, VeniceAPIError),
    "504 of a proxy": ({"status": 504, "html": True, "act": True}, True, VeniceAPIError),
    "dropped before": ({"drop_before": True}, False, VeniceConnectionError),
    "dropped after": ({"drop_after": True}, True, VeniceConnectionError),
    "hanging": ({"hang": 2}, True, VeniceConnectionError),
    "cut JSON": ({"bad_json": True}, True, VeniceResponseError),
    "HTML": ({"html": True}, False, VeniceResponseError),
    "HTML after acting": ({"html": True, "act": True}, True, VeniceResponseError),
    "redirect": ({"status": 307, "headers": {"location": "/api/v1/models"}}, False, VeniceResponseError),
    "nothing": ({"status": 200, "body": "null"}, False, VeniceResponseError),
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_costs_is_not_sent_again_and_all_else_is(
    bench: Bench, venice: VeniceSimulator, carry: Carry, name: str
) -> None:
    fault, acted, kind = UNSURE[name]
    venice.fail(bench.endpoint, **fault)
    carrier = carry(venice.base_url, read_timeout=1 if name == "hanging" else 5)
    if bench.endpoint in PAYING:
        error = failure(carrier, bench.call)
        assert type(error) is kind
        assert getattr(error, "sent", True)
        assert (bench.arrived, bench.charged) == (1, PRICES[bench.endpoint] if acted else NOTHING)
        return
    assert bench.good(carrier.send(bench.call))
    # A finished clip is media, and the answer to a revocation has no body: neither has JSON to be cut.
    unharmed = (name == "cut JSON" and bench.endpoint in ("retrieve", "revoke")) or (
        name in ("HTML", "HTML after acting", "nothing") and bench.endpoint == "revoke"
    )
    assert (bench.arrived, bench.charged) == (1 if unharmed else 2, NOTHING)


@pytest.mark.parametrize("endpoint", ["quote", "queue", "retrieve", "image"])
def test_a_rate_limit_is_waited_out_whatever_the_call(endpoint: str, venice: VeniceSimulator, carry: Carry) -> None:
    bench = Bench(venice, endpoint)
    venice.fail(endpoint, status=429, times=2, headers={"retry-after": "0"})
    assert bench.good(carry(venice.base_url).send(bench.call))
    assert (bench.arrived, bench.charged) == (3, PRICES.get(endpoint, NOTHING))


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-reset-requests": "7"}])
def test_a_rate_limit_that_takes_too_long_is_told(bench: Bench, carry: Carry, headers: dict[str, str]) -> None:
    bench.venice.fail(bench.endpoint, status=429, times=None, headers=headers)
    error = failure(carry(bench.venice.base_url, retry_max_wait=5), bench.call)
    assert isinstance(error, VeniceRateLimitError)
    assert error.retry_after == (7 if headers else 30)
    assert (bench.arrived, bench.charged) == (1, NOTHING)


@pytest.mark.parametrize("attempts", [1, 2, None])
def test_patience_has_an_end(venice: VeniceSimulator, carry: Carry, attempts: int | None) -> None:
    venice.fail("quote", status=503, times=None)
    error = failure(carry(venice.base_url), calls.quote(REQUEST.to_quote_body()), attempts=attempts)
    assert error.status_code == 503
    assert len(venice.journal.calls("quote")) == (attempts or 3)


def test_a_look_at_a_finished_job_leaves_its_media_unread(carry: Carry) -> None:
    with VeniceSimulator(
        api_key=API_KEY, speed=240, job_seconds=0, media="shared", limits=False, padding=60_000_000
    ) as venice:
        carrier, job = carry(venice.base_url), submitted(venice)
        for _ in range(3):
            seen = carrier.send(calls.retrieve(job))
            assert seen.is_completed()
            assert seen.metadata.file_size >= 60_000_000
        patience = time.monotonic() + 10
        while not all(entry.reply_lost for entry in venice.journal.polls()) and time.monotonic() < patience:
            time.sleep(0.02)
        looks = venice.journal.polls()
        assert len(looks) == 3
        assert all(entry.reply_lost and entry.bytes_delivered < entry.size for entry in looks)
        assert venice.journal.deletion_requests == []


def test_looks_are_spread_over_the_minute_and_submissions_have_their_own(venice: VeniceSimulator, carry: Carry) -> None:
    venice.fail("retrieve", status=200, body={"status": "PROCESSING"}, times=None)  # without the server's headers
    carrier = carry(venice.base_url, retrieve_limit=60)
    job = submitted(venice)
    started = time.monotonic()
    carrier.send(calls.retrieve(job))
    carrier.send(calls.queue(REQUEST.to_body()))
    assert time.monotonic() - started < 0.9
    carrier.send(calls.retrieve(job))
    # Triggers poll four times as fast while little of the minute is used.
    assert 0.25 <= time.monotonic() - started < 1.9


def test_a_rate_limit_closes_the_budget_for_the_next_call(venice: VeniceSimulator, carry: Carry) -> None:
    job = submitted(venice)
    venice.fail("retrieve", status=429, headers={"retry-after": "1"})
    carrier = carry(venice.base_url)
    assert isinstance(failure(carrier, calls.retrieve(job)), VeniceRateLimitError)
    refused_at = time.time()
    assert carrier.send(calls.retrieve(job)).is_completed()
    assert time.time() - refused_at >= 0.9


def test_an_answer_may_be_only_so_long(venice: VeniceSimulator, carry: Carry) -> None:
    call = dataclasses.replace(calls.list_models(), max_bytes=1000)
    error = failure(carry(venice.base_url), call, attempts=1)
    assert isinstance(error, VeniceResponseError)
    assert "longer than 1000 bytes" in str(error)
