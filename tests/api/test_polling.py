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

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.polling import Confirmation, ModelState, PollSchedule, next_poll
from airflow_provider_venice.api.run_times import RunTimes
from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceConnectionError,
    VeniceError,
    VeniceRateLimitError,
    VideoGenerationError,
    VideoTimeoutError,
)
from benchmarks.inspection import LAWS, Inspection
from benchmarks.virtual import Night

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
    schedule = PollSchedule(JOB, poll_interval=poll_interval)
    looks = [0.0]
    while looks[-1] < seconds:
        seen = running(looks[-1], average)
        looks.append(looks[-1] + schedule.on_running(seen, START + looks[-1], chance.random()))
    return looks


def test_a_job_that_was_queued_before_the_clock_was_set_back_counts_as_just_queued() -> None:
    model = ModelState()
    model.run_times.observe_average(100)
    late, just = (PollSchedule(JOB, queued_at=START + offset, model=model) for offset in (3600, 0))
    assert late.first_poll(START, 0.5) == just.first_poll(START, 0.5)
    assert late.urgency(START + 90) == just.urgency(START + 90) > 0


seconds = st.floats(0, 1e7)
averages = st.none() | st.floats(0, 1e9) | st.sampled_from([5e-324, 1e-9, 1e300, math.inf])


@given(elapsed=seconds, average=averages)
def test_a_pause_is_positive_and_bearable(elapsed: float, average: float | None) -> None:
    run_times = RunTimes()
    run_times.observe_average(average)
    assert 0.05 <= next_poll(elapsed, run_times) <= 60


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
        schedule = PollSchedule(JOB, deadline=deadline, poll_interval=poll_interval)
        pause = (
            schedule.on_error(DOWN, START, chance)
            if failing
            else schedule.on_running(running(elapsed, average), START, chance)
        )
        assert pause > 0
        if deadline is None:
            assert pause >= (poll_interval or 0)
            assert pause <= max(poll_interval or 0, 66)
        else:
            assert START + pause <= deadline
            assert pause >= min(poll_interval or 0, deadline - START)


@given(at=st.floats(0, 1e6), failing=st.booleans())
def test_patience_ends_with_the_deadline(at: float, failing: bool) -> None:
    schedule = PollSchedule(JOB, deadline=START)
    polled = functools.partial(schedule.on_running, running(1, 1))
    poll = functools.partial(schedule.on_error, DOWN) if failing else polled
    with pytest.raises(VideoTimeoutError) as caught:
        poll(START + at, 0.5)
    error = caught.value
    assert (error.model, error.queue_id, error.can_heal) == ("wan", "q-7", True)
    assert "q-7" in str(error)
    assert "paid" in str(error)


