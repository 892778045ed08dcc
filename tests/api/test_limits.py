"""A minute's budget with a virtual clock: never overdrawn, whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.api.limits import RateBudget, RateLimit, backoff, read_rate_limit, retry_after

NOW = 1_790_000_000.0
UNKNOWN = RateLimit(None, None, None)

READ: list[tuple[dict[str, str], RateLimit]] = [
    ({}, UNKNOWN),
    (
        {
            "x-ratelimit-limit-requests": "40",
            "x-ratelimit-remaining-requests": "39",
            "x-ratelimit-reset-requests": "1790000030",
        },
        RateLimit(40, 39, NOW + 30),
    ),
    ({"x-ratelimit-reset-requests": "1790000030000"}, RateLimit(None, None, NOW + 30)),
    ({"x-ratelimit-reset-requests": "30"}, RateLimit(None, None, NOW + 30)),
    ({"x-ratelimit-reset-requests": "0"}, RateLimit(None, None, NOW)),
    ({"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "-1"}, UNKNOWN),
    ({"x-ratelimit-limit-requests": "nan", "x-ratelimit-reset-requests": "inf"}, UNKNOWN),
    ({"x-ratelimit-remaining-requests": "0"}, RateLimit(None, 0, None)),
]


@pytest.mark.parametrize(("headers", "limit"), READ)
def test_the_headers_are_read_in_all_their_forms(headers: dict[str, str], limit: RateLimit) -> None:
    assert read_rate_limit(headers, NOW) == limit


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-reset-requests"]),
        st.text("0123456789 :-+.,eGMTOctMonnaif", max_size=40),
    )
)
def test_a_refusal_always_has_an_end(headers: dict[str, str]) -> None:
    assert 0.0 <= retry_after(headers, NOW) < 1e15


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(1, 600))
def test_failures_space_their_repetition(failures: int, chance: float, longest: float) -> None:
    assert 0.0 <= backoff(failures, longest=longest, chance=chance) <= min(longest, 2.0 ** min(failures, 30))


@given(st.floats(0, 3600), st.floats(0, 1))
def test_a_wait_that_the_server_named_is_kept_and_a_little_spread(named: float, chance: float) -> None:
    wait = backoff(1, longest=1, chance=chance, named=named)
    assert named <= wait <= named + max(1.0, named / 10)


def reserve(budget: RateBudget, count: int, now: float = NOW) -> list[float]:
    return [budget.reserve(now) - NOW for _ in range(count)]


def test_the_minute_is_spent_at_once_and_then_awaited() -> None:
    assert reserve(RateBudget(3), 7) == [0, 0, 0, 60, 60, 60, 120]


def test_a_slot_opens_a_minute_after_each_request() -> None:
    budget = RateBudget(2)
    assert reserve(budget, 1, NOW) + reserve(budget, 1, NOW + 50) == [0, 50]
    assert reserve(budget, 3, NOW + 55) == [60, 110, 120]
    assert reserve(budget, 1, NOW + 1000) == [1000]


def test_a_slot_that_is_given_back_is_used_by_the_next() -> None:
    budget = RateBudget(2)
    slots = reserve(budget, 3)
    budget.give_back(NOW + slots[-1])
    assert reserve(budget, 1) == [60]
    budget.give_back(12345.0)
    assert reserve(budget, 1) == [60]
    assert reserve(budget, 1) == [120]


def test_a_refusal_closes_for_the_time_it_names() -> None:
    budget = RateBudget(2)
    budget.observe(UNKNOWN, 30.0, NOW)
    assert reserve(budget, 3) == [30, 30, 90]


def test_a_refusal_for_a_day_is_the_callers_to_tell() -> None:
    budget = RateBudget(2)
    budget.observe(UNKNOWN, 86400.0, NOW)
    assert reserve(budget, 1) == [60]


def test_a_shorter_refusal_does_not_open_what_a_longer_closed() -> None:
    budget = RateBudget(2)
    budget.observe(UNKNOWN, 30.0, NOW)
    budget.observe(UNKNOWN, 5.0, NOW)
    assert reserve(budget, 1) == [30]


@pytest.mark.parametrize(
    ("limits", "slot"),
    [
        (RateLimit(2, 0, NOW + 17), 17),
        (RateLimit(2, 0, NOW - 17), 0),
        (RateLimit(2, 0, NOW + 86400), 60),
        (RateLimit(2, 0, None), 0),
        (RateLimit(2, 1, NOW + 17), 0),
        (RateLimit(2, None, NOW + 17), 0),
    ],
)
def test_a_budget_that_others_used_up_waits_for_the_reset(limits: RateLimit, slot: float) -> None:
    budget = RateBudget(2)
    budget.observe(limits, None, NOW)
    assert reserve(budget, 1) == [slot]


@pytest.mark.parametrize(("told", "slots"), [(1, [60, 120]), (3, [0, 0, 60]), (0, [0, 60]), (None, [0, 60])])
def test_the_servers_limit_goes_before_the_configured_one(told: int | None, slots: list[float]) -> None:
    budget = RateBudget(2)
    budget.reserve(NOW)
    budget.observe(RateLimit(told, 5, NOW + 60), None, NOW)
    assert reserve(budget, len(slots)) == slots


steps = st.lists(
    st.tuples(st.sampled_from(["reserve"] * 6 + ["wait", "give back", "refuse"]), st.integers(0, 70)), max_size=120
)


@given(limit=st.integers(1, 7), steps=steps)
def test_no_minute_ever_sees_more_than_the_limit(limit: int, steps: list[tuple[str, int]]) -> None:
    budget, now = RateBudget(limit), NOW
    used: list[float] = []
    closed_until = 0.0
    for step, number in steps:
        if step == "reserve":
            slot = budget.reserve(now)
            assert slot >= max([now, closed_until, *used])
            used.append(slot)
        elif step == "wait":
            now += number
        elif step == "give back":
            waiting = [slot for slot in used if slot > now]
            if waiting:
                slot = waiting[number % len(waiting)]
                used.remove(slot)
                budget.give_back(slot)
        else:
            budget.observe(UNKNOWN, min(number, 60.0), now)
            closed_until = max(closed_until, now + min(number, 60.0))
    assert all(later - earlier >= 60 for earlier, later in zip(used, used[limit:], strict=False))


def test_a_full_budget_is_used_to_the_full() -> None:
    budget = RateBudget(40)
    slots = [budget.reserve(NOW) - NOW for _ in range(400)]
    assert slots[-1] == 9 * 60
