"""A minute's budget with a virtual clock: never overdrawn, whatever comes."""

from __future__ import annotations

import email.utils
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.api.limits import Pace, RateLimit, backoff, read_rate_limit, retry_after, server_time
from airflow_provider_venice.api.responses import ResponseHead
from airflow_provider_venice.simulator.limits import WINDOWS

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


@pytest.mark.parametrize("ours_is_off", [-3600.0, 3600.0])
def test_times_of_the_server_are_on_its_own_clock(ours_is_off: float) -> None:
    dates = {"date": email.utils.formatdate(NOW, usegmt=True)}
    for named in (
        {"retry-after": email.utils.formatdate(NOW + 20, usegmt=True)},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": str(NOW + 20)},
    ):
        head = ResponseHead(429, {**dates, **named}, received_at=NOW + ours_is_off)
        limits, refused_for, _ = head.limits(1000.0)
        assert refused_for == 20
        assert limits.resets_at in (None, 1020)
        pace = Pace(40)
        pace.observe(limits, refused_for, 1000.0)
        assert pace.next_at(1000.0) == 1020


@pytest.mark.parametrize("date", ["", "yesterday", email.utils.formatdate(NOW - 4)])
def test_a_date_that_says_nothing_changes_nothing(date: str) -> None:
    assert server_time({"date": date}, NOW) == NOW


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


def sent(pace: Pace, count: int, now: float = NOW) -> list[float]:
    """Return when so many requests go that want to go at ``now``, in seconds from the start."""
    slots = []
    for _ in range(count):
        now = pace.next_at(now)
        pace.acquire(now)
        pace.release()
        slots.append(round(now - NOW, 6))
    return slots


def test_requests_are_spread_over_the_minute() -> None:
    assert sent(Pace(3), 4) == [0, 20, 40, 60]
    assert sent(Pace(40), 3) == pytest.approx([0, 60 / 38, 120 / 38])  # two are left to others


def test_who_waited_need_not_wait_again() -> None:
    pace = Pace(2)
    assert sent(pace, 1) + sent(pace, 2, NOW + 100) == [0, 100, 130]


def test_requests_go_faster_while_little_of_the_window_is_used() -> None:
    pace = Pace(40, burst=4)
    slots = sent(pace, 39)
    assert slots[1] == pytest.approx(60 / 38 * (1 / 4 + 3 / 4 / 38), abs=1e-5)
    assert slots[37] < 45
    assert slots[38] == pytest.approx(60)  # never more than the limit in a minute, less two that are left to others
    assert pace.usage(NOW + 60) == pytest.approx(1)


def test_a_fixed_window_that_began_anew_is_not_full_at_once() -> None:
    pace = Pace(120)
    for used, at in ((1, 0.0), (90, 50.0), (1, 60.5)):
        pace.observe(RateLimit(120, 120 - used, NOW + (60 if at < 60 else 120.5)), None, NOW + at)
    assert pace.usage(NOW + 60.5) == pytest.approx((1 + 90) / 114, rel=0.02)
    assert pace.usage(NOW + 90.5) == pytest.approx((1 + 45) / 114, rel=0.02)


@pytest.mark.parametrize("resets_in", [6, 0.05], ids=["window", "token bucket"])
def test_a_server_whose_window_is_shorter_than_documented_is_believed(resets_in: float) -> None:
    pace = Pace(120)
    pace.observe(RateLimit(120, 119, NOW + resets_in), None, NOW)
    assert sent(pace, 2, NOW) == pytest.approx([0, 6 / 114], abs=1e-5)


def test_after_a_reset_one_request_asks_what_is_left() -> None:
    pace = Pace(120)
    pace.observe(RateLimit(120, 2, NOW + 10), None, NOW)
    assert pace.next_at(NOW) == NOW + 10
    pace.acquire(NOW + 10)
    assert pace.next_at(NOW + 11) > NOW + 11  # its answer is still to come
    pace.release()
    pace.observe(RateLimit(120, 119, NOW + 70), None, NOW + 11)
    assert pace.next_at(NOW + 11) == NOW + 11