def test_the_last_look_is_at_the_deadline() -> None:
    schedule = PollSchedule(JOB, deadline=START + 100, poll_interval=60)
    assert schedule.on_running(running(0, 145), START, 0.5) == 60
    assert schedule.on_running(running(60, 145), START + 60, 0.5) == 40


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
    schedule = PollSchedule(JOB, longest_backoff=60)
    pauses = [schedule.on_error(DOWN, START, 1.0) for _ in range(9)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    schedule.on_running(running(1, 145), START, 0.5)
    assert schedule.on_error(DOWN, START, 1.0) == 2
    assert schedule.on_error(DOWN, START, 0.0) == 1


@pytest.mark.parametrize(("named", "pause"), [(30.0, 31.5), (0.0, 1.0), (300.0, 315.0)])
def test_a_rate_limit_is_waited_out(named: float, pause: float) -> None:
    error = VeniceRateLimitError("slow down", 429, retry_after=named)
    assert PollSchedule(JOB, longest_backoff=60).on_error(error, START, 0.5) == pytest.approx(pause)


def test_a_server_error_is_a_failure_like_another() -> None:
    assert PollSchedule(JOB).on_error(VeniceAPIError("bad gateway", 502), START, 0.5) == 1


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
    schedule, confirmation = PollSchedule(JOB), Confirmation()
    for number, error in enumerate(polls):
        last = believed is not None and number == len(polls) - 1
        if error is RUNS:
            assert schedule.on_running(running(1, 145), START, 0.5) > 0
            confirmation.on_answer()
        elif last:
            for take in (functools.partial(schedule.on_error, now=START, chance=0.5), confirmation.needed):
                with pytest.raises(VeniceError) as caught:
                    take(error)
                assert caught.value is believed
        else:
            assert 1 <= schedule.on_error(error, START, 0.5) <= 60
            assert confirmation.needed(error) == {"it failed": 2, "refunded": 2, "down": None}.get(str(error), 5)


def test_an_end_is_confirmed_after_the_deadline_too_but_not_for_ever() -> None:
    schedule = PollSchedule(JOB, deadline=START)
    assert schedule.on_error(ENDED, START + 1, 0.5) == 2
    with pytest.raises(VideoGenerationError):
        schedule.on_error(ENDED, START + 3, 0.5)
    with pytest.raises(VideoTimeoutError):
        PollSchedule(JOB, deadline=START).on_error(REFUSED, START + 1, 0.5)


def lines(*jobs: VideoJob) -> list[str | None]:
    schedule = PollSchedule(JOB)
    found = []
    for job in jobs:
        schedule.on_running(job, START, 0.5)
        found.append(schedule.progress_message())
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


@pytest.mark.slow
@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize(
    ("count", "processes", "nights", "mean", "ratio"),
    [
        (1, 1, 30, 1.8, 1.5),
        (5, 1, 20, 1.8, 1.3),
        (10, 1, 20, 2.7, 1.3),
        (50, 1, 10, 8.5, 1.25),
        (200, 1, 3, 12, 1.25),
        (400, 1, 1, 13, 1.25),
        (200, 2, 3, 12, 1.4),
        (200, 4, 3, 12, 1.5),
    ],
)
def test_clips_are_found_nearly_as_soon_as_so_many_polls_can_find_them(
    count: int, processes: int, nights: int, mean: float, ratio: float, window: str
) -> None:
    played = [Night(count, LAWS["log-normal"], window=window, processes=processes, seed=n).run() for n in range(nights)]
    least = Inspection(LAWS["log-normal"])
    assert sum(night.refusals for night in played) == 0
    assert statistics.mean(night.mean for night in played) <= mean
    found = statistics.mean(night.mean / least.lateness(night.polls_per_clip) for night in played)
    assert found <= ratio


@pytest.mark.parametrize("resets", [True, False], ids=["resets", "no resets"])
@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
def test_downloads_that_nobody_announces_bring_no_refusal(window: str, resets: bool) -> None:
    night = Night(100, LAWS["log-normal"], window=window, resets=resets, downloads=True).run()
    # Where nobody says when the window ends, the last place of it may be taken twice.
    assert night.refusals <= (0 if resets else 5)
    assert night.mean <= 20


@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize("told", [0.5, 1.0, 2.0, None])
def test_nobody_starves_whatever_the_run_times_are_and_the_server_says(law: str, told: float | None) -> None:
    night = Night(100, LAWS[law], told=told).run()
    assert night.refusals == 0
    assert night.mean <= 30
    assert max(night.late) <= 150


def test_a_job_is_suspect_until_a_poll_of_its_model_succeeds() -> None:
    model = ModelState()
    schedules = [PollSchedule(JOB, model=model) for _ in range(5)]
    for error in (REFUSED, VeniceRateLimitError("slow down", 429)):
        schedules[0].on_error(error, START, 0.5)
        assert not schedules[0].failing
    for number in range(3):
        assert [schedule.failing for schedule in schedules] == [True] * number + [False] * (5 - number)
        schedules[number].on_error(DOWN, START + number, 0.5)
    assert all(schedule.failing for schedule in schedules)
    schedules[4].on_running(running(1, 145), START + 4, 0.5)
    assert not any(schedule.failing for schedule in schedules)


def test_a_model_that_fails_costs_the_others_little() -> None:
    """35 jobs whose polls fail, and as many healthy ones as alone."""
    alone = [Night(20, LAWS["log-normal"], seed=seed).run() for seed in range(5)]
    beside = [Night(20, LAWS["log-normal"], seed=seed, broken=35).run() for seed in range(5)]
    assert sum(night.blocks for night in beside) == 0
    for night in beside:
        assert len(night.late) == 20
        assert night.failures <= 0.1 * 2 * night.seconds + 10  # ten, until the model is known to fail
    assert statistics.mean(n.mean for n in beside) <= 1.3 * statistics.mean(n.mean for n in alone)


def fitted(told: float, median: float, sigma: float, gap: float) -> RunTimes:
    """Return what is known after 200 jobs that were looked at every ``gap`` seconds."""
    run_times, chance = RunTimes(), random.Random(3)
    run_times.observe_average(told)
    for _ in range(200):
        length = chance.lognormvariate(math.log(median), sigma)
        run_times.observe(gap * (length // gap), gap * (length // gap + 1))
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
    run_times.observe_average(average)
    for after, longer in ended:
        run_times.observe(after, after + longer)
    assert run_times.lateness(elapsed, elapsed) == pytest.approx(0, abs=1e-6 * max(1.0, elapsed))
    half, whole = (run_times.lateness(elapsed + part, elapsed) for part in (more / 2, more))
    slack = 1e-6 * max(1.0, elapsed + more)
    assert 0 <= half <= whole + slack
    assert whole <= more + slack
