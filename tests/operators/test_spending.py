"""max_cost limits what a task spends in all of its tries, clears and doubts included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

#: What such a clip costs, in US dollars.
PRICE = 0.35

pytestmark = pytest.mark.usefixtures("venice_connection")


def generate(folder: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(
        task_id="generate",
        **{**TEXT, "output_path": f"{folder}/clip{'-{index}' if 'request' in arguments else ''}.mp4", **arguments},
    )


@pytest.mark.slow
def test_a_clip_that_failed_and_was_not_refunded_counts_after_a_clear(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries, task = Tries(), generate(tmp_path, prompt="[simulate: fail] x", max_cost=0.40)
    with pytest.raises(AirflowFailException, match=r"bought for \$0\.35.* buys another one for about \$0\.35"):
        run_task(task, tries)
    for _ in range(2):
        tries.clear()
        with pytest.raises(AirflowFailException, match=r"\$0\.70, with \$0\.35 that earlier .* max_cost=\$0\.4"):
            run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 1
    with pytest.raises(AirflowFailException, match="generation failed"):
        run_task(generate(tmp_path, prompt="[simulate: fail] x", max_cost=0.70), tries)
    assert len(venice_simulator.journal.charges) == 2
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"\$1\.05, with \$0\.70 that earlier"):
        run_task(generate(tmp_path, prompt="[simulate: fail] x", max_cost=0.70), tries)


@pytest.mark.slow
def test_in_a_list_as_well(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    rows = [{"prompt": "a"}, {"prompt": "[simulate: fail] b"}]
    tries, task = Tries(), generate(tmp_path, request=rows, prompt=None, max_cost=0.80)
    with pytest.raises(AirflowFailException, match=r"request\[1\]"):
        run_task(task, tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"batch of 2 clips costs \$1\.05, with \$0\.70"):
        run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.slow
def test_a_refunded_clip_does_not_count(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    body = {"error": {"message": "upstream failed", "credits_refunded": True}}
    venice_simulator.fail("retrieve", status=422, body=body, times=2)
    tries, task = Tries(), generate(tmp_path, max_cost=0.40)
    with pytest.raises(AirflowException, match="a retry submits it anew"):
        run_task(task, tries)
    assert run_task(task, tries)["size"]
    assert len(venice_simulator.journal.charges) == 2


def test_a_submission_in_doubt_counts(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", drop_after=True)
    tries, task = Tries(), generate(tmp_path, max_cost=0.40)
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        run_task(task, tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"\$0\.70, with \$0\.35 that earlier submissions"):
        run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 1
    # The doubt is not forgotten for that: with a larger budget the person who cleared the task gets the clip.
    tries.clear()
    assert run_task(generate(tmp_path, max_cost=0.70), tries)["size"]
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.slow
def test_a_refused_submission_forgets_nothing_of_what_was_spent(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries, task = Tries(), generate(tmp_path, prompt="[simulate: fail] x", max_cost=0.80)
    with pytest.raises(AirflowFailException):
        run_task(task, tries)
    tries.clear()
    venice_simulator.fail("queue", status=402)
    with pytest.raises(AirflowFailException, match="402"):
        run_task(task, tries)
    for expected in ("generation failed", r"\$1\.05, with \$0\.70"):
        tries.clear()
        with pytest.raises(AirflowFailException, match=expected):
            run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.slow
def test_a_clip_of_unknown_price_counts_at_the_price_of_the_next(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("quote", status=400)
    tries = Tries()
    with pytest.raises(AirflowFailException, match="at an unknown price"):
        run_task(generate(tmp_path, prompt="[simulate: fail] x"), tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"\$0\.70, with \$0\.35"):
        run_task(generate(tmp_path, prompt="[simulate: fail] x", max_cost=0.40), tries)
    assert len(venice_simulator.journal.charges) == 1


def test_another_clip_on_purpose_counts_too(venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    task = VeniceQueueVideoOperator(task_id="queue", **TEXT, on_clear="resubmit", max_cost=0.40)
    run_task(task, tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"\$0\.70, with \$0\.35"):
        run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 1
