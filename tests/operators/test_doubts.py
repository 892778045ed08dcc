"""A submission in doubt is asked about in the account's usage history, and submitted again only where that is safe."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceError
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.pytest_plugin import SPEED
from tests.running import MemoryStore, Tries, clips, context_of, run_task

MODEL = "wan-2-7-text-to-video"
TEXT: dict[str, Any] = {"model": MODEL, "prompt": "a lighthouse in fog", "duration": 5}
SKU = f"{MODEL}-video-unit"

WAITS = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])
AMBIGUOUS = pytest.mark.parametrize("on_ambiguous", ["fail", "check"])

Connect = Callable[..., None]


@pytest.fixture
def connect(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return what defines the connections; at first, so that a charge appears within half a second."""

    def define(admin_conn_id: str | None = "venice_admin", **extra: Any) -> None:
        for conn_id, key in (("default", venice_simulator.api_key), ("admin", venice_simulator.admin_key)):
            connection = {
                "conn_type": "venice",
                "host": venice_simulator.base_url,
                "password": key,
                "extra": {
                    "retry_attempts": 1,
                    "retry_max_wait": 0.05,
                    "connect_timeout": 0.2,
                    "read_timeout": 2,
                    "billing_delay": 0.5,
                    **({"admin_conn_id": admin_conn_id} if conn_id == "default" else {}),
                    **extra,
                },
            }
            monkeypatch.setenv(f"AIRFLOW_CONN_VENICE_{conn_id.upper()}", json.dumps(connection))

    define()
    return define


@pytest.fixture
def venice(venice_simulator: VeniceSimulator, connect: Connect) -> VeniceSimulator:
    """The simulator, and both connections to it."""
    return venice_simulator


def lose(venice: VeniceSimulator, *, charged: bool, times: int | None = 1, match: str | None = None) -> None:
    """Have the answers to submissions lost, after they were accepted or before."""
    effect: dict[str, Any] = {"drop_after": True} if charged else {"drop_before": True}
    venice.fail("queue", times=times, match=match, **effect)


def queue(**arguments: Any) -> VeniceQueueVideoOperator:
    return VeniceQueueVideoOperator(task_id="queue", **{**TEXT, **arguments})


