"""The trigger, run as the triggerer runs it: out of its row, on an event loop, against the simulator."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from typing import Any

import pytest

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VideoGenerationError, VideoTimeoutError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.transport import limiter, shared
from airflow_provider_venice.triggers.events import completed_jobs, job_outcomes, running_jobs
from airflow_provider_venice.triggers.video import VeniceVideoTrigger
from tests.running import run_trigger, stored

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def wait(*jobs: Any, seconds: float = 30, **arguments: Any) -> dict[str, Any]:
    """Run a trigger for these jobs, out of its row, and return its event."""
    return run_trigger(stored(VeniceVideoTrigger(jobs, deadline=time.time() + seconds, **arguments)))


def test_it_waits_and_reads_no_media(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    event = wait(job)
    assert event["status"] == "success"
    (done,) = completed_jobs(event)
    assert done.is_completed()
    assert done.queue_id == job.queue_id
    assert done.metadata is not None
    polls = venice_simulator.journal.polls(job.queue_id)
    assert 2 <= len(polls) <= 12
    assert done.metadata.file_size == polls[-1].size
    assert venice_simulator.journal.deletion_requests == []


def test_its_row_holds_no_link_that_can_be_read(hook: VeniceHook) -> None:
    job = hook.queue(PRIVATE)
    assert job.download_url is not None
    trigger = VeniceVideoTrigger([job])
    row = json.dumps(trigger.serialize())
    assert job.queue_id in row
    assert job.download_url not in row
    event = run_trigger(stored(trigger))
    assert job.download_url not in json.dumps(event)
    (done,) = completed_jobs(event)
    assert hook.delete_media(done) is True  # the link came through, encrypted


@pytest.mark.slow
def test_one_failure_does_not_hide_the_others(hook: VeniceHook) -> None:
    good = hook.queue(TEXT)
    bad = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    stuck = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    event = wait(good, bad, stuck, seconds=4)
    assert event["status"] == "error"
    assert [job["queue_id"] for job in event["jobs"]] == [good.queue_id, bad.queue_id, stuck.queue_id]
    assert [job["status"] for job in event["jobs"]] == ["completed", "failed", "processing"]
    assert "Video generation failed" in event["jobs"][1]["error"]
    assert "error" not in event["jobs"][0]
    with pytest.raises(VideoGenerationError) as failure:
        completed_jobs(event)
    assert bad.queue_id in str(failure.value)
    assert stuck.queue_id in str(failure.value)
    assert failure.value.status_code == 400
    assert failure.value.queue_id == bad.queue_id


@pytest.mark.slow
def test_jobs_that_have_ended_are_handed_over_while_others_run(
    hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    stuck = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    good, later = hook.queue(TEXT), hook.queue({**TEXT, "prompt": "[simulate: slow] x"})
    bad = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    deadline = time.time() + 60
    event = run_trigger(stored(VeniceVideoTrigger([stuck, good, later, bad], deadline=deadline, hand_over_after=6)))
    assert event["status"] == "partial"
    assert event["deadline"] == deadline
    ended = {job.queue_id: error for job, error in job_outcomes(event)}
    assert list(ended) == [good.queue_id, later.queue_id, bad.queue_id]  # within the seconds after the first end
    assert [ended[job.queue_id] for job in (good, later)] == [None, None]
    assert isinstance(ended[bad.queue_id], VideoGenerationError)
    assert [job.queue_id for job in running_jobs(event)] == [stuck.queue_id]
    with pytest.raises(VeniceError, match="1 of 4 jobs are still running"):
        completed_jobs(event)
    # What was handed over is polled no more.
    polls = len(venice_simulator.journal.polls(good.queue_id))
    assert wait(*running_jobs(event), seconds=1, hand_over_after=1)["status"] == "timeout"
    assert len(venice_simulator.journal.polls(good.queue_id)) == polls


@pytest.mark.parametrize(("request_", "kept"), [(TEXT, 4), (PRIVATE, 1)], ids=["inline", "private"])
def test_room_is_kept_for_the_downloads(request_: dict[str, Any], kept: int, hook: VeniceHook) -> None:
    async def handed_over(jobs: list[VideoJob]) -> float:
        trigger = stored(VeniceVideoTrigger(jobs, deadline=time.time() + 60))
        events = [event async for event in trigger.run()]
        assert [event.payload["status"] for event in events] == ["success"]
        (key_state,) = shared._key_states[asyncio.get_running_loop()].values()
        now = asyncio.get_running_loop().time()
        return key_state.limiters["retrieve"].pace.next_at(now) - now

    # As long as that many requests take: those downloads that count as retrieves, and the last poll.
    wait = asyncio.run(handed_over([hook.queue(request_) for _ in range(3)]))
    spacing = 60 / 114 / limiter.BURST
    assert (kept - 1) * spacing - 0.1 < wait <= kept * spacing * 1.5


def test_a_hand_over_does_not_wait_when_all_have_ended(hook: VeniceHook) -> None:
    started = time.monotonic()
    event = wait(hook.queue(TEXT), hook.queue(TEXT), hand_over_after=30)
    assert time.monotonic() - started < 20
    assert event["status"] == "success"
    assert running_jobs(event) == []


def test_the_deadline_is_a_time_of_day(hook: VeniceHook) -> None:
    job = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    started = time.monotonic()
    event = wait(job, seconds=1)
    assert time.monotonic() - started < 5
    assert event["status"] == "timeout"
    with pytest.raises(VideoTimeoutError, match=job.queue_id):
        completed_jobs(event)
    # One that was restarted after the deadline looks once, and gives up.
    assert wait(job, seconds=-100)["status"] == "timeout"
    done = hook.wait_for_completion(hook.queue(TEXT))
    assert wait(done, seconds=-100)["status"] == "success"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "html": True},
        {"drop_before": True},
        {"drop_after": True},
        {"bad_json": True},
        {"html": True},
        {"status": 429, "headers": {"retry-after": "1"}},
    ],
    ids=lambda fault: "+".join(fault),
)
def test_it_outlasts_what_passes(fault: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", **fault, times=2)
    assert wait(job)["status"] == "success"


def earlier(job: VideoJob) -> VideoJob:
    """Return the job as if it had been submitted some minutes ago."""
    assert job.queued_at is not None
    return dataclasses.replace(job, queued_at=job.queued_at - 300)


@pytest.mark.slow
@pytest.mark.parametrize(("status", "polls"), [(400, 2), (401, 2), (402, 1), (403, 2), (404, 2), (410, 2), (422, 2)])
def test_it_fails_soon_on_what_cannot_heal(
    status: int, polls: int, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    job = earlier(hook.queue(TEXT))
    venice_simulator.fail("retrieve", status=status, times=None)
    event = wait(job)
    assert event["status"] == "error"
    assert event["failures"][0]["status_code"] == status
    assert len(venice_simulator.journal.polls(job.queue_id)) == polls


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        *({"status": status} for status in (400, 401, 403, 404, 410, 422)),
        {"status": 404, "html": True, "times": 3},
        {"status": 403, "body": {"message": "Forbidden"}, "times": 3},
        {"status": 200, "body": {"status": "FAILED"}},
        {"status": 200, "body": {"status": "running"}},
    ],
    ids=str,
)
def test_one_answer_ends_no_wait(fault: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = earlier(hook.queue(TEXT))
    venice_simulator.fail("retrieve", **fault)
    assert wait(job)["status"] == "success"


@pytest.mark.slow
def test_a_job_that_was_just_submitted_is_not_gone(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", status=404, times=3)
    assert wait(job)["status"] == "success"


def connect(monkeypatch: pytest.MonkeyPatch, venice: VeniceSimulator, key: str) -> None:
    connection = {"conn_type": "venice", "host": venice.base_url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))


@pytest.mark.slow
def test_a_key_that_is_replaced_fails_no_wait(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [hook.queue(TEXT) for _ in range(6)]
    connect(monkeypatch, venice_simulator, "revoked-key")
    timer = threading.Timer(2, connect, (monkeypatch, venice_simulator, venice_simulator.api_key))
    timer.start()
    try:
        event = wait(*jobs)
    finally:
        timer.join()
    assert event["status"] == "success"
    refused = [entry for entry in venice_simulator.journal.calls("retrieve") if entry.status == 401]
    assert 1 <= len(refused) <= len(jobs)


@pytest.mark.slow
def test_a_wait_is_not_lost_while_the_connection_cannot_be_read(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hook.queue(TEXT)
    connect(monkeypatch, venice_simulator, "revoked-key")

    def break_and_mend() -> None:
        monkeypatch.delenv("AIRFLOW_CONN_VENICE_DEFAULT")
        mending.start()

    breaking = threading.Timer(1, break_and_mend)
    mending = threading.Timer(7, connect, (monkeypatch, venice_simulator, venice_simulator.api_key))
    breaking.start()
    try:
        event = wait(job, seconds=60)
    finally:
        breaking.join()
        mending.join()
    assert event["status"] == "success"


@pytest.mark.slow
def test_a_policy_refusal_comes_with_all_that_was_said(hook: VeniceHook) -> None:
    job = hook.queue(model="veo3.1-fast-text-to-video", prompt="[simulate: refund] x", duration=4)
    with pytest.raises(VideoGenerationError) as refusal:
        completed_jobs(wait(job))
    assert refusal.value.error_type == "provider_content_policy"
    assert refusal.value.credits_refunded is True
    assert refusal.value.recommended_model
    assert "refunded" in str(refusal.value)


def test_a_broken_connection_is_an_event_too(monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"model": "wan-2-7-text-to-video", "queue_id": "1"}
    event = run_trigger(VeniceVideoTrigger([job], venice_conn_id="no_such_connection"))
    assert event["status"] == "error"
    with pytest.raises(VeniceError, match="no_such_connection"):
        completed_jobs(event)
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps({"conn_type": "venice"}))
    with pytest.raises(VeniceError, match="password is empty"):
        completed_jobs(run_trigger(VeniceVideoTrigger([job])))


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}, "success"])
def test_an_unknown_event_fails_loudly(event: Any) -> None:
    with pytest.raises(VeniceError, match="unknown status"):
        completed_jobs(event)


def test_its_event_comes_after_the_workers_last_heartbeat(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "1")
    job = hook.queue(TEXT)
    venice_simulator.finish(job.queue_id)
    started = time.monotonic()
    assert wait(job)["status"] == "success"
    assert time.monotonic() - started >= 2


def test_no_job_is_done_at_once(venice_connection: str) -> None:
    assert completed_jobs(wait(venice_conn_id=venice_connection)) == []


def test_progress_is_logged_when_it_changes(
    hook: VeniceHook, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    job = hook.queue({**TEXT, "prompt": "[simulate: slow] x"})
    capsys.readouterr()
    wait(job, poll_interval=0.01)
    lines = [line for line in capsys.readouterr().out.splitlines() if "is processing" in line]
    assert 1 <= len(lines) <= 12
    assert len(lines) < len(venice_simulator.journal.polls(job.queue_id))
    assert " s remaining" in lines[0]
    assert lines[0].split("is processing")[1] != lines[-1].split("is processing")[1]


def test_a_wait_that_the_deadline_ends_is_in_the_event_only(
    hook: VeniceHook, capsys: pytest.CaptureFixture[str]
) -> None:
    # Many may have the same deadline, and each line of a log holds up the loop until the triggerer has taken it.
    job = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    capsys.readouterr()
    event = wait(job, seconds=0.5)
    assert event["status"] == "timeout"
    assert "when the time was up" in event["failures"][0]["message"]
    assert "when the time was up" not in capsys.readouterr().out


@pytest.mark.parametrize("count", [10])
def test_triggers_of_one_process_share_a_session(
    count: int, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    jobs = [hook.queue(TEXT) for _ in range(count)]
    sessions: set[int] = set()

    async def run(trigger: VeniceVideoTrigger) -> str:
        async for event in trigger.run():
            return str(event.payload["status"])
        return "no event"

    async def all_of_them() -> list[str]:
        waits = [asyncio.create_task(run(VeniceVideoTrigger([job], deadline=time.time() + 60))) for job in jobs]
        while not all(task.done() for task in waits):
            sessions.update(id(entry.transport) for entry in shared._shared.values())
            await asyncio.sleep(0.01)
        return [task.result() for task in waits]

    assert asyncio.run(all_of_them()) == ["success"] * count
    assert len(sessions) == 1
    assert shared._shared == {}
    assert venice_simulator.journal.refusals == []


def test_a_wait_that_breaks_ends_no_other(hook: VeniceHook) -> None:
    good, broken = hook.queue(TEXT), hook.queue(TEXT)

    class Breaking(VeniceVideoTrigger):
        async def _wait(self, transport: Any, job: VideoJob) -> Any:
            if job.queue_id == broken.queue_id:
                raise TypeError("unsupported operand")
            return await super()._wait(transport, job)

    event = run_trigger(Breaking([broken, good], deadline=time.time() + 30))
    assert [job["status"] for job in event["jobs"]] == ["queued", "completed"]
    assert [failure["queue_id"] for failure in event["failures"]] == [broken.queue_id]


def test_a_trigger_that_is_cancelled_leaves_no_wait_running(hook: VeniceHook) -> None:
    jobs = [hook.queue({**TEXT, "prompt": "[simulate: stuck] x"}) for _ in range(5)]

    async def cancel() -> int:
        async def first_event() -> None:
            async for _ in VeniceVideoTrigger(jobs).run():
                return

        waiting = asyncio.create_task(first_event())
        await asyncio.sleep(0.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return len(asyncio.all_tasks())

    assert asyncio.run(cancel()) == 1


def test_a_cancelled_trigger_leaves_nothing_behind(hook: VeniceHook) -> None:
    job = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})

    async def cancel() -> None:
        async def first_event() -> None:
            async for _ in VeniceVideoTrigger([job]).run():
                return

        waiting = asyncio.create_task(first_event())
        await asyncio.sleep(0.3)
        assert len(shared._shared) == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert shared._shared == {}

    asyncio.run(cancel())
    assert not hook.retrieve(job).is_completed()


@pytest.mark.slow
def test_a_poll_that_is_answered_at_the_moment_of_a_hand_over_does_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with VeniceSimulator(speed=60, job_seconds=60, media="shared", limits=False) as venice:
        extra = {"queue_limit": 60_000, "retrieve_limit": 60_000}
        value = {"conn_type": "venice", "host": venice.base_url, "password": venice.api_key, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(value))
        hook = VeniceHook()
        jobs = [hook.queue({**TEXT, "prompt": "[simulate: stuck] x"}) for _ in range(60)]
        for _ in range(4):
            started = time.monotonic()
            event = wait(hook.queue(TEXT), *jobs, seconds=60, hand_over_after=1.5, poll_interval=0.01)
            assert event["status"] == "partial"
            # Up to Python 3.11, such a poll swallows its cancellation, and would go on until the deadline.
            assert time.monotonic() - started < 30
