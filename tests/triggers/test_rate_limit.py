"""The wait for a turn to submit: one by one at the pace of the limit, and told of refusals."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest
from airflow.sdk.execution_time import context

from airflow_provider_venice.exceptions import VeniceError, VeniceRateLimitError
from airflow_provider_venice.transport import shared
from airflow_provider_venice.triggers.rate_limit import VeniceRateLimitTrigger, admission
from tests.running import run_trigger, stored


@pytest.fixture(autouse=True)
def _no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "-1")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection whose limit lets a submission through every tenth of a second."""
    value = {"conn_type": "venice", "password": "k", "host": "http://127.0.0.1:9", "extra": {"queue_limit": 19 * 60}}
    monkeypatch.setenv("AIRFLOW_CONN_PACED", json.dumps(value))
    return "paced"


def trigger(connection: str, since: float | None = None, seconds: float = 30, **arguments: Any) -> Any:
    now = time.time()
    return stored(
        VeniceRateLimitTrigger(venice_conn_id=connection, since=since or now, deadline=now + seconds, **arguments)
    )


async def end_of(trigger: VeniceRateLimitTrigger) -> tuple[float, dict[str, Any]]:
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return time.time(), events[0]


def test_many_are_let_through_at_the_pace_of_the_limit_who_waited_longest_first(connection: str) -> None:
    now = time.time()

    async def all_of_them() -> list[tuple[float, dict[str, Any]]]:
        waits = [end_of(trigger(connection, since=now - waited)) for waited in (3, 9, 1, 7, 5)]
        return await asyncio.gather(*waits)

    ends = asyncio.run(all_of_them())
    assert all(event["status"] == "success" for _, event in ends)
    at = sorted(end for end, _ in ends)
    assert all(later - earlier > 0.03 for earlier, later in itertools.pairwise(at))
    order = [round(now - event["since"]) for _, event in sorted(ends, key=lambda one: one[0])]
    assert order[1:] == sorted(order[1:], reverse=True)  # the first came when nobody else did yet


def test_one_who_comes_after_a_pause_finds_the_pace_kept(connection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"conn_type": "venice", "password": "k", "host": "http://127.0.0.1:9", "extra": {"queue_limit": 60}}
    monkeypatch.setenv("AIRFLOW_CONN_PACED", json.dumps(value))

    async def one_after_the_other() -> float:
        first, _ = await end_of(trigger(connection))
        assert shared._shared == {}  # nobody is left, and the session is closed
        second, _ = await end_of(trigger(connection))
        return second - first

    assert asyncio.run(one_after_the_other()) > 0.9


def test_a_refusal_holds_back_all_that_wait_for_the_key(connection: str) -> None:
    now = time.time()

    async def all_of_them() -> list[tuple[float, dict[str, Any]]]:
        # The refused one comes first, as the pace is told when its trigger starts.
        waits = [trigger(connection, refused_until=now + 1), *(trigger(connection) for _ in range(3))]
        return await asyncio.gather(*map(end_of, waits))

    assert all(end >= now + 1 for end, _ in asyncio.run(all_of_them()))


def test_time_runs_out(connection: str) -> None:
    event = run_trigger(trigger(connection, seconds=0.2, refused_until=time.time() + 30))
    assert event["status"] == "timeout"
    with pytest.raises(VeniceRateLimitError, match=r"no submission within .* nothing was sent") as caught:
        admission(event)
    assert caught.value.can_heal


def test_a_cancelled_one_takes_no_turn_and_leaves_nothing(connection: str) -> None:
    async def cancel() -> None:
        waiting = asyncio.create_task(end_of(trigger(connection, refused_until=time.time() + 30)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert shared._shared == {}
        (key_state,) = shared._key_states[asyncio.get_running_loop()].values()
        assert key_state.limiters["queue"].pace._in_flight == 0

    asyncio.run(cancel())


def test_a_broken_connection_is_an_event_too() -> None:
    event = run_trigger(trigger("no_such_connection"))
    assert event["status"] == "error"
    with pytest.raises(VeniceError, match="no_such_connection"):
        admission(event)


async def test_a_connection_that_is_not_read_in_time_is_no_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(conn_id: str) -> Any:
        raise TimeoutError

    # Airflow itself, whose API server does not answer.
    monkeypatch.setattr(context, "_async_get_connection", late)
    _, event = await end_of(trigger("paced"))
    assert event["status"] == "error"
    with pytest.raises(VeniceError) as caught:
        admission(event)
    assert "rate limit" not in str(caught.value)
    assert caught.value.can_heal


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}, "success"])
def test_an_unknown_event_fails_loudly(event: Any) -> None:
    with pytest.raises(VeniceError, match="unknown status"):
        admission(event)


def test_an_admission_tells_since_when_and_until_when(connection: str) -> None:
    made = trigger(connection, since=5.0)
    now = time.time()
    since, deadline, expires_at, missed = admission(run_trigger(made))
    assert (since, deadline, missed) == (5.0, made.deadline, 0)
    assert expires_at is not None
    assert 9 < expires_at - now < 15


def test_who_missed_an_admission_waits_at_its_old_place(connection: str) -> None:
    async def in_order() -> list[float]:
        now = time.time()
        _, event = await end_of(trigger(connection, since=now - 5))
        missed = admission(event)
        # All come while the key is refused, so that the place alone decides.
        later = [trigger(connection, since=now - 9, refused_until=now + 1), trigger(connection, since=now - 1)]
        again = trigger(connection, since=missed.since, missed=missed.missed + 1)
        ends = await asyncio.gather(*map(end_of, (*later, again)))
        return [round(now - event["since"]) for _, event in sorted(ends, key=lambda one: one[0])]

    assert asyncio.run(in_order()) == [9, 5, 1]


@pytest.mark.slow
def test_who_misses_admissions_gets_longer_ones_that_count_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"conn_type": "venice", "password": "k", "host": "http://127.0.0.1:9", "extra": {"queue_limit": 210}}
    monkeypatch.setenv("AIRFLOW_CONN_SLOW", json.dumps(value))

    async def one_after_the_other() -> list[tuple[float, float | None]]:
        ends = [await end_of(trigger("slow", missed=missed)) for missed in (0, 1, 2, 3, 0)]
        return [(at, admission(event).expires_at) for at, event in ends]

    ends = asyncio.run(one_after_the_other())
    assert [None if until is None else round(until - at, -1) for at, until in ends] == [10, 70, None, None, 10]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(ends)]
    spacing = 70 / 200
    assert gaps == [pytest.approx(count * spacing, abs=0.15) for count in (1, 2, 3, 3)]
