"""Thousands of jobs watched in no time: few looks, soon after the end, never past the deadline."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_venice.api.limits import Pace, RateLimit
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import Confirmation, Watch, next_look
from airflow_provider_venice.api.run_times import RunTimes
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceError,
    VeniceRateLimitError,
    VideoGenerationError,
    VideoTimeoutError,
)

START = 1_790_000_000.0
JOB = VideoJob("wan", "q-7")
DOWN = VeniceConnectionError("down", sent=True)


def running(elapsed: float | None, average: float | None) -> VideoJob:
    """Return a job as a look finds it; both in seconds."""
    return dataclasses.replace(
        JOB,
        status="processing",
        execution_duration=None if elapsed is None else elapsed * 1000,
        average_execution_time=None if average is None else average * 1000,
    )


def watch_job(
    seconds: float, average: float | None, *, seed: int = 0, poll_interval: float | None = None
) -> list[float]:
    """Return when a job was looked at, in seconds from its start; the last look finds it done."""
    chance = random.Random(seed)
    watch = Watch(JOB, poll_interval=poll_interval)
    looks = [0.0]
    while looks[-1] < seconds:
        seen = running(looks[-1], average)
        looks.append(looks[-1] + watch.saw(seen, START + looks[-1], chance.random()))
    return looks


seconds = st.floats(0, 1e7)
averages = st.none() | st.floats(0, 1e9) | st.sampled_from([5e-324, 1e-9, 1e300, math.inf])


@given(elapsed=seconds, average=averages)
def test_a_pause_is_positive_and_bearable(elapsed: float, average: float | None) -> None:
    run_times = RunTimes()
    run_times.told(average)
    assert 0.05 <= next_look(elapsed, run_times) <= 60


@given(
    elapsed=st.none() | seconds,
    average=averages,
    chance=st.floats(0, 1),
    poll_interval=st.none() | st.floats(0.1, 600),
    left=st.none() | st.floats(0.001, 1e5),
)
def test_a_pause_keeps_the_floor_and_the_deadline(
    elapsed: float | None, average: float | None, chance: float, poll_interval: float | None, left: float | None
) -> None:
    for failing in (False, True):
        deadline = None if left is None else START + left
        watch = Watch(JOB, deadline=deadline, poll_interval=poll_interval)
        pause = watch.on_error(DOWN, START, chance) if failing else watch.saw(running(elapsed, average), START, chance)
        assert pause > 0
        if deadline is None:
            assert pause >= (poll_interval or 0)
            assert pause <= max(poll_interval or 0, 66)
        else:
            assert START + pause <= deadline
            assert pause >= min(poll_interval or 0, deadline - START)


@given(at=st.floats(0, 1e6), failing=st.booleans())
def test_patience_ends_with_the_deadline(at: float, failing: bool) -> None:
    watch = Watch(JOB, deadline=START)
    look = functools.partial(watch.on_error, DOWN) if failing else functools.partial(watch.saw, running(1, 1))
    with pytest.raises(VideoTimeoutError) as caught:
        look(START + at, 0.5)
    error = caught.value
    assert (error.model, error.queue_id, error.can_heal) == ("wan", "q-7", True)
    assert "q-7" in str(error)
    assert "paid" in str(error)


def test_the_last_look_is_at_the_deadline() -> None:
    watch = Watch(JOB, deadline=START + 100, poll_interval=60)
    assert watch.saw(running(0, 145), START, 0.5) == 60
    assert watch.saw(running(60, 145), START + 60, 0.5) == 40


@pytest.mark.parametrize("seed", range(20))
def test_a_job_of_145_seconds_takes_few_looks_and_is_found_soon(seed: int) -> None:
    looks = watch_job(145, 145, seed=seed)
    assert len(looks) <= 25
    assert looks[-1] - 145 <= 8


def test_a_thousand_jobs_spend_few_looks_and_little_time() -> None:
    chance = random.Random(1)
    average = 120 * math.exp(0.8416 * 0.25)  # the P80 of what follows
    looks, late = [], []
    for seed in range(1000):
        length = chance.lognormvariate(math.log(120), 0.25)
        seen = watch_job(length, average, seed=seed)
        looks.append(len(seen))
        late.append(seen[-1] - length)
    assert statistics.mean(looks) <= 15
    assert max(looks) <= 80
    assert statistics.mean(late) <= 3.5
    assert statistics.quantiles(late, n=20)[-1] <= 12


@pytest.mark.parametrize(
    ("length", "average", "most", "late"), [(145, None, 25, 20), (3600, 145, 180, 66), (2, 3, 20, 1)]
)
def test_jobs_out_of_the_ordinary_are_found_as_well(
    length: float, average: float | None, most: int, late: float
) -> None:
    looks = watch_job(length, average)
    assert len(looks) <= most
    assert looks[-1] - length <= late


def test_a_floor_is_kept_through_a_whole_job() -> None:
    looks = watch_job(145, 145, poll_interval=20)
    assert all(later - earlier >= 19.999 for earlier, later in itertools.pairwise(looks))


def test_failures_back_off_and_a_good_look_forgets_them() -> None:
    watch = Watch(JOB, longest_backoff=60)
    pauses = [watch.on_error(DOWN, START, 1.0) for _ in range(9)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    watch.saw(running(1, 145), START, 0.5)
    assert watch.on_error(DOWN, START, 1.0) == 2
    assert watch.on_error(DOWN, START, 0.0) == 1


@pytest.mark.parametrize(("named", "pause"), [(30.0, 31.5), (0.0, 1.0), (300.0, 315.0)])
def test_a_rate_limit_is_waited_out(named: float, pause: float) -> None:
    error = VeniceRateLimitError("slow down", 429, retry_after=named)
    assert Watch(JOB, longest_backoff=60).on_error(error, START, 0.5) == pytest.approx(pause)


def test_a_server_error_is_a_failure_like_another() -> None:
    assert Watch(JOB).on_error(VeniceAPIError("bad gateway", 502), START, 0.5) == 1


ENDED = VideoGenerationError("it failed", 400)
REFUNDED = VideoGenerationError("refunded", 422, credits_refunded=True)
REFUSED = VeniceAPIError("no such key", 401)
DENIED = VeniceAPIError("not from here", 403)
BROKE = VeniceAPIError("no money", 402)
RUNS = VeniceError()  # stands for a poll that found the job running


@pytest.mark.parametrize(
    ("polls", "believed"),
    [
        ([ENDED, ENDED], ENDED),
        ([ENDED, RUNS, ENDED], None),
        ([ENDED, RUNS, ENDED, ENDED], ENDED),
        ([ENDED, DOWN, DOWN, ENDED], ENDED),
        ([ENDED, REFUSED, ENDED], ENDED),
        ([REFUNDED, ENDED], REFUNDED),
        ([ENDED, REFUNDED], REFUNDED),
        ([REFUSED, REFUSED], REFUSED),
        ([REFUSED, DENIED], DENIED),
        ([REFUSED, RUNS, REFUSED], None),
        ([REFUSED, DOWN, REFUSED], REFUSED),
        ([REFUSED, ENDED, REFUSED], None),
        ([BROKE], BROKE),
        ([ENDED, BROKE], BROKE),
        ([DOWN] * 9, None),
    ],
)
def test_an_end_and_a_refused_key_are_believed_the_second_time(
    polls: list[VeniceError], believed: VeniceError | None
) -> None:
    watch, confirmation = Watch(JOB), Confirmation()
    for number, error in enumerate(polls):
        last = believed is not None and number == len(polls) - 1
        if error is RUNS:
            assert watch.saw(running(1, 145), START, 0.5) > 0
            confirmation.on_answer()
        elif last:
            for take in (functools.partial(watch.on_error, now=START, chance=0.5), confirmation.needed):
                with pytest.raises(VeniceError) as caught:
                    take(error)
                assert caught.value is believed
        else:
            assert 1 <= watch.on_error(error, START, 0.5) <= 60
            assert confirmation.needed(error) == {"it failed": 2, "refunded": 2, "down": None}.get(str(error), 5)


def test_an_end_is_confirmed_after_the_deadline_too_but_not_for_ever() -> None:
    watch = Watch(JOB, deadline=START)
    assert watch.on_error(ENDED, START + 1, 0.5) == 2
    with pytest.raises(VideoGenerationError):
        watch.on_error(ENDED, START + 3, 0.5)
    with pytest.raises(VideoTimeoutError):
        Watch(JOB, deadline=START).on_error(REFUSED, START + 1, 0.5)


def lines(*jobs: VideoJob) -> list[str | None]:
    watch = Watch(JOB)
    found = []
    for job in jobs:
        watch.saw(job, START, 0.5)
        found.append(watch.news())
    return found


def test_news_are_told_once() -> None:
    unknown = dataclasses.replace(JOB, status="queued")
    told = lines(
        unknown, unknown, running(0, 100), running(5, 100), running(10, 100), running(9, 100), running(10, 100)
    )
    assert told == [
        "video job q-7 (wan) is queued",
        None,
        "video job q-7 (wan) is processing: 0 %, about 100 s remaining",
        None,
        "video job q-7 (wan) is processing: 10 %, about 90 s remaining",
        None,
        None,
    ]


def test_a_job_that_is_overdue_is_told_so_once() -> None:
    told = lines(*(running(elapsed, 100) for elapsed in range(100, 1000, 10)))
    assert told[0] == "video job q-7 (wan) is processing: 99 %, longer than four in five of its kind"
    assert set(told[1:]) == {None}


@given(st.lists(st.tuples(st.none() | st.floats(0, 1000), st.none() | st.floats(0, 1000)), max_size=60))
def test_a_log_never_gets_more_than_a_dozen_lines(looks: list[tuple[float | None, float | None]]) -> None:
    told = [line for line in lines(*(running(*look) for look in looks)) if line]
    assert len(told) <= 12
    assert len(set(told)) == len(told)


class Night:
    """Clips submitted at the vendor's full rate and watched under its limit, on a virtual clock."""

    LIMIT, WINDOW, MEDIAN, SIGMA = 120, 60.0, 120.0, 0.25

    def __init__(self, count: int, seed: int = 0, told: float | None = 1.0, *, slow: float = 1.0) -> None:
        """
        Let them begin.

        :param told: what the server tells, as a share of the truth; ``None`` for nothing.
        :param slow: how many times longer every second clip takes.
        """
        chance = random.Random(seed)
        self.average = None if told is None else told * self.MEDIAN * math.exp(0.8416 * self.SIGMA)
        self.queued = [START + 1.5 * number for number in range(count)]
        self.ends = [
            at + (slow if number % 2 else 1.0) * chance.lognormvariate(math.log(self.MEDIAN), self.SIGMA)
            for number, at in enumerate(self.queued)
        ]
        self.chance = chance
        self.begun, self.used, self.refused, self.asked = float("-inf"), 0, 0, 0
        self.late: list[float] = []

    def ask(self, now: float) -> RateLimit:
        """Spend one request, as a look or a download."""
        if now >= self.begun + self.WINDOW:
            self.begun, self.used = now, 0
        self.used += 1
        self.asked += 1
        self.refused += self.used > self.LIMIT
        return RateLimit(self.LIMIT, max(0, self.LIMIT - self.used), self.begun + self.WINDOW)

    def run(self) -> None:
        """Look at whom it is worthwhile to look, who is expected to be latest first, until all are found."""
        run_times, pace, now = RunTimes(), Pace(self.LIMIT), START
        watches = [Watch(dataclasses.replace(JOB, queued_at=at), run_times=run_times) for at in self.queued]
        wanted = {
            number: at + watch.first_look(at, self.chance.random())
            for number, (at, watch) in enumerate(zip(self.queued, watches, strict=True))
        }
        downloads: list[float] = []
        while wanted:
            for at in [at for at in downloads if at <= now]:
                downloads.remove(at)
                self.ask(at)
            due = [number for number, at in wanted.items() if at <= now]
            slot = pace.next_at(now)
            if slot > now or not due:
                now = max(min(slot, now + 0.1), now + 0.02)
                continue
            number = max(due, key=lambda one: watches[one].lateness(now))
            watch = watches[number]
            pace.take(now)
            told = self.ask(now)
            pace.done()
            pace.observe(told, None, now)
            if self.ends[number] <= now:
                watch.ended(watch.job, now)
                self.late.append(now - self.ends[number])
                downloads.append(now + 2)  # by a worker, which shares nothing with us but the key
                del wanted[number]
            else:
                seen = running(now - self.queued[number], self.average)
                wanted[number] = now + watch.saw(seen, now, self.chance.random())


