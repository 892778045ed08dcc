"""A worker is lost at every step of a clip's life: it is paid once, and whole in the end, or the doubt is told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.reliability import holding
from tests.reliability.runs import DOUBT, Run, Venue
from tests.reliability.steps import FALLBACK, STEPS, Condition, Held, Key, Story, begin, name_of, play

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(420)]

#: Where the kind of delivery makes a difference.
DELIVERY = ("asking-for-the-clip", "downloading", "noting-the-delivery", "before-deleting", "deleted")

#: What does not depend on the delivery is tried with one kind. In a list it is the clip in the middle that is
#: interrupted, where clips before and after it are at stake, and the first and the last where these differ.
KILLS: list[Key] = [
    ("deferred", "pricing", "inline", -1),
    ("deferred", "noting-the-intent", "inline", -1),
    ("deferred", "submitting", "private", -1),
    ("deferred", "submitted", "inline", -1),
    ("deferred", "noting-the-job", "private", -1),
    ("deferred", "noted", "private", -1),
    ("in_worker", "submitted", "private", -1),
    ("in_worker", "noting-the-job", "inline", -1),
    ("in_worker", "noted", "inline", -1),
    ("in_worker", "looking", "private", -1),
    *(
        (dag_id, step, kind, -1)
        for step in DELIVERY
        for dag_id in ("deferred", "in_worker")
        for kind in ("inline", "private")
    ),
    ("steps", "submitted", "private", -1),
    ("steps", "noting-the-job", "inline", -1),
    ("steps_in_worker", "looking", "inline", -1),
    *(
        ("steps", step, kind, -1)
        for step in ("downloading", "noting-the-delivery", "deleted")
        for kind in ("inline", "private")
    ),
    *(
        (dag_id, step, "private" if number % 2 else "inline", 1)
        for dag_id in ("mapped", "listed")
        for number, step in enumerate(STEPS)
        if step not in ("pricing", "looking")
    ),
    ("mapped", "pricing", "inline", 1),
    ("listed", "pricing", "inline", 1),
    ("mapped", "downloading", "inline", 0),
    ("mapped", "submitted", "inline", 2),
    *(("listed", step, "inline", place) for step in ("submitting", "submitted", "noting-the-job") for place in (0, 2)),
    ("listed", "noting-the-intent", "private", 0),
    ("listed", "downloading", "inline", 2),
    ("listed", "noting-the-delivery", "private", 0),
    ("listed", "deleted", "private", 0),
    ("listed", "deleted", "inline", 2),
    ("fallback", "submitted", "inline", -1),
    ("fallback", "noted", "inline", -1),
]

#: What looks at a job for these is the triggerer.
LOOKS: list[Key] = [
    ("deferred", "looking", "private", -1),
    ("mapped", "looking", "inline", 1),
    ("listed", "looking", "inline", 2),
]


def lose_the_worker(held: Held) -> Iterator[Condition]:
    """Kill the worker at its step."""
    yield held.is_there
    held.run.venue.stack.kill_worker(held.run.dag_id, held.run.run_id, held.task, held.map_index)


def begin_to_lose(venue: Venue, key: Key) -> Story:
    """Start the run of a key."""
    held = begin(venue, key)
    return Story(held, lose_the_worker(held))


@pytest.fixture(scope="module")
def kills(venue: Venue) -> dict[Key, Story]:
    """All kills, after the event."""
    return play(venue, {key: partial(begin_to_lose, venue, key) for key in KILLS})


@pytest.fixture(scope="module")
def looks(venue: Venue, kills: dict[Key, Story]) -> dict[Key, Held]:
    """Runs whose triggerer was lost while it waited for the answer about a job."""
    looks = {key: begin(venue, key) for key in LOOKS}
    for key, held in looks.items():
        venue.stack.wait_until(held.is_there, 90, f"{name_of(key)} to be looked at")
    venue.stack.kill("triggerer")
    venue.stack.restart("triggerer")
    return looks


def check_end(held: Held) -> None:
    """What was paid for is there, whole, once; of what is in doubt the log tells."""
    run, step = held.run, held.step
    state = run.wait()
    assert state == ("failed" if step.is_doubtful else "success"), run.explain()
    charged, stored = held.count_in_doubt() if step.is_doubtful else (held.count, held.count)
    assert len(run.charges) == len(run.jobs) == len({job.prompt for job in run.jobs}) == charged
    assert len(run.clips()) == stored
    if run.dag_id == "fallback":
        assert [job.model.id for job in run.jobs] == [FALLBACK]
    if step.is_doubtful:
        assert held.has_told_the_doubt()
    kept = [job for job in run.jobs if job.fate != "deleted"]
    assert len(kept) == (1 if step.is_doubtful and step.is_paid else 0), "what is stored is deleted at the vendor"
    run.venue.check_deletions()


@pytest.mark.parametrize("key", [pytest.param(key, id=name_of(key)) for key in KILLS])
def test_a_lost_worker(key: Key, kills: dict[Key, Story]) -> None:
    story = kills[key]
    assert story.is_over, f"{story.error!r}, or the step was not reached\n{story.held.run.explain()}"
    check_end(story.held)
    assert story.held.tries() >= 2, "the worker was killed after the task had ended"


@pytest.mark.parametrize("key", [pytest.param(key, id=name_of(key)) for key in LOOKS])
def test_a_lost_triggerer(key: Key, looks: dict[Key, Held]) -> None:
    check_end(looks[key])
    assert looks[key].tries() == 1


def test_a_worker_that_was_only_taken_for_lost_buys_nothing(venue: Venue) -> None:
    holding.asked(venue.holds, "frozen", "check").touch()
    run = venue.start("deferred", "frozen")
    run.survive_a_freeze()
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1


def listed_while_stuck(venue: Venue, story: str, step: str) -> tuple[Held, Run]:
    """Return a list whose worker was lost at its last clip, and whose next try waits for clips that are not done."""
    held = begin(venue, ("listed", step, "inline", 2), story=story, prefix="[simulate: stuck] ")
    run = held.run
    venue.stack.wait_until(held.is_there, 90, f"{run.run_id} to come to its step")
    venue.stack.kill_worker(run.dag_id, run.run_id, held.task)
    venue.stack.wait_until(lambda: run.task_state() == "deferred" and held.tries() == 2, 90, "the second try to wait")
    return held, run


def test_a_list_tells_a_doubt_before_it_waits_for_the_other_clips(venue: Venue) -> None:
    held, run = listed_while_stuck(venue, "told", "submitted")
    told = [line for line in run.log(try_number=2).splitlines() if DOUBT in line]
    results = venue.stack.xcom_or_none(run.dag_id, run.run_id, held.task, "venice_results")
    # Who has read that clears the task: it is submitted again, once, and the others are not.
    held.clear()
    venue.stack.wait_until(lambda: run.task_state() == "deferred" and held.tries() == 3, 90, "the third try to wait")
    charges = len(run.charges)
    venue.simulator.finish()
    assert run.wait() == "success", run.explain()
    assert len(run.clips()) == 3
    assert len(run.charges) == charges == 4
    assert any("request[2]" in line and "ERROR" in line for line in told), run.log(try_number=2)
    assert results is not None
    assert results[2]["status"] in ("doubt", "failed")
    assert DOUBT in results[2]["error"]


def test_a_list_that_is_tried_again_shows_what_it_has_bought(venue: Venue) -> None:
    held, run = listed_while_stuck(venue, "shown", "noted")
    jobs = venue.stack.xcom_or_none(run.dag_id, run.run_id, held.task, "venice_job")
    venue.simulator.finish()
    assert run.wait() == "success", run.explain()
    assert [job["queue_id"] for job in jobs or ()] == [job.queue_id for job in run.jobs]


def test_no_secret_is_kept_readable(kills: dict[Key, Story], looks: dict[Key, Held], venue: Venue) -> None:
    for held in [*(story.held for story in kills.values()), *looks.values()]:
        held.run.wait()
    venue.check_secrets()