def generate(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    requests = [{**TEXT, "prompt": prompt} for prompt in prompts]
    return VeniceGenerateVideoOperator(
        task_id="generate", request=requests, output_path=f"{folder}/{{index}}.mp4", **arguments
    )


def failure(task: Any, tries: Tries) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        run_task(task, tries)
    return caught.value


def result(tries: Tries, place: int = 0) -> dict[str, Any]:
    """Return the entry of a clip in the XCom of results."""
    entry: dict[str, Any] = tries.xcoms["venice_results"][place]
    return entry


@WAITS
def test_a_charge_is_evidence_and_nothing_is_sent(venice: VeniceSimulator, deferrable: bool) -> None:
    lose(venice, charged=True)
    tries = Tries()
    error = failure(queue(deferrable=deferrable, on_ambiguous="check"), tries)
    assert isinstance(error, AirflowFailException)
    assert "By the account's usage history: charged (it has an entry of that model, price and time" in str(error)
    assert "report the time and the model to Venice" in str(error)
    assert len(venice.journal.charges) == len(venice.journal.calls("queue")) == 1
    assert result(tries)["status"] == "doubt"
    evidence = result(tries)["usage_history"]
    assert evidence["answer"] == "charged"
    assert evidence["entry"]["request_id"] == venice.jobs[0].queue_id
    assert tries.deferred_to == (["VeniceUsageHistoryTrigger"] if deferrable else [])


@AMBIGUOUS
def test_no_charge_is_submitted_again_only_where_that_is_asked_for(venice: VeniceSimulator, on_ambiguous: str) -> None:
    lose(venice, charged=False)
    tries, task = Tries(), queue(on_ambiguous=on_ambiguous)
    if on_ambiguous == "check":
        job = run_task(task, tries)
        assert job["queue_id"] == venice.jobs[0].queue_id
        assert len(venice.journal.calls("queue")) == 2
    else:
        error = failure(task, tries)
        assert isinstance(error, AirflowFailException)
        assert "By the account's usage history: not charged (it has no entry that may be its charge)" in str(error)
        assert "on_ambiguous='check' does that by itself" in str(error)
        assert result(tries)["usage_history"]["answer"] == "not charged"
        assert len(venice.journal.calls("queue")) == 1
        tries.clear()
        run_task(task, tries)
    assert len(venice.journal.charges) == 1


@AMBIGUOUS
@pytest.mark.parametrize("charged", [True, False])
def test_another_purchase_of_the_same_kind_leaves_it_open(
    venice: VeniceSimulator, on_ambiguous: str, charged: bool
) -> None:
    lose(venice, charged=charged)
    for _ in range(2):
        venice.charge(SKU, 0.35)
    tries = Tries()
    error = failure(queue(on_ambiguous=on_ambiguous), tries)
    assert isinstance(error, AirflowFailException)
    assert "cannot tell (it has entries that may be its charge or another purchase" in str(error)
    assert "Look at the usage page" in str(error)
    assert len(venice.journal.calls("queue")) == 1


def test_purchases_of_other_models_change_nothing(venice: VeniceSimulator) -> None:
    lose(venice, charged=False)
    venice.charge("ltx-2-5-fast-text-to-video-video-unit", 0.36)
    venice.charge("zai-org-glm-5-1-llm-output-mtoken", 0.01)
    assert run_task(queue(on_ambiguous="check"))["queue_id"]
    assert len(venice.journal.charges) == 1


@pytest.mark.simulator(usage_sku="video-of-{model}")
@pytest.mark.parametrize("charged", [True, False])
def test_a_product_that_is_not_known_leaves_it_open(venice: VeniceSimulator, charged: bool) -> None:
    run_task(queue(), Tries(run_id="another"))
    lose(venice, charged=charged)
    error = failure(queue(on_ambiguous="check"), Tries())
    assert "cannot tell" in str(error)
    assert len(venice.journal.calls("queue")) == 2


def test_a_charge_that_comes_late_but_in_time_is_found(venice: VeniceSimulator) -> None:
    venice.usage_delay = 0.4 * SPEED
    lose(venice, charged=True)
    assert "charged (it has an entry" in str(failure(queue(on_ambiguous="check"), Tries()))
    assert len(venice.journal.charges) == 1


@AMBIGUOUS
def test_a_history_that_cannot_be_read_leaves_it_open(venice: VeniceSimulator, on_ambiguous: str) -> None:
    lose(venice, charged=False)
    venice.fail("usage_history", status=500, times=None)
    tries = Tries()
    error = failure(queue(on_ambiguous=on_ambiguous), tries)
    assert isinstance(error, AirflowFailException)
    assert "cannot tell (the usage history cannot be read with the connection 'venice_admin': " in str(error)
    assert result(tries)["usage_history"]["read_at"] is None
    assert len(venice.journal.calls("queue")) == 1


def test_check_without_an_admin_connection_is_refused_before_anything_is_bought(
    venice: VeniceSimulator, connect: Connect
) -> None:
    connect(admin_conn_id=None)
    tries = Tries()
    error = failure(queue(on_ambiguous="check"), tries)
    assert isinstance(error, AirflowFailException)
    assert "on_ambiguous='check' reads the account's usage history" in str(error)
    assert "has no admin_conn_id" in str(error)
    assert venice.journal.calls("queue") == []
    assert result(tries)["status"] == "failed"


def test_without_an_admin_connection_a_doubt_waits_for_nothing(venice: VeniceSimulator, connect: Connect) -> None:
    connect(admin_conn_id=None)
    lose(venice, charged=True)
    tries = Tries()
    error = failure(queue(), tries)
    assert "usage history" not in str(error)
    assert tries.deferred_to == []
    assert venice.journal.calls("usage_history") == []


def test_the_admin_connection_is_not_read_where_there_is_no_doubt(venice: VeniceSimulator, connect: Connect) -> None:
    connect(admin_conn_id="venice_not_defined")
    assert run_task(queue(on_ambiguous="check"))["queue_id"]


def test_in_a_worker_evidence_is_not_waited_for(venice: VeniceSimulator, connect: Connect) -> None:
    connect(billing_delay=600)
    lose(venice, charged=True)
    began, tries = time.monotonic(), Tries()
    error = failure(queue(deferrable=False), tries)
    assert time.monotonic() - began < 20
    assert "usage history" not in str(error)
    assert venice.journal.calls("usage_history") == []
    # A later try, once the time has passed, asks.
    connect()
    time.sleep(0.6)
    assert "By the account's usage history: charged" in str(failure(queue(deferrable=False), tries))
    assert len(venice.journal.calls("queue")) == 1


def test_a_doubt_is_reported_before_the_wait(venice: VeniceSimulator) -> None:
    lose(venice, charged=True)
    tries, task = Tries(), queue(on_ambiguous="check")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context_of(task, tries))
    assert result(tries)["status"] == "doubt"
    assert tries.store["venice_submission"]["doubt_reported"]
    trigger = deferred.value.trigger
    assert trigger.serialize()[1].keys() == {"moment"}
    assert deferred.value.timeout.total_seconds() > 100
    # A clear while it waits is a person's answer, as without an admin connection.
    tries.clear()
    run_task(task, tries)
    assert len(venice.journal.charges) == 2