def test_a_token_bucket_is_not_waited_for_until_it_is_full() -> None:
    pace = Pace(120)
    for used in range(1, 116):
        pace.observe(RateLimit(120, 120 - used, NOW + used / 2), None, NOW + used / 100)
    assert pace.next_at(NOW + 2) - NOW == pytest.approx(1.15 + 1)  # five are left, and two more are wanted


@pytest.mark.parametrize("kind", WINDOWS)
def test_no_kind_of_window_is_overdrawn(kind: str) -> None:
    window, pace, now, refused = WINDOWS[kind](120, 60.0), Pace(120, burst=4), NOW, 0
    for _ in range(1000):
        now = pace.next_at(now)
        pace.acquire(now)
        refused += not window.take(now)
        pace.release()
        pace.observe(RateLimit(120, window.remaining(), window.resets_at), None, now)
    assert refused == 0
    assert (now - NOW) / 1000 == pytest.approx(60 / 114, rel=0.1)


def test_without_spreading_the_window_is_used_as_requests_come() -> None:
    pace = Pace(40, burst=math.inf)
    pace.observe(RateLimit(40, 39, NOW + 60), None, NOW)
    assert sent(pace, 30) == [0] * 30
    pace.observe(RateLimit(40, 2, NOW + 60), None, NOW)
    assert pace.next_at(NOW) == NOW + 60  # the last two are left to others


def test_what_is_in_flight_is_spent() -> None:
    pace = Pace(20)
    pace.observe(RateLimit(20, 3, NOW + 40), None, NOW)
    for _ in range(2):
        pace.acquire(NOW)
    assert pace.next_at(NOW) == NOW + 40
    pace.release()
    assert pace.next_at(NOW + 30) == NOW + 30


def test_a_budget_that_others_used_up_waits_for_the_reset() -> None:
    pace = Pace(120)
    pace.observe(RateLimit(120, 0, NOW + 17), None, NOW)
    assert sent(pace, 3) == pytest.approx([17, 17 + 60 / 114, 17 + 120 / 114])


@pytest.mark.parametrize(
    "limits", [UNKNOWN, RateLimit(2, None, NOW + 17), RateLimit(2, 1, None), RateLimit(2, 0, NOW - 17)]
)
def test_headers_that_tell_nothing_change_nothing(limits: RateLimit) -> None:
    pace = Pace(2)
    pace.observe(limits, None, NOW)
    assert sent(pace, 3) == [0, 30, 60]


@pytest.mark.parametrize(("refused_for", "opens"), [(30.0, 30), (86400.0, 60)])
def test_a_refusal_closes_for_the_time_it_names_but_not_for_a_day(refused_for: float, opens: float) -> None:
    pace = Pace(2)
    pace.observe(UNKNOWN, refused_for, NOW)
    pace.observe(UNKNOWN, 5.0, NOW)
    assert sent(pace, 2) == [opens, opens + 30]


def test_the_servers_limit_goes_before_the_configured_one() -> None:
    pace = Pace(2)
    pace.observe(RateLimit(60, None, None), None, NOW)
    assert sent(pace, 3) == pytest.approx([0, 60 / 57, 120 / 57])


def test_failures_are_few_enough_not_to_bring_the_block() -> None:
    pace, now, failures = Pace(120), NOW, []
    for _ in range(100):
        now = pace.next_at(now)
        pace.acquire(now)
        pace.release()
        pace.observe(UNKNOWN, None, now, failed=True)
        failures.append(now)
    assert all(later - earlier >= 30 for earlier, later in zip(failures, failures[10:], strict=False))


class Server:
    """Fixed windows that begin with the first request, as the simulator has them."""

    def __init__(self, limit: int, window: float) -> None:
        self.limit, self.window = limit, window
        self.begun, self.used, self.windows, self.refused = float("-inf"), 0, 0, 0

    def ask(self, now: float) -> RateLimit:
        if now >= self.begun + self.window:
            self.begun, self.used, self.windows = now, 0, self.windows + 1
        self.used += 1
        self.refused += self.used > self.limit
        return RateLimit(self.limit, max(0, self.limit - self.used), self.begun + self.window)


