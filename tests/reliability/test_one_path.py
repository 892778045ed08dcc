"""Six mapped tasks with one output_path, in a real Airflow: one buys and stores its clip, five fail before payment."""

from __future__ import annotations

import pytest

from tests.reliability.runs import Venue

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(420)]


@pytest.mark.parametrize("dag_id", ["one_path", "one_path_overwritten"])
def test_one_path_is_paid_for_once(dag_id: str, venue: Venue) -> None:
    run = venue.start(dag_id, dag_id)
    assert run.wait() == "failed"
    assert len(run.charges) == 1, run.explain()
    assert len(run.clips()) == 1
    states = venue.stack.task_states(dag_id, dag_id)
    assert sorted(map(str, states.values())) == ["failed"] * 5 + ["success"], run.explain()
    # A clear buys nothing either: the path has its clip.
    venue.stack.clear_failed(dag_id, dag_id)
    venue.stack.wait_until(lambda: run.tries("generate", failed(states)) == 2 and run.has_ended(), 120, "the clear")
    assert len(run.charges) == 1, run.explain()
    refusal = run.log("generate", failed(states), 2)
    assert "exists already" in refusal or "was stored by" in refusal


def failed(states: dict[str, str | None]) -> int:
    """Return the map index of a task that has failed."""
    return next(int(name.partition("[")[2].rstrip("]")) for name, state in states.items() if state == "failed")
