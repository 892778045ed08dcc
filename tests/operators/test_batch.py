"""A list of requests in one task: one wait, an end for each, and no clip is paid for twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import Asset

from airflow_provider_venice.exceptions import VideoBatchError
from airflow_provider_venice.generation.run import GenerationRun
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import MemoryStore, Steps, Tries, context_of, run_task

MODEL: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}
VIDEO = "VeniceVideoTrigger"
TURN = "VeniceRateLimitTrigger"

WAITS = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])

pytestmark = pytest.mark.usefixtures("venice_connection")


def batch(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(
        task_id="clips",
        request=[{"prompt": prompt} for prompt in prompts],
        **{"output_path": f"{folder}/{{index:02}}.mp4", "deferrable": True, **MODEL, **arguments},
    )


def prompts_paid(venice: VeniceSimulator) -> list[str]:
    jobs = {job.queue_id: job.prompt for job in venice.jobs}
    return [jobs[charge.queue_id or ""] for charge in venice.journal.charges]


@pytest.mark.slow
@WAITS
def test_all_clips_of_a_list_come_in_its_order_through_one_wait(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    task = batch(tmp_path, "[simulate: slow] a", "b", "c", deferrable=deferrable, manifest=True)
    clips = run_task(task, tries)
    assert [Path(clip["path"]).name for clip in clips] == ["00.mp4", "01.mp4", "02.mp4"]
    assert prompts_paid(venice_simulator) == ["[simulate: slow] a", "b", "c"]
    assert [clip["job"]["queue_id"] for clip in clips] == [c.queue_id for c in venice_simulator.journal.charges]
    assert tries.deferred_to == ([VIDEO] if deferrable else [])
    assert [job["queue_id"] for job in tries.xcoms["venice_job"]] == [clip["job"]["queue_id"] for clip in clips]
    assert [result["status"] for result in tries.xcoms["venice_results"]] == ["stored"] * 3
    records = [json.loads((tmp_path / f"0{n}.mp4.json").read_text()) for n in range(3)]
    assert [record["request"]["prompt"] for record in records] == ["[simulate: slow] a", "b", "c"]
    assert [clip["sha256"] for clip in run_task(task, tries)] == [clip["sha256"] for clip in clips]
    assert len(venice_simulator.journal.charges) == 3


@pytest.mark.slow
@WAITS
def test_one_that_fails_does_not_hide_the_others(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    task = batch(tmp_path, "a", "[simulate: fail] b", "c", deferrable=deferrable, manifest=True)
    with pytest.raises(AirflowFailException, match=r"3 clips: 2 stored, 1 failed.* request\[1\]"):
        run_task(task, tries)
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"00.mp4", "02.mp4"}
    assert json.loads((tmp_path / "01.mp4.json").read_text())["status"] == "failed"
    results = tries.xcoms["venice_results"]
    assert [result["status"] for result in results] == ["stored", "failed", "stored"]
    assert "Video generation failed" in results[1]["error"]
    assert results[1]["job"]["queue_id"] == venice_simulator.journal.charges[1].queue_id
    # A retry, which Airflow would not make, pays nothing; a clear asks Venice once more, and buys the one again.
    with pytest.raises(AirflowFailException, match="3 clips: 2 stored, 1 failed"):
        run_task(task, tries)
    assert len(venice_simulator.journal.charges) == 3
    tries.clear()
    with pytest.raises(AirflowFailException, match="3 clips: 2 stored, 1 failed"):
        run_task(task, tries)
    assert prompts_paid(venice_simulator)[3:] == ["[simulate: fail] b"]


def test_what_venice_refuses_is_not_asked_again_before_a_clear(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    task = batch(tmp_path, "a", "[simulate: policy] b", "c")
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"request\[1\]"):
            run_task(task, tries)
    assert prompts_paid(venice_simulator) == ["a", "c"]
    assert len(venice_simulator.journal.calls("queue")) == 3
    tries.clear()
    with pytest.raises(AirflowFailException):
        run_task(task, tries)
    assert len(venice_simulator.journal.calls("queue")) == 4
    assert len(venice_simulator.journal.charges) == 2


def test_nothing_more_is_bought_while_one_is_in_doubt(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", drop_after=True, match='"b"')
    tries = Tries()
    task = batch(tmp_path, "a", "b", "c")
    for _ in range(2):
        with pytest.raises(
            AirflowFailException, match=r'request\[1\] "b".*may have been accepted.*request\[2\] "c": not submitted'
        ):
            run_task(task, tries)
    assert (tmp_path / "00.mp4").exists()
    assert prompts_paid(venice_simulator) == ["a", "b"]
    tries.clear()  # by a person who has looked
    assert len(run_task(task, tries)) == 3
    assert prompts_paid(venice_simulator) == ["a", "b", "b", "c"]


def test_a_doubt_is_reported_before_the_wait_and_what_is_left_with_it(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    class Killed(BaseException):
        """The worker is gone."""

    tries, task = Tries(), batch(tmp_path, "[simulate: stuck] a", "b", "c", timeout=0.001)
    original = type(tries.store).set

    def fatal(key: str, value: Any, **options: Any) -> None:
        if key == "venice_submission_1" and value.get("job"):
            raise Killed  # after the acceptance of "b", and before the note of it
        original(tries.store, key, value, **options)

    tries.store.set = fatal  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_task(task, tries)
    del tries.store.set
    tries.xcoms.clear()
    capsys.readouterr()
    # The next try waits for "a", which does not end. By then it has reported the doubt.
    with pytest.raises(TaskDeferred):
        task.execute(context_of(task, tries))
    log = capsys.readouterr().out
    assert 'request[1] "b": a submission' in log
    assert "may have been accepted and charged" in log
    assert "Not submitted: request[2], because another submission is in doubt" in log
    assert [result["status"] for result in tries.xcoms["venice_results"]] == ["queued", "doubt", "failed"]
    assert prompts_paid(venice_simulator) == ["[simulate: stuck] a", "b"]
    # So a clear of the task that waits is a person's answer.
    tries.clear()
    with pytest.raises(TaskDeferred):
        task.execute(context_of(task, tries))
    assert prompts_paid(venice_simulator) == ["[simulate: stuck] a", "b", "b", "c"]


def test_what_was_bought_is_shown_at_the_start_of_every_try(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    tries, task = Tries(), batch(tmp_path, "[simulate: stuck] a", "[simulate: stuck] b")
    with pytest.raises(TaskDeferred):
        task.execute(context_of(task, tries))
    bought = tries.xcoms.pop("venice_job")  # Airflow drops it when the next try starts
    with pytest.raises(TaskDeferred):
        task.execute(context_of(task, tries))
    assert tries.xcoms["venice_job"] == bought
    assert [job["queue_id"] for job in bought] == [job.queue_id for job in venice_simulator.jobs]


@pytest.mark.slow
def test_a_refunded_one_is_bought_anew_by_a_retry(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    body = {"error": {"message": "upstream failed", "credits_refunded": True}}
    venice_simulator.fail("retrieve", status=422, body=body, match="boat", times=2)
    tries = Tries()
    task = batch(tmp_path, "an a", "a boat")
    with pytest.raises(VideoBatchError) as caught:
        run_task(task, tries)
    assert caught.value.can_heal
    assert [result["status"] for result in caught.value.results] == ["stored", "failed"]
    assert len(run_task(task, tries)) == 2
    assert prompts_paid(venice_simulator) == ["an a", "a boat", "a boat"]


def test_what_is_wrong_in_one_is_told_before_any_is_bought(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    task = batch(tmp_path, "a", "b")
    task.request[1]["durations"] = 5
    with pytest.raises(AirflowFailException, match=r"request\[1\].*durations"):
        run_task(task)
    too_long = batch(tmp_path, "a", "b")
    too_long.request[1]["duration"] = 99
    with pytest.raises(AirflowFailException, match="duration is '99s'"):
        run_task(too_long)
    assert len(venice_simulator.journal.calls("queue")) == 0


@pytest.mark.parametrize(
    ("output_path", "problem"),
    [
        ("/clips/x.mp4", r"put \{index\} into"),
        (["/clips/x.mp4"], "1 path for 2 clips"),
        (["/clips/x.mp4", "/clips/x.mp4"], r"request\[1\] .*'/clips/x.mp4' is that of request\[0\] too"),
    ],
)
def test_every_clip_needs_a_path_of_its_own(
    output_path: Any, problem: str, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        run_task(batch(tmp_path, "a", "b", output_path=output_path))
    assert venice_simulator.journal.charges == []


def test_a_path_that_is_taken_is_told_before_any_is_bought(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    (tmp_path / "01.mp4").write_bytes(b"mine")
    with pytest.raises(AirflowFailException, match=r"01\.mp4"):
        run_task(batch(tmp_path, "a", "b"))
    assert venice_simulator.journal.charges == []


def test_the_budget_is_that_of_all_and_what_was_spent_counts(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    price = run_task(batch(tmp_path / "one", "x", max_cost=10))[0]["job"]["estimated_cost"]
    with pytest.raises(AirflowFailException, match=r"the batch of 3 clips costs .* above max_cost"):
        run_task(batch(tmp_path, "a", "b", "c", max_cost=2.5 * price))
    assert len(venice_simulator.journal.charges) == 1
    # Clips that are priced alike take one quote.
    assert len(venice_simulator.journal.calls("quote")) == 2
    tries = Tries()
    venice_simulator.fail("queue", status=402, match='"b"', times=2)  # then, and after the wait for the other
    with pytest.raises(AirflowFailException, match=r"request\[1\]"):
        run_task(batch(tmp_path, "a", "b", max_cost=2 * price), tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match=r"the batch of 2 clips costs .* above max_cost"):
        run_task(batch(tmp_path, "a", "b", max_cost=1.5 * price), tries)
    assert len(run_task(batch(tmp_path, "a", "b", max_cost=2 * price), tries)) == 2
    assert len(venice_simulator.journal.charges) == 3


@pytest.mark.slow
def test_a_rate_limit_in_the_middle_is_waited_for_in_the_triggerer(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "4"}, match='"c"')
    tries = Tries()
    assert len(run_task(batch(tmp_path, "a", "b", "c", "d"), tries)) == 4
    assert tries.deferred_to == [TURN, VIDEO]
    assert prompts_paid(venice_simulator) == ["a", "b", "c", "d"]


@pytest.mark.slow
def test_a_retry_goes_on_where_the_way_to_venice_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venice_simulator: VeniceSimulator
) -> None:
    tries, task = Tries(), batch(tmp_path, "a", "b", "c", "d")
    venice_simulator.fail("queue", status=402, match='"c"', times=2)  # then, and after the wait for the others
    with pytest.raises(AirflowFailException, match=r'request\[3\] "d": not submitted, because request\[2\] "c"'):
        run_task(task, tries)
    venice_simulator.fail("models", status=503, times=5)
    with pytest.raises(VideoBatchError) as caught:
        run_task(task, tries)
    assert caught.value.can_heal
    assert [result["status"] for result in caught.value.results] == ["stored", "stored", "failed", "failed"]
    assert len(run_task(task, tries)) == 4
    assert prompts_paid(venice_simulator) == ["a", "b", "c", "d"]


def test_what_a_killed_try_has_bought_is_taken_up(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    class Killed(BaseException):
        """The worker is gone."""

    tries, task = Tries(), batch(tmp_path, "a", "b", "c")
    original, bought = type(tries.store).set, 0

    def fatal(key: str, value: Any, **options: Any) -> None:
        nonlocal bought
        original(tries.store, key, value, **options)
        bought += bool(value.get("job"))
        if bought == 2:
            raise Killed

    tries.store.set = fatal  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_task(task, tries)
    del tries.store.set
    assert len(run_task(task, tries)) == 3
    assert prompts_paid(venice_simulator) == ["a", "b", "c"]


def test_the_outlets_are_told_of_all(tmp_path: Path) -> None:
    asset = Asset("s3://bucket/clips")
    tries = Tries()
    run_task(batch(tmp_path, "a", "b", outlets=[asset]), tries)
    (extra,) = tries.outlet_extras.values()
    assert [video["path"] for video in extra["videos"]] == [f"{tmp_path}/00.mp4", f"{tmp_path}/01.mp4"]


def test_an_empty_list_is_no_work(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    assert run_task(batch(tmp_path), tries) == []
    assert len(venice_simulator.journal) == 0


@pytest.mark.slow
def test_what_a_list_has_bought_can_be_recovered(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    with pytest.raises(AirflowFailException):
        run_task(batch(tmp_path, "a", "[simulate: fail] b", "c"), tries)
    tries.upstream = {key: [value] for key, value in tries.xcoms.items()}
    report = run_task(VeniceRecoverVideosOperator(task_id="recover", output_dir=str(tmp_path / "more")), tries)
    assert [fate["status"] for fate in report] == ["delivered", "lost", "delivered"]


@pytest.mark.slow
def test_more_than_a_minute_allows_are_all_bought_without_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VeniceSimulator(speed=10, media="shared", job_seconds=1, resets="ms", balance=1000) as venice:
        connection = {"conn_type": "venice", "password": venice.api_key, "host": venice.base_url}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        tries = Tries()
        clips = run_task(batch(tmp_path, *(f"clip {n}" for n in range(60))), tries)
        assert len(clips) == 60
        assert len({clip["sha256"] for clip in clips}) == 60
        assert tries.deferred_to[0] == TURN
        assert tries.deferred_to[-1] == VIDEO
        assert len(venice.journal.charges) == 60
        assert [call for call in venice.journal.calls("queue") if call.refused] == []


@pytest.fixture
def venice(monkeypatch: pytest.MonkeyPatch) -> Iterator[VeniceSimulator]:
    """A simulator whose jobs take a second, which keeps clips for two minutes and has no rate limit."""
    with VeniceSimulator(speed=30, job_seconds=30, media="shared", limits=False) as simulator:
        extra = {"queue_limit": 6000, "retrieve_limit": 6000}
        connection = {"conn_type": "venice", "password": simulator.api_key, "host": simulator.base_url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        yield simulator


class QuickRun(GenerationRun):
    """A run that stores a list as far as it has come three seconds after the first end."""

    def hand_over_after(self, running: int) -> float:
        """Return three seconds."""
        return 3.0


class QuickClips(VeniceGenerateVideoOperator):
    """The operator, with that run."""

    generation_class = QuickRun


def quick(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    return QuickClips(
        task_id="clips",
        request=[{"prompt": prompt} for prompt in prompts],
        **{"output_path": f"{folder}/{{index:02}}.mp4", **MODEL, **arguments},
    )


@pytest.mark.slow
def test_a_list_is_stored_as_far_as_it_has_come(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries()
    steps = Steps(quick(tmp_path, "a", "[simulate: stuck] b", "c", timeout=15), tries)
    first = steps.waiting
    steps.go_on()
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"00.mp4", "02.mp4"}
    stuck = venice.journal.charges[1].queue_id
    assert [job["queue_id"] for job in steps.waiting["jobs"]] == [stuck]
    assert steps.waiting["deadline"] == first["deadline"]
    shown = tries.xcoms["venice_job"]
    assert [job["queue_id"] for job in shown] == [charge.queue_id for charge in venice.journal.charges]
    assert [job.get("delivery", {}).get("is_stored") for job in shown] == [True, None, True]
    retrieves = {id: len(venice.journal.calls("retrieve", id)) for id in (shown[0]["queue_id"],)}
    venice.finish(stuck)
    clips = json.loads(json.dumps(steps.task.execute_complete(context_of(steps.task, tries), **steps.event())))
    assert [Path(clip["path"]).name for clip in clips] == ["00.mp4", "01.mp4", "02.mp4"]
    assert {clip["job"]["status"] for clip in clips} == {"completed"}
    assert {clip["job"]["request"]["prompt"] for clip in clips} == {"a", "[simulate: stuck] b", "c"}
    # What was stored was neither polled nor fetched again.
    assert {id: len(venice.journal.calls("retrieve", id)) for id in retrieves} == retrieves
    assert len(venice.journal.charges) == 3


@pytest.mark.slow
def test_what_was_handed_over_survives_the_deadline_of_the_others(tmp_path: Path, venice: VeniceSimulator) -> None:
    body = {"error": {"message": "upstream failed", "credits_refunded": True}}
    venice.fail("retrieve", status=422, body=body, match="boat", times=2)
    tries = Tries()
    task = quick(tmp_path, "a", "[simulate: stuck] b", "a boat", timeout=15)
    with pytest.raises(VideoBatchError) as caught:
        run_task(task, tries)
    assert len(tries.deferred_to) >= 2
    assert caught.value.can_heal
    assert [result["status"] for result in tries.xcoms["venice_results"]] == ["stored", "failed", "failed"]
    assert "when the time was up" in tries.xcoms["venice_results"][1]["error"]
    assert "Nothing was paid for it" in tries.xcoms["venice_results"][2]["error"]
    assert tries.xcoms["venice_results"][2]["job"]["queue_id"] == venice.journal.charges[2].queue_id
    # The one that was refunded is bought again by the next try, and not by this one.
    assert prompts_paid(venice) == ["a", "[simulate: stuck] b", "a boat"]
    venice.finish(venice.journal.charges[1].queue_id)
    assert len(run_task(task, tries)) == 3
    assert prompts_paid(venice)[3:] == ["a boat"]


@pytest.mark.slow
def test_a_hand_over_reads_what_has_ended_and_no_more(tmp_path: Path, venice: VeniceSimulator) -> None:
    class CountingStore(MemoryStore):
        """Counts what is read."""

        reads = 0

        def get(self, *arguments: Any) -> Any:
            type(self).reads += 1
            return super().get(*arguments)

    prompts = [f"clip {n}" if n % 10 == 0 else f"[simulate: stuck] clip {n}" for n in range(30)]
    steps = Steps(quick(tmp_path, *prompts), Tries(store=CountingStore()))
    CountingStore.reads = 0
    steps.go_on()
    stored_now = len(list(tmp_path.glob("*.mp4")))
    assert 1 <= stored_now <= 3
    assert CountingStore.reads <= 3 * stored_now
    travels = json.dumps([steps.waiting, steps.deferred.kwargs])
    assert len(travels) < 30 * 600
    assert "clip 1" not in travels  # the requests stay in the store


@pytest.mark.slow
@pytest.mark.parametrize("delete_media", [False, True])
def test_a_worker_that_is_killed_in_a_hand_over_fetches_no_clip_twice(
    delete_media: bool, tmp_path: Path, venice: VeniceSimulator
) -> None:
    class Killed(BaseException):
        """The worker is gone."""

    tries = Tries()
    task = quick(tmp_path, "a", "[simulate: stuck] b", "c", delete_media=delete_media)
    steps = Steps(task, tries)
    arguments = steps.event()
    original = type(tries.store).set

    def fatal(key: str, value: Any, **options: Any) -> None:
        if key == "venice_delivery_2":
            raise Killed
        original(tries.store, key, value, **options)

    tries.store.set = fatal  # type: ignore[method-assign]
    with pytest.raises(Killed):
        task.execute_complete(context_of(task, tries), **arguments)
    del tries.store.set
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["00.mp4"]
    fetched = len(venice.journal.calls("retrieve", venice.journal.charges[0].queue_id))
    tries.xcoms.clear()
    tries.try_number += 1
    venice.finish(venice.journal.charges[1].queue_id)
    assert len(run_task(task, tries)) == 3
    assert len(venice.journal.calls("retrieve", venice.journal.charges[0].queue_id)) == fetched
    assert len(venice.journal.charges) == 3


@pytest.mark.slow
def test_clips_are_deleted_at_venice_only_when_all_that_was_bought_is_shown(
    tmp_path: Path, venice: VeniceSimulator
) -> None:
    tries = Tries()
    steps = Steps(quick(tmp_path, "a", "[simulate: stuck] b", "c", delete_media=True), tries)
    steps.go_on()
    assert len(venice.journal.calls("complete")) == 2
    assert venice.journal.unread_deletions == []
    assert [bool(job.get("delivery")) for job in tries.xcoms["venice_job"]] == [True, False, True]
    venice.finish(venice.journal.charges[1].queue_id)
    steps.task.execute_complete(context_of(steps.task, tries), **steps.event())
    assert len(venice.journal.calls("complete")) == 3


@pytest.mark.slow
def test_what_an_earlier_try_knew_is_not_believed(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries()
    steps = Steps(quick(tmp_path, "a", "[simulate: stuck] b", timeout=20), tries)
    steps.go_on()
    venice.finish(venice.journal.charges[1].queue_id)
    arguments = steps.event()
    (tmp_path / "00.mp4").unlink()
    tries.try_number += 1  # cleared while it ran: Airflow keeps the arguments
    steps.deferred = steps.launch("execute_complete", **arguments)
    assert len(steps.waiting["jobs"]) == 1
    steps.task.execute_complete(context_of(steps.task, tries), **steps.event())
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"00.mp4", "01.mp4"}


@pytest.mark.slow
def test_a_list_that_was_shortened_while_it_waited_goes_on(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries()
    steps = Steps(quick(tmp_path, "a", "[simulate: stuck] b", "c"), tries)
    arguments = steps.event()
    steps.task = quick(tmp_path, "a", "[simulate: stuck] b")
    steps.deferred = steps.launch("execute_complete", **arguments)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["00.mp4"]
    venice.finish(venice.journal.charges[1].queue_id)
    assert len(steps.end()) == 2
    assert len(venice.journal.charges) == 3


@pytest.mark.slow
def test_a_record_that_is_deleted_after_its_clip_was_stored_is_no_reason_to_buy(
    tmp_path: Path, venice: VeniceSimulator
) -> None:
    tries = Tries()
    steps = Steps(quick(tmp_path, "a", "[simulate: stuck] b"), tries)
    steps.go_on()
    tries.store.delete("venice_submission_0")
    venice.finish(venice.journal.charges[1].queue_id)
    with pytest.raises(
        AirflowFailException, match=r"request\[0\] \"a\": it was bought by this try, and has no record any more"
    ):
        steps.end()
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"00.mp4", "01.mp4"}
    assert len(venice.journal.charges) == 2
    assert len(tries.xcoms["venice_job"]) == 2


def test_a_list_shows_what_is_stored_before_it_deletes_at_venice(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    deletion, tries = venice_simulator.fail("complete", hang=3.0), Tries()
    worker = threading.Thread(target=run_task, args=(batch(tmp_path, "a", "b", delete_media=True), tries))
    worker.start()
    while deletion.times and worker.is_alive():
        time.sleep(0.01)
    shown = [job.get("delivery", {}).get("is_stored") for job in tries.xcoms["venice_job"]]
    worker.join()
    assert deletion.times == 0, "the deletion was asked for"
    assert shown == [True, True]