@given(
    limit=st.integers(20, 200),
    configured=st.integers(1, 400),
    window=st.sampled_from([6.0, 60.0]),
    others=st.lists(st.floats(0, 200), max_size=50),
    clients=st.integers(1, 4),
)
def test_who_shares_a_key_without_knowing_of_each_other_is_not_refused(
    limit: int, configured: int, window: float, others: list[float], clients: int
) -> None:
    server, paces = Server(limit, window), [Pace(configured) for _ in range(clients)]
    due = [(NOW + number / 7, number) for number in range(clients)]
    foreign = sorted(NOW + at for at in others)[: limit // 20]
    for _ in range(3 * limit * clients):
        now, number = min(due)
        due.remove((now, number))
        while foreign and foreign[0] <= now:
            server.ask(foreign.pop(0))
        pace = paces[number]
        slot = pace.next_at(now)
        if slot <= now:
            pace.acquire(now)
            told = server.ask(now)
            pace.release()
            pace.observe(told, None, now)
        due.append((slot, number))
    # Each client but one may be surprised once a window, when it believes an answer that is older than the last slot.
    assert server.refused <= (clients - 1) * server.windows


def test_requests_of_others_that_are_expected_count_as_sent() -> None:
    pace = Pace(20, window=19.0)
    pace.acquire(NOW)
    pace.release()
    pace.expect(3, NOW)
    assert pace.next_at(NOW) - NOW == pytest.approx(4)
    # However many they are, polls go on after half a window.
    pace.expect(1000, NOW)
    assert pace.next_at(NOW) <= NOW + 4 + 19 / 2


def test_the_next_one_waits_until_all_that_are_too_many_are_forgotten() -> None:
    pace = Pace(20, window=19.0, burst=math.inf)
    for second in range(19):
        pace.acquire(NOW + second / 10)
        pace.release()
    pace.expect(4, NOW + 2)
    assert pace.next_at(NOW + 2) - NOW == pytest.approx(19 + 0.4)


@pytest.mark.parametrize("clips", [10, 40])
@pytest.mark.parametrize("kind", WINDOWS)
def test_downloads_that_a_hand_over_announces_are_not_refused(kind: str, clips: int) -> None:
    """Polls that would use nearly the whole limit, and a worker that fetches some clips each minute."""
    window, pace, refused, polled_at, due = WINDOWS[kind](120, 60.0), Pace(120, burst=4), 0, 0.0, [NOW + 600]
    for minute in range(10):
        now = NOW + 60 * minute
        if minute:
            pace.expect(clips, now)
            due = sorted([*due, *(now + 5 + 0.3 * number for number in range(clips))])
        while now < NOW + 60 * (minute + 1):
            now = max(now, min(due[0], max(pace.next_at(now), polled_at + 0.55)))
            if due[0] <= now:
                due.pop(0)
                refused += not window.take(now)
            elif pace.next_at(now) <= now and polled_at + 0.55 <= now < NOW + 60 * (minute + 1):
                polled_at = now
                pace.acquire(now)
                refused += not window.take(now)
                pace.release()
                pace.observe(RateLimit(120, window.remaining(), window.resets_at), None, now)
    assert refused == 0


@pytest.mark.parametrize(("count", "held"), [(1, 10.0), (2, 70.0)])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", WINDOWS)
def test_admissions_that_count_for_more_bring_no_refusal_however_late_they_are_used(
    kind: str, together: bool, count: int, held: float
) -> None:
    """Submissions of workers, which Venice sees up to ``held`` seconds after their admission."""
    pace, chance, now, submitted = Pace(40, window=70.0), random.Random(7), NOW, []
    while now < NOW + 1200:
        now = pace.next_at(now)
        pace.acquire(now)
        pace.expect(count - 1, now)
        pace.release()
        submitted.append(now // held * held + held if together else now + held * chance.random())
    window = WINDOWS[kind](40, 60.0)
    assert [window.take(at) for at in sorted(submitted)] == [True] * len(submitted)