def test_a_second_doubt_in_a_try_is_for_the_next_try(venice: VeniceSimulator) -> None:
    lose(venice, charged=False, times=2)
    tries, task = Tries(), queue(on_ambiguous="check")
    error = failure(task, tries)
    assert not isinstance(error, AirflowFailException), "Airflow tries it again"
    assert isinstance(error, VeniceAmbiguousSubmission)
    assert len(venice.journal.calls("queue")) == 2
    assert run_task(task, tries)["queue_id"]
    assert len(venice.journal.charges) == 1


def test_an_answer_is_of_one_submission(venice: VeniceSimulator) -> None:
    """Not charged, submitted again, charged, and the answer lost: nothing is sent a third time."""
    lose(venice, charged=False)
    lose(venice, charged=True)
    tries, task = Tries(), queue(on_ambiguous="check")
    assert isinstance(failure(task, tries), VeniceAmbiguousSubmission)
    error = failure(task, tries)
    assert isinstance(error, AirflowFailException)
    assert "By the account's usage history: charged" in str(error)
    assert isinstance(failure(task, tries), AirflowFailException)
    assert len(venice.journal.charges) == 1
    assert len(venice.journal.calls("queue")) == 2


def test_what_was_not_charged_does_not_count_for_the_budget(venice: VeniceSimulator) -> None:
    lose(venice, charged=False)
    assert run_task(queue(on_ambiguous="check", max_cost=0.5))["queue_id"]
    lose(venice, charged=True)
    tries = Tries()
    failure(queue(on_ambiguous="check", max_cost=0.5), tries)
    tries.clear()
    assert "which is above max_cost" in str(failure(queue(on_ambiguous="check", max_cost=0.5), tries))
    assert len(venice.journal.charges) == 2


class Killed(BaseException):
    """The worker is gone; nothing of ours may catch this."""