@pytest.mark.parametrize(
    ("count", "mean", "p95", "retrieves"),
    [(1, 5, 5, 18), (10, 3, 8, 15), (50, 9, 26, 8.5), (200, 16, 39, 4.3), (400, 18, 42, 3.7)],
)
def test_a_night_of_clips_is_found_soon_with_few_retrieves_and_no_refusal(
    count: int, mean: float, p95: float, retrieves: float
) -> None:
    nights = [Night(count, seed) for seed in range(5)]
    for night in nights:
        night.run()
        assert night.refused == 0
    assert statistics.mean(statistics.mean(night.late) for night in nights) <= mean
    assert statistics.mean(sorted(night.late)[math.ceil(0.95 * count) - 1] for night in nights) <= p95
    assert statistics.mean(night.asked for night in nights) / count <= retrieves


@pytest.mark.parametrize(
    ("told", "slow"),
    [(0.5, 1.0), (2.0, 1.0), (None, 1.0), (1.0, 3.0)],
    ids=["told half", "told double", "told nothing", "two kinds of clips"],
)
def test_nobody_starves_where_the_server_is_wrong_about_the_run_times(told: float | None, slow: float) -> None:
    night = Night(100, told=told, slow=slow)
    night.run()
    assert night.refused == 0
    assert statistics.mean(night.late) <= 25
    assert max(night.late) <= 90
    assert night.asked / 100 <= 12


