"""While clips wait, triggerer and scheduler are lost, and users clear tasks: the wait goes on, nobody pays twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pytest

from tests.reliability.runs import Run, Venue

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(420)]

#: Seconds that the DAG ``impatient`` waits, and for which the triggerer is gone meanwhile.
TIMEOUT, OUTAGE = 25.0, 15.0

#: Seconds that Airflow may take to resume a task.
SLACK = 10.0

#: Name to DAG and kind of delivery. Every clip waits until the test lets it be finished.
RUNS = {
    "patient": ("deferred", "inline"),
    "in-steps": ("steps", "private"),
    "in-worker": ("in_worker", "inline"),
    "cleared": ("deferred", "inline"),
    "cleared-private": ("deferred", "private"),
    "cleared-to-resubmit": ("resubmitted", "inline"),
    "cleared-in-worker": ("resubmitted_in_worker", "inline"),
    "marked-failed": ("deferred", "private"),
    "impatient": ("impatient", "inline"),
}


@dataclass(frozen=True)
class Story:
    """What happened while the clips waited."""

    runs: dict[str, Run]
    #: Bytes of the clips, by run, before they were cleared after their success.
    first_clips: dict[str, bytes]


def waits(run: Run, jobs: int = 1, tries: int = 1) -> bool:
    """Whether a run has so many jobs at the vendor, and waits for the last in so many tries."""
    task = "wait" if run.dag_id == "steps" else "generate"
    is_waiting = run.task_state(task) == ("running" if "in_worker" in run.dag_id else "deferred")
    return is_waiting and len(run.jobs) == jobs and run.tries(task) == tries


def lose_the_triggerer(venue: Venue, runs: dict[str, Run]) -> None:
    """Kill the triggerer, clear a task while it is gone, and start another."""
    venue.stack.kill("triggerer")
    lost_at = time.monotonic()
    venue.stack.clear("deferred", runs["cleared"].run_id, "generate")
    time.sleep(max(0.0, lost_at + OUTAGE - time.monotonic()))
    venue.stack.restart("triggerer")


def intervene(venue: Venue, runs: dict[str, Run]) -> None:
    """Clear and mark tasks that wait."""
    stack = venue.stack
    stack.clear("deferred", runs["cleared-private"].run_id, "generate")
    stack.clear("resubmitted", runs["cleared-to-resubmit"].run_id, "generate")
    stack.clear("resubmitted_in_worker", runs["cleared-in-worker"].run_id, "generate")
    stack.mark_failed("deferred", runs["marked-failed"].run_id, "generate")
    assert runs["marked-failed"].wait() == "failed"
    for name, jobs in {"cleared": 1, "cleared-private": 1, "cleared-to-resubmit": 2, "cleared-in-worker": 2}.items():
        stack.wait_until(partial(waits, runs[name], jobs=jobs, tries=2), 60, f"{name} to wait again")


def lose_the_scheduler(venue: Venue) -> None:
    """Kill the scheduler with all of its workers, and start another."""
    venue.stack.kill("scheduler")
    time.sleep(3)
    venue.stack.restart("scheduler")


@pytest.fixture(scope="module")
def story(venue: Venue) -> Story:
    """All of it, one after the other, for all runs at the same time."""
    runs = {name: venue.start(dag_id, name, kind, prefix="[simulate: stuck] ") for name, (dag_id, kind) in RUNS.items()}
    for name, run in runs.items():
        venue.stack.wait_until(partial(waits, run), 60, f"{name} to wait")
    lose_the_triggerer(venue, runs)
    assert runs["impatient"].wait() == "failed"
    intervene(venue, runs)
    lose_the_scheduler(venue)
    venue.stack.clear("deferred", runs["marked-failed"].run_id, "generate")
    venue.simulator.finish()
    for name, run in runs.items():
        assert run.wait() == ("failed" if name == "impatient" else "success"), run.explain()

    cleared = {name: runs[name] for name in ("cleared", "cleared-private", "cleared-to-resubmit")}
    first_clips = {name: run.clips()[0].read_bytes() for name, run in cleared.items()}
    for run in cleared.values():
        venue.stack.clear(run.dag_id, run.run_id, "generate")
    venue.stack.wait_until(partial(waits, cleared["cleared-to-resubmit"], jobs=3, tries=3), 60, "another clip")
    venue.simulator.finish()
    for run in cleared.values():
        assert run.wait() == "success", run.explain()
    return Story(runs, first_clips)


@pytest.mark.parametrize("name", ["patient", "in-steps", "in-worker"])
def test_a_wait_outlives_triggerer_and_scheduler(name: str, story: Story) -> None:
    run = story.runs[name]
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1
    # Nobody but a worker that was lost has to try again.
    assert run.tries("wait" if name == "in-steps" else "generate") == (2 if name == "in-worker" else 1)


def test_a_deadline_holds_although_the_triggerer_was_gone(story: Story) -> None:
    run = story.runs["impatient"]
    (job,) = run.jobs
    (task,) = run.venue.stack.task_instances(run.dag_id, run.run_id)
    waited = datetime.fromisoformat(task["end_date"].replace("Z", "+00:00")).timestamp() - job.queued_at
    assert TIMEOUT <= waited < TIMEOUT + SLACK < TIMEOUT + OUTAGE
    assert "was still processing when the time was up" in run.log()
    assert len(run.charges) == 1
    assert run.clips() == []


@pytest.mark.parametrize("name", ["cleared", "cleared-private"])
def test_a_clear_takes_up_the_clip_whether_it_waits_or_is_delivered(name: str, story: Story) -> None:
    run = story.runs[name]
    assert run.tries("generate") == 3
    assert len(run.charges) == len(run.jobs) == 1
    (clip,) = run.clips()
    assert clip.read_bytes() == story.first_clips[name]


def test_a_clear_buys_another_clip_where_the_user_says_so(story: Story) -> None:
    run = story.runs["cleared-to-resubmit"]
    assert len(run.charges) == len(run.jobs) == 3
    (clip,) = run.clips()
    assert story.first_clips["cleared-to-resubmit"] != clip.read_bytes()
    # The one that was waited for when the task was cleared was never fetched: it is not deleted either.
    assert [job.fate for job in run.jobs] == ["kept", "deleted", "deleted"]


def test_a_clear_of_a_task_that_runs_is_one_too(story: Story) -> None:
    run = story.runs["cleared-in-worker"]
    assert len(run.charges) == len(run.jobs) == 2
    assert len(run.clips()) == 1
    # Meanwhile its second worker was lost, which buys nothing.
    assert [job.fate for job in run.jobs] == ["kept", "deleted"]


def test_who_marks_a_waiting_task_failed_can_clear_it_and_gets_the_clip(story: Story) -> None:
    run = story.runs["marked-failed"]
    assert run.tries("generate") == 2
    assert len(run.charges) == len(run.jobs) == 1
    assert len(run.clips()) == 1


def test_nothing_is_deleted_unread_and_no_secret_is_kept_readable(story: Story, venue: Venue) -> None:
    venue.check_deletions()
    venue.check_secrets()
