"""The sensor in both modes, deferred as through the database, against the simulator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_venice.hooks.private_links import encrypt_link
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Steps, Tries, context_of, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}

MODES = pytest.mark.parametrize(
    "mode", [{"deferrable": True}, {"deferrable": False, "poke_interval": 0.1}], ids=["deferred", "poke"]
)


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


@MODES
def test_a_job_comes_back_completed(mode: dict[str, Any], hook: VeniceHook) -> None:
    job = encrypt_link(hook.queue(TEXT))
    done = run_task(VeniceVideoSensor(task_id="wait", job=job, **mode))
    assert done["queue_id"] == job["queue_id"]
    assert done["status"] == "completed"
    assert done["queued_at"] == job["queued_at"]


@MODES
def test_the_results_have_an_entry_for_each_job(mode: dict[str, Any], hook: VeniceHook) -> None:
    tries, job = Tries(), hook.queue(TEXT)
    done = run_task(VeniceVideoSensor(task_id="wait", job=job, **mode), tries)
    (entry,) = tries.xcoms["venice_results"]
    assert (entry["status"], entry["error"], entry["job"]) == ("completed", None, done)
    assert entry["request"]["prompt"] == TEXT["prompt"]
    assert entry["estimated_cost"] == 0.35
    stuck = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    sensor = VeniceVideoSensor(task_id="wait", job=[stuck], timeout=0.5, **mode)
    with pytest.raises(AirflowSensorTimeout):
        run_task(sensor, tries)
    (entry,) = tries.xcoms["venice_results"]
    assert entry["status"] in ("queued", "processing")  # it is still running at Venice
    assert entry["error"]


@MODES
def test_a_list_comes_back_in_its_order(
    mode: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    jobs = [hook.queue(TEXT) for _ in range(3)]
    venice_simulator.finish(jobs[2].queue_id)
    done = run_task(VeniceVideoSensor(task_id="wait", job=jobs, **mode))
    assert [job["queue_id"] for job in done] == [job.queue_id for job in jobs]
    assert {job["status"] for job in done} == {"completed"}


@MODES
def test_a_private_link_stays_encrypted(mode: dict[str, Any], hook: VeniceHook) -> None:
    job = hook.queue(PRIVATE)
    assert job.download_url is not None
    for given in (job, encrypt_link(job)):
        done = run_task(VeniceVideoSensor(task_id="wait", job=given, **mode))
        assert job.download_url not in json.dumps(done)
        assert done["download_url"]
    assert hook.delete_media(done) is True


@pytest.mark.slow
@MODES
def test_a_failed_job_fails_the_task_for_good(mode: dict[str, Any], hook: VeniceHook) -> None:
    good, bad = hook.queue(TEXT), hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    tries = Tries()
    with pytest.raises(AirflowFailException, match="Video generation failed"):
        run_task(VeniceVideoSensor(task_id="wait", job=[bad, good], **mode), tries)
    results = tries.xcoms["venice_results"]
    assert [(one["job"]["queue_id"], one["status"]) for one in results] == [
        (bad.queue_id, "failed"),
        (good.queue_id, "completed"),
    ]
    assert "Video generation failed" in results[0]["error"]
    with pytest.raises(AirflowSkipException, match="Video generation failed"):
        run_task(VeniceVideoSensor(task_id="wait", job=bad, soft_fail=True, **mode))


def test_the_time_is_up(hook: VeniceHook) -> None:
    job = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    with pytest.raises(AirflowSensorTimeout, match="Venice keeps it for a limited time"):
        run_task(VeniceVideoSensor(task_id="wait", job=job, timeout=0.5))
    with pytest.raises(AirflowSkipException):
        run_task(VeniceVideoSensor(task_id="wait", job=job, timeout=0.5, soft_fail=True))
    with pytest.raises(AirflowSensorTimeout):
        run_task(VeniceVideoSensor(task_id="wait", job=job, timeout=0.5, deferrable=False, poke_interval=0.1))


@pytest.mark.slow
def test_poking_outlasts_what_passes(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", status=500, times=4)
    done = run_task(VeniceVideoSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.1))
    assert done["status"] == "completed"
    venice_simulator.fail("retrieve", status=401, times=None)
    with pytest.raises(AirflowFailException, match="check the API key"):
        run_task(VeniceVideoSensor(task_id="wait", job=job, deferrable=False, poke_interval=0.1))


RESCHEDULE: dict[str, Any] = {"deferrable": False, "mode": "reschedule", "poke_interval": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [{"deferrable": False, "poke_interval": 0.1}, RESCHEDULE], ids=["poke", "reschedule"])
@pytest.mark.parametrize("fault", [{"status": 422}, {"status": 401}, {"status": 404, "html": True}], ids=str)
def test_one_answer_ends_no_poke(
    fault: dict[str, Any], mode: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.job_seconds = 36_000
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", **fault)
    sensor = VeniceVideoSensor(task_id="wait", job=job, **mode)
    assert not sensor.poke({}).is_done
    venice_simulator.finish()
    assert sensor.poke({}).is_done


def test_an_end_is_polled_twice_within_a_poke(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", status=422, times=None)
    with pytest.raises(AirflowFailException, match="422"):
        VeniceVideoSensor(task_id="wait", job=job, **RESCHEDULE).poke({})
    assert len(venice_simulator.journal.polls(job.queue_id)) == 2


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        ("{{ ti.xcom_pull('queue') }}", "job is str"),
        (None, "job is None"),
        ({"model": "wan-2-7-text-to-video"}, "no queue_id"),
        ([{"queue_id": "1"}], "no model"),
    ],
)
def test_what_is_no_job_is_told(job: Any, problem: str) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        run_task(VeniceVideoSensor(task_id="wait", job=job))


@pytest.mark.slow
@MODES
def test_never_fail_skips(mode: dict[str, Any], hook: VeniceHook) -> None:
    bad = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    with pytest.raises(AirflowSkipException, match="Video generation failed"):
        run_task(VeniceVideoSensor(task_id="wait", job=bad, never_fail=True, **mode))


def test_a_connection_that_is_not_defined_is_final_and_says_what_was_bought(hook: VeniceHook) -> None:
    job = hook.queue(TEXT)
    with pytest.raises(AirflowFailException, match=r"'no_such_connection' is not defined.*The clip is paid for"):
        run_task(VeniceVideoSensor(task_id="wait", job=job, venice_conn_id="no_such_connection"))


def test_a_list_is_not_rescheduled() -> None:
    with pytest.raises(ValueError, match="forgets between two pokes"):
        VeniceVideoSensor(task_id="wait", job=[{"model": "wan", "queue_id": "1"}], mode="reschedule", deferrable=False)
    VeniceVideoSensor(task_id="wait", job=[{"model": "wan", "queue_id": "1"}], mode="reschedule")


def test_a_wait_that_no_triggerer_ends_says_what_it_waited_for(hook: VeniceHook) -> None:
    job = hook.queue(TEXT)
    tries, sensor = Tries(), VeniceVideoSensor(task_id="wait", job=encrypt_link(job), timeout=60)
    steps = Steps(sensor, tries)
    assert steps.deferred.timeout is not None
    assert 60 < steps.deferred.timeout.total_seconds() <= 60 + 120
    # As Airflow resumes a task at that time.
    with pytest.raises(AirflowSensorTimeout, match=f"no trigger has ended the wait in time.*{job.queue_id}"):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(sensor, tries))