class FatalStore(MemoryStore):
    """A store at whose n-th write the worker is killed, before or after it."""

    def __init__(self, write: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = write, after

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().set(key, value, retention=retention)
        if self.left == 0:
            raise Killed


#: The writes of a task whose first submission was lost: its intent, that the doubt was reported, what the history says
#: of it; then the intent of the second submission, and its job.
WRITES = {1: "intent", 2: "report", 3: "answer", 4: "second intent", 5: "job"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", WRITES, ids=WRITES.get)
@pytest.mark.parametrize("charged", [True, False], ids=["charged", "not charged"])
def test_a_worker_that_is_killed_at_a_doubt(venice: VeniceSimulator, charged: bool, write: int, after: bool) -> None:
    lose(venice, charged=charged)
    tries, task = Tries(store=FatalStore(write, after=after)), queue(on_ambiguous="check")
    outcomes: list[Any] = []
    for _ in range(4):
        try:
            outcomes.append(run_task(task, tries))
        except Killed:
            continue
        except Exception as error:
            outcomes.append(error)
    reached = not (charged and write > 3)
    assert (len(outcomes) == 3) is reached, "the worker was killed once"
    assert len(venice.journal.charges) == 1
    ends_in_doubt = charged and not (write == 1 and not after)
    lost_job = (write, after) == (5, False) or (write == 1 and not after and charged)
    if ends_in_doubt or lost_job:
        assert isinstance(outcomes[-1], AirflowFailException)
        assert "By the account's usage history: charged" in str(outcomes[-1])
    else:
        assert outcomes[-1]["queue_id"] == venice.jobs[0].queue_id


@WAITS
@pytest.mark.parametrize("charged", [True, False])
def test_a_list_goes_on_only_after_not_charged(
    venice: VeniceSimulator, tmp_path: Path, charged: bool, deferrable: bool
) -> None:
    lose(venice, charged=charged, match="two")
    tries = Tries()
    task = generate(tmp_path, "one", "two", "three", on_ambiguous="check", deferrable=deferrable)
    if not charged:
        assert len(run_task(task, tries)) == 3
        assert len(clips(tmp_path)) == 3
        assert [entry["status"] for entry in tries.xcoms["venice_results"]] == ["stored"] * 3
    else:
        error = failure(task, tries)
        assert isinstance(error, AirflowFailException)
        assert "By the account's usage history: charged" in str(error)
        assert [entry["status"] for entry in tries.xcoms["venice_results"]] == ["stored", "doubt", "failed"]
        assert len(clips(tmp_path)) == 1
        tries.clear()
        assert len(run_task(task, tries)) == 3
    assert len(venice.journal.charges) == (4 if charged else 3)


@pytest.mark.simulator(usage_ids="other")
@pytest.mark.parametrize("charged", [True, False])
def test_the_own_purchases_of_a_list_are_counted(venice: VeniceSimulator, tmp_path: Path, charged: bool) -> None:
    lose(venice, charged=charged, match="three")
    task = generate(tmp_path, "one", "two", "three", on_ambiguous="check")
    if charged:
        assert "charged (it has an entry" in str(failure(task, Tries()))
    else:
        assert len(run_task(task)) == 3
    assert len(venice.journal.charges) == 3


def test_several_doubts_of_a_list_are_answered_together(venice: VeniceSimulator, tmp_path: Path) -> None:
    """Two workers were lost right before their submissions, as after a clear of a list in doubt."""
    tries, task = Tries(), generate(tmp_path, "one", "two", on_ambiguous="check")
    for name in ("one", "two"):
        lone = Tries(store=FatalStore(1, after=True))
        with pytest.raises(Killed):
            run_task(generate(tmp_path, name, on_ambiguous="check"), lone)
        (tmp_path / "0.mp4.reserved").unlink(missing_ok=True)
        place = ("one", "two").index(name)
        tries.store[f"venice_submission_{place}"] = lone.store["venice_submission_0"]
    assert len(run_task(task, tries)) == 2
    assert len(venice.journal.charges) == 2


def test_a_sibling_in_doubt_may_own_the_charge(venice: VeniceSimulator) -> None:
    """Of two mapped tasks in doubt one was charged; nobody can say which."""
    lose(venice, charged=True)
    doubt = {"status": "doubt", "request": TEXT}
    tries = Tries(map_index=0, upstream={"venice_results": [[doubt], [doubt]]})
    assert "cannot tell" in str(failure(queue(), tries))


def test_the_job_of_a_sibling_explains_its_charge(venice: VeniceSimulator) -> None:
    sibling = run_task(queue(), Tries(map_index=1))
    lose(venice, charged=False)
    alone = Tries(map_index=0)
    assert "charged (it has an entry" in str(failure(queue(), alone)), "it is not known"
    lose(venice, charged=False)
    tries = Tries(map_index=2, upstream={"venice_job": [sibling, None, "no job", {"model": 5}]})
    assert run_task(queue(on_ambiguous="check"), tries)["queue_id"] != sibling["queue_id"]
    assert len(venice.journal.charges) == 2


def test_resubmit_asks_nobody(venice: VeniceSimulator) -> None:
    lose(venice, charged=True)
    tries, task = Tries(), queue(on_ambiguous="resubmit")
    assert isinstance(failure(task, tries), VeniceError)
    run_task(task, tries)
    assert venice.journal.calls("usage_history") == []
    assert len(venice.journal.charges) == 2
