"""The callback of the example finds a doubt in what Airflow gives it, also that of one clip in a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from example_dags.venice_alerts import find_doubt
from tests.running import run_task

FIELDS: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}


def fail(folder: Path, *prompts: str) -> BaseException:
    """Return what a task fails with that makes these clips."""
    requests = [{"prompt": prompt} for prompt in prompts]
    task = VeniceGenerateVideoOperator(
        task_id="generate",
        request=requests if len(requests) > 1 else requests[0],
        output_path=folder / ("clip-{index}.mp4" if len(requests) > 1 else "clip.mp4"),
        **FIELDS,
    )
    with pytest.raises(AirflowFailException) as failure:
        run_task(task)
    return failure.value


@pytest.mark.parametrize("prompts", [["[simulate: lost] a"], ["a", "[simulate: lost] b"]], ids=["one", "list"])
def test_a_doubt_is_found(venice_connection: str, tmp_path: Path, prompts: list[str]) -> None:
    doubt = find_doubt(fail(tmp_path, *prompts))
    assert doubt is not None
    assert doubt.count("may have been accepted and charged") == 1


@pytest.mark.parametrize("prompts", [["[simulate: policy] a"], ["a", "[simulate: policy] b"]], ids=["one", "list"])
def test_any_other_failure_is_none(venice_connection: str, tmp_path: Path, prompts: list[str]) -> None:
    assert find_doubt(fail(tmp_path, *prompts)) is None


def test_what_is_no_exception_is_none() -> None:
    assert find_doubt("the worker was lost") is None  # what Airflow says of a task whose worker ended
