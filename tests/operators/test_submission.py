"""No try pays twice: what a task does with what an earlier try has left."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceError,
    VideoTimeoutError,
)
from airflow_provider_venice.generation.delivery import Delivery
from airflow_provider_venice.hooks.task_store import ConcurrentTry
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.hooks.test_task_store import Server
from tests.running import Tries, clips, context_of, run_task, run_trigger, stored

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}

#: A PNG of one pixel.
FRAME = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="

WAITS = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])
BOTH = pytest.mark.parametrize("request_", [TEXT, PRIVATE], ids=["inline", "private"])


class Killed(BaseException):
    """The worker is gone; nothing of ours may catch this."""


class KilledWhile:
    """A store at which the worker is killed, before or after it has written."""

    def __init__(self, tries: Tries, *, write: int, after: bool) -> None:
        self.tries, self.write, self.after = tries, write, after

    def __enter__(self) -> Tries:
        store, writes = self.tries.store, 0
        original = type(store).set

        def fatal(key: str, value: Any, **options: Any) -> None:
            nonlocal writes
            writes += 1
            if writes == self.write and not self.after:
                raise Killed
            original(store, key, value, **options)
            if writes == self.write:
                raise Killed

        store.set = fatal  # type: ignore[method-assign]
        return self.tries

    def __exit__(self, *_: object) -> None:
        del self.tries.store.set


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def queue(**arguments: Any) -> VeniceQueueVideoOperator:
    return VeniceQueueVideoOperator(task_id="queue", **{**TEXT, **arguments})


def generate(folder: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(task_id="generate", **{**TEXT, "output_path": folder / "clip.mp4", **arguments})


def test_a_retry_returns_the_same_job(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    first = run_task(queue(), tries)
    assert run_task(queue(), tries) == first
    assert run_task(queue(prompt="edited since"), tries) == first
    wrong = queue(guidance_scale="{{ params.scale }}")
    wrong.guidance_scale = "none"
    assert run_task(wrong, tries) == first
    assert len(venice_simulator.journal.charges) == 1


def test_a_clear_with_another_request_asks_what_is_wanted(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    first = run_task(queue(), tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match="Set on_clear='resubmit' to buy a clip for the new request"):
        run_task(queue(prompt="edited since"), tries)
    assert run_task(queue(), tries) == first
    assert len(venice_simulator.journal.charges) == 1
    tries.clear()
    assert run_task(queue(prompt="edited since", on_clear="resubmit"), tries) != first


def test_the_retries_after_a_clear_are_no_clears(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    arguments: dict[str, Any] = {"wait_for_completion": True, "deferrable": True, "prompt": "[simulate: stuck] x"}
    for _ in range(2):
        with pytest.raises(VideoTimeoutError):
            run_task(queue(**arguments, timeout=0.001), tries)
        tries.clear()
    with pytest.raises(VideoTimeoutError):
        run_task(queue(**arguments, timeout=0.001), tries)
    venice_simulator.fail("retrieve", status=410, times=None)
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            run_task(queue(**arguments, timeout=5), tries)
    assert len(venice_simulator.journal.charges) == 1


def test_a_clear_is_no_answer_to_a_doubt_that_nobody_was_told_of(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    with KilledWhile(tries, write=2, after=False), pytest.raises(Killed):
        run_task(queue(), tries)
    tries.clear()
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        run_task(queue(), tries)
    assert len(venice_simulator.journal.charges) == 1
    tries.clear()
    assert run_task(queue(), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 2


def test_what_goes_wrong_before_the_submission_is_no_doubt(hook: VeniceHook, tmp_path: Path) -> None:
    tries = Tries()
    image: dict[str, Any] = {"model": "wan-2-7-image-to-video", "image": tmp_path / "missing.png"}
    with pytest.raises(AirflowFailException, match="no such file"):
        run_task(queue(**image, validate=False), tries)
    assert tries.store == {}


@pytest.mark.slow
def test_a_store_that_comes_back_soon_is_waited_for(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    store, writes = tries.store, 0

    def broken(key: str, value: Any, **options: Any) -> None:
        nonlocal writes
        writes += 1
        if 1 < writes < 4:
            raise ConnectionError("the API server is away")
        type(store).set(store, key, value, **options)

    store.set = broken  # type: ignore[method-assign]
    job = run_task(queue(), tries)
    assert job["queue_id"] == venice_simulator.jobs[0].queue_id
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize(("on_clear", "charges"), [("reattach", 1), ("resubmit", 2)])
def test_a_clear_is_the_users_choice(
    on_clear: str, charges: int, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    first = run_task(queue(on_clear=on_clear), tries)
    tries.clear()
    second = run_task(queue(on_clear=on_clear), tries)
    assert (second == first) is (charges == 1)
    # The retries of the cleared task belong to what it did.
    assert run_task(queue(on_clear=on_clear), tries) == second
    assert len(venice_simulator.journal.charges) == charges


def test_a_refusal_leaves_nothing_behind(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    venice_simulator.fail("queue", status=402)
    with pytest.raises(AirflowFailException, match="balance"):
        run_task(queue(), tries)
    assert tries.store == {}
    assert run_task(queue(), tries)["queue_id"]


@pytest.mark.parametrize("fault", [{"drop_after": True}, {"status": 503, "act": True}, {"bad_json": True}])
def test_doubt_stops_every_retry_until_somebody_looks(
    fault: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    venice_simulator.fail("queue", **fault)
    with pytest.raises(AirflowFailException, match=r"for \$0.35.*may have been accepted") as doubt:
        run_task(queue(max_cost=1), tries)
    assert isinstance(doubt.value.__cause__, VeniceAmbiguousSubmission)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="clear the task to submit it again"):
            run_task(queue(max_cost=1), tries)
    assert len(venice_simulator.journal.charges) == 1
    tries.clear()
    assert run_task(queue(max_cost=1), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 2


def test_who_prefers_a_second_bill_gets_the_clip(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    venice_simulator.fail("queue", drop_after=True)
    with pytest.raises(VeniceAmbiguousSubmission):  # which Airflow retries
        run_task(queue(on_ambiguous="resubmit"), tries)
    assert run_task(queue(on_ambiguous="resubmit"), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.parametrize(
    ("write", "after", "charged", "then"),
    [
        (1, False, 0, "job"),
        (1, True, 0, "doubt"),
        (2, False, 1, "doubt"),
        (2, True, 1, "job"),
    ],
    ids=["before the intent", "between intent and POST", "between POST and record", "after the record"],
)
def test_a_worker_killed_around_the_submission_is_charged_once(
    write: int, after: bool, charged: int, then: str, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    with KilledWhile(tries, write=write, after=after), pytest.raises(Killed):
        run_task(queue(), tries)
    assert len(venice_simulator.journal.charges) == charged
    if then == "doubt":
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(queue(), tries)
    else:
        assert run_task(queue(), tries)["queue_id"] == venice_simulator.jobs[0].queue_id
    assert len(venice_simulator.journal.charges) <= 1


@WAITS
@BOTH
def test_a_retry_waits_for_the_same_clip_and_downloads_it(
    request_: dict[str, Any], deferrable: bool, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    tries = Tries()
    task: dict[str, Any] = {"task_id": "generate", **request_, "deferrable": deferrable}
    task["output_path"] = tmp_path / "clip.mp4"
    with pytest.raises(VideoTimeoutError):
        run_task(VeniceGenerateVideoOperator(**task, timeout=0.001), tries)
    venice_simulator.finish()
    result = run_task(VeniceGenerateVideoOperator(**task, timeout=30), tries)
    assert Path(result["path"]).stat().st_size == result["size"]
    assert len(venice_simulator.journal.charges) == 1


@BOTH
def test_a_delivered_clip_is_not_fetched_again_even_if_it_is_deleted(
    request_: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    tries = Tries()
    task: dict[str, Any] = {"task_id": "generate", **request_, "output_path": tmp_path / "clip.mp4", "deferrable": True}
    first = run_task(VeniceGenerateVideoOperator(**task, delete_media=True), tries)
    delivered = venice_simulator.journal.bytes_delivered
    for overwrite in (False, True):
        again = run_task(VeniceGenerateVideoOperator(**task, delete_media=True, overwrite=overwrite), tries)
        assert (again["path"], again["sha256"]) == (first["path"], first["sha256"])
    assert venice_simulator.journal.bytes_delivered == delivered
    assert len(venice_simulator.journal.charges) == 1


@BOTH
def test_a_worker_killed_at_the_publishing_leaves_what_the_next_try_finds(
    request_: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    job = hook.wait_for_completion(hook.queue(request_))
    task: dict[str, Any] = {"task_id": "download", "job": job, "delete_media": True}
    task["output_path"] = tmp_path / "a.mp4"
    tries = Tries()
    with KilledWhile(tries, write=1, after=True), pytest.raises(Killed):
        run_task(VeniceDownloadVideoOperator(**task), tries)
    assert clips(tmp_path) == []
    first = run_task(VeniceDownloadVideoOperator(**task), tries)
    # A path that is rendered anew, and a clip that is gone: the file of the try before is the result.
    again = run_task(VeniceDownloadVideoOperator(**{**task, "output_path": tmp_path / "b.mp4"}), tries)
    assert (again["path"], again["sha256"]) == (first["path"], first["sha256"])
    assert [path.name for path in clips(tmp_path)] == ["a.mp4"]


def test_a_worker_killed_before_it_replaces_another_file_replaces_it_on_the_next_try(
    hook: VeniceHook, tmp_path: Path
) -> None:
    target = tmp_path / "clip.mp4"
    target.write_text("no video at all")
    job = hook.wait_for_completion(hook.queue(TEXT))
    task: dict[str, Any] = {"task_id": "download", "job": job, "output_path": target, "overwrite": True}
    tries = Tries()
    with KilledWhile(tries, write=1, after=True), pytest.raises(Killed):
        run_task(VeniceDownloadVideoOperator(**task), tries)
    assert target.read_text() == "no video at all"
    assert run_task(VeniceDownloadVideoOperator(**task), tries)["size"] == target.stat().st_size


@BOTH
def test_a_file_of_the_same_size_is_not_taken_for_the_clip(
    request_: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    first, second = (hook.wait_for_completion(hook.queue(request_)) for _ in range(2))
    task: dict[str, Any] = {"task_id": "download", "output_path": tmp_path / "clip.mp4", "delete_media": True}
    run_task(VeniceDownloadVideoOperator(**task, job=first))
    with pytest.raises(AirflowFailException, match="exists already"):
        run_task(VeniceDownloadVideoOperator(**task, job=second))
    assert venice_simulator.journal.unread_deletions == []
    assert hook.delete_media(second) is True


@BOTH
def test_a_retried_download_finds_its_file(
    request_: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    tries = Tries()
    job = hook.wait_for_completion(hook.queue(request_))
    task: dict[str, Any] = {"task_id": "download", "job": job, "delete_media": True}
    task["output_path"] = tmp_path / "clip.mp4"
    first = run_task(VeniceDownloadVideoOperator(**task), tries)
    again = run_task(VeniceDownloadVideoOperator(**task), tries)
    assert (again["path"], again["sha256"]) == (first["path"], first["sha256"])
    # A file that was changed since is not taken for the clip, and the clip is gone.
    (tmp_path / "clip.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes() + b"\x00\x00\x00\x08free")
    with pytest.raises(AirflowFailException):
        run_task(VeniceDownloadVideoOperator(**task), tries)


@pytest.mark.slow
@WAITS
def test_a_clip_that_failed_is_bought_again_only_if_that_costs_nothing(
    deferrable: bool, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    arguments: dict[str, Any] = {"wait_for_completion": True, "deferrable": deferrable}
    tries = Tries()
    venice_simulator.fail("retrieve", status=400, body={"error": {"message": "no", "credits_refunded": True}}, times=2)
    with pytest.raises(AirflowException, match="a retry submits it anew") as failure:
        run_task(queue(**arguments), tries)
    assert not isinstance(failure.value, (AirflowFailException, VeniceError))
    assert run_task(queue(**arguments), tries)["status"] == "completed"
    assert len(venice_simulator.journal.charges) == 2

    tries = Tries()
    venice_simulator.fail("retrieve", status=400, body={"error": {"message": "no"}}, times=2)
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            run_task(queue(**arguments), tries)
    assert len(venice_simulator.journal.charges) == 3
    # A clear looks once more before it buys: that answer was wrong.
    tries.clear()
    assert run_task(queue(**arguments), tries)["status"] == "completed"
    assert len(venice_simulator.journal.charges) == 3

    tries = Tries()
    arguments["prompt"] = "[simulate: fail] x"
    for cleared, charges in ((False, 4), (False, 4), (True, 5)):
        if cleared:
            tries.clear()
        with pytest.raises(AirflowFailException):
            run_task(queue(**arguments), tries)
        assert len(venice_simulator.journal.charges) == charges


@pytest.mark.parametrize("argument", ["on_clear", "on_ambiguous"])
def test_a_choice_that_is_none_is_told_when_the_dag_is_read(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} is 'maybe'"):
        queue(**{argument: "maybe"})


def test_the_job_is_an_xcom_as_soon_as_it_is_known(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    prompt = "[simulate: stuck] x"
    with pytest.raises(VideoTimeoutError):
        run_task(queue(prompt=prompt, wait_for_completion=True, timeout=0.001, max_cost=1, deferrable=True), tries)
    job = tries.xcoms["venice_job"]
    assert job["queue_id"] == venice_simulator.jobs[0].queue_id
    assert job["estimated_cost"] == 0.35
    assert job["balance_before"] == 100
    assert job["request"] == {"model": TEXT["model"], "prompt": prompt, "duration": "5s"}


class TestManifest:
    @BOTH
    def test_it_lies_beside_the_clip_and_tells_all(
        self, request_: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
    ) -> None:
        task: dict[str, Any] = {"task_id": "generate", **request_, "seed": 7, "deferrable": True, "validate": False}
        result = run_task(
            VeniceGenerateVideoOperator(**task, output_path=tmp_path / "clip.mp4", max_cost=1, manifest=True)
        )
        text = (tmp_path / "clip.mp4.json").read_text()
        record = json.loads(text)
        assert {name: record[name] for name in ("path", "size", "sha256", "metadata")} == {
            name: result[name] for name in ("path", "size", "sha256", "metadata")
        }
        assert record["status"] == "stored"
        assert record["queue_id"] == venice_simulator.jobs[0].queue_id
        assert record["request"]["prompt"] == TEXT["prompt"]
        assert record["seed"] == 7
        assert record["estimated_cost"] > 0
        assert record["balance_before"] == 100
        assert record["queued_at"] <= record["detected_at"] <= record["stored_at"]
        assert (record["dag_id"], record["run_id"], record["task_id"], record["map_index"]) == (
            "dag",
            "run",
            "generate",
            -1,
        )
        assert venice_simulator.jobs[0].token not in text

    def test_a_download_writes_one_too(self, hook: VeniceHook, tmp_path: Path) -> None:
        job = run_task(queue(wait_for_completion=True, deferrable=True, max_cost=1))
        run_task(
            VeniceDownloadVideoOperator(
                task_id="download", job=job, output_path=f"file://{tmp_path}/clip.mp4", manifest=True
            )
        )
        record = json.loads((tmp_path / "clip.mp4.json").read_text())
        assert record["request"]["prompt"] == TEXT["prompt"]
        assert record["estimated_cost"] == 0.35

    @pytest.mark.slow
    def test_a_refunded_clip_is_recorded(self, hook: VeniceHook, tmp_path: Path) -> None:
        task = VeniceGenerateVideoOperator(
            task_id="generate",
            **{**TEXT, "prompt": "[simulate: refund] x"},
            output_path=tmp_path / "clip.mp4",
            manifest=True,
            deferrable=True,
        )
        with pytest.raises(AirflowFailException):
            run_task(task)
        record = json.loads((tmp_path / "clip.mp4.json").read_text())
        assert record["status"] == "failed"
        assert record["refunded"] is True
        assert record["error_type"] == "provider_content_policy"
        assert record["queue_id"] in record["error"]
        assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4.json"]

    def test_media_is_told_by_its_size_only(self, hook: VeniceHook, tmp_path: Path) -> None:
        frame = base64.b64decode(FRAME)
        image: dict[str, Any] = {"model": "wan-2-7-image-to-video", "prompt": "x", "duration": 5, "image": frame}
        job = run_task(VeniceQueueVideoOperator(task_id="queue", **image))
        assert job["request"]["image_url"] == f"{len(frame)} bytes"


class TestBalance:
    def test_what_must_be_left_is_left(self, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
        with pytest.raises(AirflowFailException, match=r"costs \$0.35 of a balance of \$100.*min_balance=\$99.66"):
            run_task(queue(min_balance="99.66"))
        assert venice_simulator.journal.calls("queue") == []
        assert run_task(queue(min_balance=99.65))["estimated_cost"] == 0.35

    def test_a_batch_counts_as_a_whole(self, hook: VeniceHook) -> None:
        with pytest.raises(AirflowFailException, match=r"batch of 3 clips costs \$1.05.*min_balance=\$99"):
            run_task(VeniceQuoteVideoOperator(task_id="quote", request=[TEXT] * 3, min_balance=99))
        assert run_task(VeniceQuoteVideoOperator(task_id="quote", request=[TEXT] * 2, min_balance=99))


@pytest.mark.parametrize("wrong", [{"timeout": "5"}, {"poll_interval": -1}, {"timeout": None}])
def test_a_time_that_is_none_is_told_when_the_dag_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give seconds above zero, or a timedelta"):
        queue(**wrong)
    assert queue(timeout=timedelta(minutes=5)).timeout == 300


def test_templates_in_a_request_object_are_rendered() -> None:
    task = VeniceQueueVideoOperator(task_id="queue", request=VideoRequest(model="wan", prompt="{{ params.prompt }}"))
    task.render_template_fields({"params": {"prompt": "a lighthouse"}})
    assert task.video_request().prompt == "a lighthouse"


def test_a_try_that_was_overtaken_submits_nothing(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    tries = Tries()

    class Overtaken(Delivery):
        def reserve(self, target: Any, owner: Any) -> None:
            if not venice_simulator.journal.charges:
                run_task(generate(tmp_path), tries)
            super().reserve(target, owner)

    class Task(VeniceGenerateVideoOperator):
        @property
        def delivery(self) -> Delivery:
            return Overtaken(self.output_path, "replace", False, False)

    task = Task(task_id="generate", **TEXT, output_path=tmp_path / "clip.mp4", existing="replace")
    with pytest.raises(ConcurrentTry, match="another try of this task has submitted") as overtaken:
        run_task(task, tries)
    assert overtaken.value.can_heal
    assert len(venice_simulator.journal.charges) == 1
    # Its retry takes up what the other one has bought.
    assert run_task(generate(tmp_path), tries)["size"]
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize("kind", [memoryview, bytearray, bytes])
def test_every_image_that_is_accepted_is_noted_with_its_job(
    kind: Any, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    frame = kind(base64.b64decode(FRAME))
    image: dict[str, Any] = {"model": "wan-2-7-image-to-video", "prompt": "x", "duration": 5, "image": frame}
    tries = Tries()
    job = run_task(VeniceQueueVideoOperator(task_id="queue", **image), tries)
    assert job["request"]["image_url"] == f"{len(frame)} bytes"
    assert run_task(VeniceQueueVideoOperator(task_id="queue", **image), tries) == job
    assert len(venice_simulator.journal.charges) == 1


def test_a_freshly_signed_url_is_no_other_request(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries, image = Tries(), {"model": "wan-2-7-image-to-video", "prompt": "x", "duration": 5}
    first = run_task(queue(**image, image_url="https://cdn.example/a.png?signature=one"), tries)
    tries.clear()
    assert run_task(queue(**image, image_url="https://cdn.example/a.png?signature=two"), tries) == first
    tries.clear()
    with pytest.raises(AirflowFailException, match="Set on_clear='resubmit'"):
        run_task(queue(**image, image_url="https://cdn.example/b.png?signature=two"), tries)
    assert len(venice_simulator.journal.charges) == 1


def test_a_clear_that_cannot_be_told_from_a_retry_buys_nothing(
    hook: VeniceHook, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    # Airflow counts the clears of a run; which task was cleared shows in max_tries only, and not always.
    tries = Tries()
    first = run_task(queue(on_clear="resubmit"), tries)
    tries.clear_number += 1
    assert run_task(queue(on_clear="resubmit"), tries) == first
    assert "Airflow does not say which" in capsys.readouterr().out
    assert run_task(queue(on_clear="resubmit"), tries) == first
    assert "Airflow does not say which" not in capsys.readouterr().out
    assert len(venice_simulator.journal.charges) == 1
    tries.clear()
    assert run_task(queue(on_clear="resubmit"), tries) != first


def test_a_clear_that_leaves_max_tries_as_it_was_shows_in_the_retries_that_are_left(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    # Seen on Airflow 3.3: a clear of a task that ran has set max_tries to what the next clear sets it to.
    tries = Tries(max_tries=4, try_number=2)
    venice_simulator.fail("queue", drop_after=True)
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        run_task(queue(), tries)
    tries.try_number, tries.clear_number = 3, 1
    assert run_task(queue(), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 2


def test_a_clear_that_cannot_be_told_is_no_answer_to_a_doubt(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    venice_simulator.fail("queue", drop_after=True)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(queue(), tries)
        tries.clear_number += 1
    assert len(venice_simulator.journal.charges) == 1


def test_a_doubt_is_in_the_xcom_too(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    venice_simulator.fail("queue", drop_after=True)
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        run_task(queue(), tries)
    (outcome,) = tries.xcoms["venice_results"]
    assert outcome["status"] == "doubt"
    assert "may have been accepted" in outcome["error"]


@pytest.mark.parametrize("reports", [False, True], ids=["killed before it is reported", "reported"])
def test_a_doubt_counts_as_reported_only_once_it_is(
    reports: bool, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    with KilledWhile(tries, write=2, after=False), pytest.raises(Killed):
        run_task(queue(), tries)
    # The next try finds the doubt: it reports it and then notes that.
    with KilledWhile(tries, write=1, after=reports), pytest.raises(Killed):
        run_task(queue(), tries)
    assert tries.xcoms["venice_results"][0]["status"] == "doubt"
    tries.clear()
    if reports:
        assert run_task(queue(), tries)["queue_id"]
    else:
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(queue(), tries)
    assert len(venice_simulator.journal.charges) == 1 + reports


def test_a_refusal_is_remembered_until_the_request_changes_or_the_task_is_cleared(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="content policy"):
            run_task(queue(prompt="[simulate: policy] x"), tries)
    assert len(venice_simulator.journal.calls("queue")) == 1
    assert run_task(queue(prompt="another"), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 1


def test_a_try_that_was_replaced_says_so_and_does_nothing(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Supervisor:
        """Answers as Airflow does to a try that is not the current one."""

        def send(self, message: Any) -> Any:
            if isinstance(message, GetVariable):
                return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404}))

    tries, task = Tries(), generate(tmp_path)
    run_task(task, tries)
    # What the other try has stored is in its place, and this one is shown an empty store.
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", Supervisor(), raising=False)
    context = context_of(task, Tries())
    context["ti"].id = "0190a3f4-0000-7000-8000-000000000000"
    with pytest.raises(AirflowFailException, match="Airflow has replaced this try") as replaced:
        task.execute(context)
    assert "another path" not in str(replaced.value)
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize("way", ["the wait", "the rate limit", "the wait was lost"])
def test_a_wait_that_began_before_the_upgrade_to_the_state_store_goes_on_after_it(
    way: str, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(monkeypatch)
    task = generate(tmp_path)

    def first_try() -> Any:
        context = context_of(task, Tries(try_number=1))
        context["ti"].id = "0190a3f4-0000-7000-8000-000000000000"
        return context

    before = first_try()
    del before["task_state_store"]
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(before)
    event, progress = run_trigger(stored(deferred.value.trigger)), (deferred.value.kwargs or {})["progress"]
    if way == "the wait":
        result = task.execute_complete(first_try(), event, progress)
    elif way == "the rate limit":
        # As where a download has waited: it comes back without an event of the jobs. A second wait finds it finished.
        with pytest.raises(TaskDeferred) as again:
            task.execute_download(first_try(), {}, progress, None)
        result = task.execute_complete(first_try(), run_trigger(stored(again.value.trigger)), progress)
    else:
        assert event["jobs"][0]["queue_id"] in task.generation(first_try()).describe_bought()
        result = task.execute_complete(first_try(), event, progress)
    assert result["path"] == str(tmp_path / "clip.mp4")
    assert len(venice_simulator.journal.charges) == 1


def test_a_record_that_is_deleted_while_the_task_waits_is_no_reason_to_buy_again(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    tries, task = Tries(), generate(tmp_path)
    context = context_of(task, tries)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = run_trigger(stored(deferred.value.trigger))
    tries.store.clear()
    with pytest.raises(AirflowFailException, match=r"has no record of it any more.*VeniceDownloadVideoOperator, job="):
        task.execute_complete(context, event)
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_the_event_of_an_earlier_try_says_nothing_to_the_next(
    status: str, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    # Airflow 3.3 resumes the next try with the last one's event, where a task is cleared while it runs.
    tries, task = Tries(), generate(tmp_path, timeout=0.001)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context_of(task, tries))
    if status == "failed":
        venice_simulator.fail("retrieve", status=400, times=2)
    event = run_trigger(stored(deferred.value.trigger))
    assert event["failures"]
    venice_simulator.finish()
    tries.try_number += 1
    context = context_of(task, tries)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute_complete(context, event)
    assert tries.xcoms["venice_job"]["queue_id"] == venice_simulator.jobs[0].queue_id
    assert task.execute_complete(context, run_trigger(stored(deferred.value.trigger)))["size"]
    assert len(venice_simulator.journal.charges) == 1


def test_a_doubt_is_reported_by_a_try_that_begins_where_the_last_one_was_resumed(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    tries = Tries()
    with KilledWhile(tries, write=2, after=False), pytest.raises(Killed):
        run_task(queue(), tries)
    admitted = {"status": "success", "since": 0.0, "deadline": 4e9}
    task = queue()
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        task.execute_submission(context_of(task, tries), admitted)
    assert tries.xcoms["venice_results"][0]["status"] == "doubt"
    tries.clear()
    assert run_task(queue(), tries)["queue_id"]
    assert len(venice_simulator.journal.charges) == 2