def fitted(told: float, median: float, sigma: float, gap: float) -> RunTimes:
    """Return what is known after 200 jobs that were looked at every ``gap`` seconds."""
    run_times, chance = RunTimes(), random.Random(3)
    run_times.told(told)
    for _ in range(200):
        length = chance.lognormvariate(math.log(median), sigma)
        run_times.saw(gap * (length // gap), gap * (length // gap + 1))
    return run_times


@pytest.mark.parametrize("gap", [1.0, 30.0, 80.0])
def test_run_times_are_learned_from_however_rare_looks(gap: float) -> None:
    run_times = fitted(300, median=120, sigma=0.4, gap=gap)
    assert run_times.median == pytest.approx(120, rel=0.12)
    normal = run_times._normal
    assert normal is not None
    assert normal.stdev == pytest.approx(0.4, rel=0.25)


@given(
    elapsed=st.floats(0, 1e6),
    more=st.floats(0.001, 1e5),
    average=averages,
    ended=st.lists(st.tuples(seconds, st.floats(0.001, 1e7)), max_size=8),
)
def test_lateness_grows_from_nothing_and_not_faster_than_time(
    elapsed: float, more: float, average: float | None, ended: list[tuple[float, float]]
) -> None:
    run_times = RunTimes()
    run_times.told(average)
    for after, longer in ended:
        run_times.saw(after, after + longer)
    assert run_times.lateness(elapsed, elapsed) == pytest.approx(0, abs=1e-6 * max(1.0, elapsed))
    half, whole = (run_times.lateness(elapsed + part, elapsed) for part in (more / 2, more))
    slack = 1e-6 * max(1.0, elapsed + more)
    assert 0 <= half <= whole + slack
    assert whole <= more + slack
