"""A worker is lost at a submission, and the usage history says whether it was charged: nothing is paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.reliability.runs import Run, Venue
from tests.reliability.steps import CLIPS, Key, Story, begin, name_of, play
from tests.reliability.test_killed_workers import lose_the_worker

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(420)]


class Case(NamedTuple):
    """
    Where a worker is lost, and what its next try is to find.

    :param key: DAG, step, kind of delivery, place in the list.
    :param model: one that no other run buys from, at a price of its own, but where other purchases are to be beside it.
    :param answer: what the usage history says.
    """

    key: Key
    model: str
    answer: str


#: Two that buy the same at the same time, so that neither can be sure.
SAME = "kling-o3-standard-text-to-video"

CASES = [
    Case(("checked", "noting-the-intent", "inline", -1), "flux-3-text-to-video", "no doubt"),
    Case(("checked", "submitting", "inline", -1), "wan-2.5-preview-text-to-video", "not charged"),
    Case(("checked", "submitted", "inline", -1), "kling-v3-pro-text-to-video", "charged"),
    Case(("checked", "noting-the-job", "inline", -1), "wan-2.2-a14b-text-to-video", "charged"),
    Case(("checked_list", "submitting", "inline", 1), "longcat-text-to-video", "not charged"),
    Case(("checked_list", "submitted", "inline", 1), "pixverse-c1-text-to-video", "charged"),
    Case(("checked_list", "submitting", "inline", 2), SAME, "cannot tell"),
]


#: Runs whose worker lives, and whose submission has no answer: whether it was accepted, and the model.
LOST_ANSWERS = {True: "vidu-q3-text-to-video", False: "kling-v3-standard-text-to-video"}


def begin_to_lose(venue: Venue, case: Case) -> Story:
    """Start the run of a case."""
    held = begin(venue, case.key, story="doubt", model=case.model)
    return Story(held, lose_the_worker(held))


def is_deferred(run: Run) -> bool:
    """Whether the task of a run waits in the triggerer."""
    return run.task_state() == "deferred"


@pytest.fixture(scope="module")
def lost_answers(venue: Venue) -> Iterator[dict[bool, Run]]:
    """Runs whose submissions have no answer, while their tasks wait. All charges appear late from here on."""
    runs = {}
    for is_charged, model in LOST_ANSWERS.items():
        run_id = f"lost-answer-{'charged' if is_charged else 'not-charged'}"
        effect: dict[str, Any] = {"drop_after": True} if is_charged else {"drop_before": True}
        venue.simulator.fail("queue", match=f"<{run_id}>", **effect)
        runs[is_charged] = venue.start("checked", run_id, model=model)
    venue.simulator.usage_delay = 15
    yield runs
    venue.simulator.usage_delay = 0


@pytest.fixture(scope="module")
def kills(venue: Venue, lost_answers: dict[bool, Run]) -> dict[Case, Story]:
    """All kills, after the event. Beside them others buy, from the account and from one of the models."""
    for run in lost_answers.values():
        venue.stack.wait_until(partial(is_deferred, run), 60, f"{run.run_id} to wait")
    for _ in range(3):
        venue.simulator.charge("zai-org-glm-5-1-llm-output-mtoken", 0.01)
        venue.simulator.charge(f"{SAME}-video-unit", 0.5)
    return play(venue, {case: partial(begin_to_lose, venue, case) for case in CASES})


def answers(run: Run) -> str:
    """Return the logs of the task's tries."""
    return "\n".join(run.log(try_number=number) for number in range(1, run.tries("generate") + 1))


@pytest.mark.parametrize("case", [pytest.param(case, id=name_of(case.key)) for case in CASES])
def test_a_lost_worker_whose_doubt_is_answered(case: Case, kills: dict[Case, Story]) -> None:
    story = kills[case]
    assert story.is_over, f"{story.error!r}, or the step was not reached\n{story.held.run.explain()}"
    run, step, place = story.held.run, story.held.step, max(0, case.key[3])
    buys_all = case.answer in ("no doubt", "not charged")
    assert run.wait() == ("success" if buys_all else "failed"), run.explain()
    count = CLIPS if case.key[0] == "checked_list" else 1
    stored = count if buys_all else place
    assert len(run.clips()) == stored
    in_doubt = case.answer != "no doubt" and step.is_paid and not buys_all
    assert len(run.charges) == len(run.jobs) == stored + in_doubt
    log = answers(run)
    if case.answer == "not charged":
        assert "was not charged, as the account's usage history shows" in log
    elif case.answer != "no doubt":
        assert f"By the account's usage history: {case.answer} (" in log


@pytest.mark.usefixtures("kills")
@pytest.mark.parametrize("is_charged", [True, False], ids=["charged", "not charged"])
def test_a_lost_answer_is_waited_for_in_the_triggerer(is_charged: bool, lost_answers: dict[bool, Run]) -> None:
    run = lost_answers[is_charged]
    assert run.wait() == ("failed" if is_charged else "success"), run.explain()
    assert len(run.charges) == 1
    assert len(run.clips()) == (0 if is_charged else 1)
    assert len(run.jobs) == 1
    log = answers(run)
    assert "Waiting in the triggerer for the usage history" in log
    if is_charged:
        assert "By the account's usage history: charged (" in log
    assert run.doubts(), "the doubt is reported before the wait"
