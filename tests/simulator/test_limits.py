"""Rate limits, the failure block, and the headers that announce them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import Client, eventually

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))


@contextmanager
def running(**settings: Any) -> Iterator[Client]:
    with VeniceSimulator(media="shared", **settings) as venice:
        client = Client(venice)
        with client.session:
            yield client


def test_the_minute_has_forty_queues_and_one_hundred_and_twenty_retrieves(client: Client) -> None:
    answers = [client.queue() for _ in range(41)]
    assert [answer.status_code for answer in answers] == [200] * 40 + [429]
    assert [int(answer.headers[REMAINING]) for answer in answers] == [*range(39, -1, -1), 0]
    assert {answer.headers[LIMIT] for answer in answers} == {"40"}
    polls = [client.retrieve(answers[0].json()) for _ in range(121)]
    assert [poll.status_code for poll in polls] == [200] * 120 + [429]
    assert polls[0].headers[LIMIT] == "120"
    journal = client.venice.journal
    assert len(journal.charges) == 40
    assert [entry.endpoint for entry in journal.refusals] == ["queue", "retrieve"]
    assert not journal.blocks


def test_a_window_ends_when_its_header_says_so() -> None:
    with running(speed=60, resets="ms") as client:
        for _ in range(40):
            refusal = client.queue()
        while refusal.status_code != 429:
            refusal = client.queue()
        moment = int(refusal.headers[RESET]) / 1000
        assert 0 < moment - time.time() <= 1.001
        time.sleep(max(0.0, moment - time.time()) + 0.001)
        assert client.queue().status_code == 200


@pytest.mark.parametrize(("resets", "digits"), [("s", 10), ("ms", 13), ("delta", 2), ("none", None)])
def test_the_reset_is_written_as_clients_have_met_it(resets: Any, digits: int | None) -> None:
    with running(resets=resets) as client:
        text = client.queue().headers.get(RESET)
    if text is None:
        assert digits is None
        return
    assert len(text) == digits
    seconds = {"s": int(text) - time.time(), "ms": int(text) / 1000 - time.time(), "delta": int(text)}[resets]
    assert 1 <= seconds <= 61


@pytest.mark.slow
def test_a_sliding_minute_counts_the_requests_of_the_last_minute() -> None:
    with running(speed=10, window="sliding", resets="ms") as client:
        first = client.queue()
        time.sleep(1)
        answers = [client.queue() for _ in range(40)]
        assert [answer.status_code for answer in answers] == [200] * 39 + [429]
        assert [int(answer.headers[REMAINING]) for answer in answers] == [*range(38, -1, -1), 0]
        # The oldest is no longer counted: room for one, not for forty.
        assert int(answers[-1].headers[RESET]) == int(first.headers[RESET])
        time.sleep(max(0.0, int(first.headers[RESET]) / 1000 - time.time()) + 0.005)
        again = [client.queue() for _ in range(2)]
        assert [answer.status_code for answer in again] == [200, 429]
        assert int(again[0].headers[RESET]) > int(first.headers[RESET])


def test_a_token_bucket_gives_one_request_back_at_a_time() -> None:
    with running(speed=2, window="bucket", resets="ms") as client:
        answers = [client.queue() for _ in range(40)]
        assert {answer.status_code for answer in answers} == {200}
        while (refusal := client.queue()).status_code != 429:
            pass
        # All forty are back after a minute, which is half a minute here; the next one after a fortieth of it.
        assert 28 < int(refusal.headers[RESET]) / 1000 - time.time() < 31
        time.sleep(0.75 + 0.05)
        again = [client.queue() for _ in range(2)]
        assert [answer.status_code for answer in again] == [200, 429]


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window must be one of fixed, sliding, bucket, not 'leaky'"):
        VeniceSimulator(window="leaky")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="resets must be one of ms, s, delta, none, not 'unix'"):
        VeniceSimulator(resets="unix")  # type: ignore[arg-type]


def test_too_many_failures_block_everything_for_a_while() -> None:
    with running(speed=30) as client:
        statuses = [client.queue(duration="7s").status_code for _ in range(21)]
        assert statuses == [400] * 21
        blocked = [client.get("models"), client.queue(), client.get("billing/balance")]
        assert [answer.status_code for answer in blocked] == [429] * 3
        assert not any(name.lower().startswith("x-ratelimit") for answer in blocked for name in answer.headers)
        assert not any("x-venice-balance-usd" in answer.headers for answer in blocked)
        assert len(client.venice.journal.blocks) == 3
        assert client.venice.journal.refusals == client.venice.journal.blocks
        assert eventually(lambda: client.get("models").status_code == 200), "the block never ended"


def test_failures_that_are_far_apart_do_not_block() -> None:
    with running(speed=300) as client:
        for _ in range(3):
            for _ in range(15):
                assert client.get("models?type=poem").status_code == 400
            time.sleep(0.11)
        assert not client.venice.journal.blocks


def test_the_block_is_per_key(client: Client) -> None:
    for _ in range(25):
        client.get("billing/balance", headers={"Authorization": "Bearer wrong"})
    assert client.get("models", headers={"Authorization": "Bearer wrong"}).status_code == 429
    assert client.get("models").status_code == 200


def test_limits_can_be_switched_off() -> None:
    with running(limits=False) as client:
        for _ in range(45):
            answer = client.queue()
        assert answer.status_code == 200
        assert RESET not in answer.headers
        for _ in range(30):
            assert client.queue(duration="7s").status_code == 400


def test_reset_forgets_the_limits(client: Client) -> None:
    for _ in range(41):
        client.queue()
    client.venice.reset()
    assert client.queue().status_code == 200
