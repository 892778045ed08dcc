"""The XCom ``venice_results``: what has become of each clip, at every stage of its task."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from PIL import Image

from airflow_provider_venice.generation.run import GenerationRun
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Steps, Tries, context_of, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}

#: What every entry has.
KEYS = {"status", "job", "request", "labels", "estimated_cost", "error"}


@pytest.fixture
def venice(monkeypatch: pytest.MonkeyPatch) -> Iterator[VeniceSimulator]:
    """A simulator whose jobs take a second, which keeps clips for two minutes and has no rate limit."""
    with VeniceSimulator(speed=30, job_seconds=30, media="shared", limits=False) as simulator:
        extra = {"queue_limit": 6000, "retrieve_limit": 6000}
        connection = {"conn_type": "venice", "password": simulator.api_key, "host": simulator.base_url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        yield simulator


def generate(folder: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    given = {**TEXT, "output_path": str(folder / "clip.mp4"), "deferrable": True, **arguments}
    return VeniceGenerateVideoOperator(task_id="clips", **given)


def batch(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    rows = [{"prompt": prompt} for prompt in prompts]
    given = {"request": rows, "prompt": None, "output_path": f"{folder}/{{index}}.mp4", **arguments}
    return generate(folder, **given)


def results(tries: Tries) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tries.xcoms["venice_results"]
    assert all(set(entry) >= KEYS for entry in found), found
    return found


@pytest.mark.slow
def test_a_clip_is_shown_from_its_price_to_its_file(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries(task_count=50)
    steps = Steps(generate(tmp_path, labels={"id": 7}), tries)
    (waiting,) = results(tries)  # for the rate limit
    assert (waiting["status"], waiting["job"], waiting["error"]) == ("missing", None, None)
    assert waiting["request"] == {**TEXT, "duration": "5s"}
    assert (waiting["labels"], waiting["estimated_cost"]) == ({"id": 7}, 0.35)
    steps.go_on()
    (bought,) = results(tries)
    assert (bought["status"], bought["estimated_cost"], bought["labels"]) == ("queued", 0.35, {"id": 7})
    assert bought["job"]["queue_id"] == venice.journal.charges[0].queue_id
    assert bought["request"] == waiting["request"]
    clip = steps.end()
    (stored,) = results(tries)
    assert (stored["status"], stored["error"], stored["request"]) == ("stored", None, waiting["request"])
    assert {name: stored[name] for name in clip} == clip
    assert stored["stored_at"].startswith("20")


@pytest.mark.slow
def test_of_a_list_that_comes_back_the_other_entries_stay(tmp_path: Path, venice: VeniceSimulator) -> None:
    class QuickRun(GenerationRun):
        def hand_over_after(self, running: int) -> float:
            return 3.0

    class QuickClips(VeniceGenerateVideoOperator):
        generation_class = QuickRun

    tries = Tries()
    rows = [{"prompt": "[simulate: stuck] a"}, {"prompt": "[simulate: fail] b"}, {"prompt": "c"}]
    task = QuickClips(
        task_id="clips", request=rows, model=TEXT["model"], duration=5, output_path=f"{tmp_path}/{{index}}.mp4"
    )
    steps = Steps(task, tries)
    before = results(tries)
    assert [entry["status"] for entry in before] == ["queued"] * 3
    steps.go_on()
    after = results(tries)
    assert [entry["status"] for entry in after] == ["queued", "failed", "stored"]
    assert after[0] == before[0]
    assert [entry["request"]["prompt"] for entry in after] == [row["prompt"] for row in rows]
    venice.finish()
    arguments = steps.event()
    with pytest.raises(AirflowFailException, match="2 stored, 1 failed"):
        task.execute_complete(context_of(task, tries), **arguments)
    assert [entry["status"] for entry in results(tries)] == ["stored", "failed", "stored"]


@pytest.mark.slow
def test_what_the_vendor_says_of_a_failure_is_there_after_a_retry_too(tmp_path: Path, venice: VeniceSimulator) -> None:
    body = {
        "error": {
            "message": "refused",
            "type": "provider_content_policy",
            "credits_refunded": True,
            "recommended_model": "wan-2-6-text-to-video",
            "suggested_prompt": "a calm sea",
        }
    }
    venice.fail("retrieve", status=422, body=body, times=None)
    tries = Tries()
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            run_task(generate(tmp_path), tries)
        (failed,) = results(tries)
        assert failed["status"] == failed["job"]["status"] == "failed"
        assert failed["error"].startswith("video job") or "refused" in failed["error"]
        assert failed["error_type"] == "provider_content_policy"
        assert failed["refunded"] is True
        assert failed["recommended_model"] == "wan-2-6-text-to-video"
        assert failed["suggested_prompt"] == "a calm sea"
        assert failed["job"]["queue_id"] == venice.journal.charges[0].queue_id
        tries.xcoms.clear()
    assert len(venice.journal.charges) == 1


def test_a_refused_submission_has_the_prompt_that_venice_suggests(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries()
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            run_task(generate(tmp_path, prompt="[simulate: policy] a fight"), tries)
        (refused,) = results(tries)
        assert (refused["status"], refused["job"], refused["suggested_prompt"]) == ("failed", None, "a fight")
        assert refused["refunded"] is None
        tries.xcoms.clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"max_cost": 0.01}, "max_cost"), ({"duration": 99}, "duration"), ({"output_path": "/proc/clip.mp4"}, "/proc")],
    ids=["budget", "constraint", "target"],
)
def test_what_is_refused_before_the_purchase_is_shown(
    arguments: dict[str, Any], message: str, tmp_path: Path, venice: VeniceSimulator
) -> None:
    tries = Tries()
    with pytest.raises(AirflowException, match=message) as raised:
        run_task(generate(tmp_path, **arguments), tries)
    (refused,) = results(tries)
    assert (refused["status"], refused["job"]) == ("failed", None)
    assert refused["error"] == str(raised.value)
    assert refused["request"]["prompt"] == TEXT["prompt"]
    assert refused["estimated_cost"] == (None if message == "duration" else 0.35)
    assert venice.journal.charges == []


def test_of_a_list_each_entry_says_what_is_wrong_with_it(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries()
    task = batch(tmp_path, "a", "b", request=[{"prompt": "a"}, {"prompt": "b", "duration": 99}])
    with pytest.raises(AirflowFailException, match="1 of 2 requests is wrong"):
        run_task(task, tries)
    good, bad = results(tries)
    assert good["status"] == bad["status"] == "failed"
    assert good["error"] == "not submitted, because 1 of 2 requests is wrong, and none is queued"
    assert "duration" in bad["error"]


def test_paths_that_are_not_one_for_each_clip_are_shown(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries, task = Tries(), batch(tmp_path, "a", "b")
    task.output_path = [f"{tmp_path}/a.mp4"]  # as a template may render it
    with pytest.raises(AirflowFailException, match="give one for each"):
        run_task(task, tries)
    assert [entry["error"][:11] for entry in results(tries)] == ["not submitt"] * 2


def test_a_doubt_has_its_request_and_price(venice: VeniceSimulator) -> None:
    venice.fail("queue", drop_after=True)
    tries = Tries()
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT), tries)
        (doubt,) = results(tries)
        assert (doubt["status"], doubt["job"], doubt["estimated_cost"]) == ("doubt", None, 0.35)
        assert (doubt["venice_conn_id"], doubt["sent_at"]) == ("venice_default", pytest.approx(time.time(), abs=30))
        assert doubt["request"]["prompt"] == TEXT["prompt"]
        tries.xcoms.clear()


@pytest.mark.slow
def test_no_secret_and_no_media_are_in_it(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries = Tries(task_count=50)
    picture = io.BytesIO()
    Image.new("RGB", (512, 512)).save(picture, "PNG")
    encoded = base64.b64encode(picture.getvalue()).decode()
    image = f"data:image/png;base64,{encoded}"
    rows = [{**PRIVATE}, {"model": "wan-2-7-image-to-video", "image": image, "prompt": "b"}]
    steps = Steps(batch(tmp_path, request=rows, model=None), tries)
    texts = [json.dumps(results(tries))]
    steps.go_on()
    texts.append(json.dumps(results(tries)))
    steps.end()
    texts.append(json.dumps(results(tries)))
    assert [entry["status"] for entry in results(tries)] == ["stored"] * 2
    for text in texts:
        assert encoded[:40] not in text
        assert "image/png" in text
        assert venice.api_key not in text
        assert "http://" not in text


@pytest.mark.slow
def test_results_that_cannot_be_pushed_cost_no_clip(tmp_path: Path, venice: VeniceSimulator) -> None:
    tries, task = Tries(), generate(tmp_path, deferrable=False)
    context = context_of(task, tries)

    def push(key: str, value: Any) -> None:
        if key == "venice_results":
            raise OSError("no database")
        tries.xcoms[key] = value

    context["ti"].xcom_push = push
    assert task.execute(context)["path"]
    assert "venice_job" in tries.xcoms
    assert "venice_results" not in tries.xcoms


@pytest.mark.slow
def test_a_download_shows_its_clip(tmp_path: Path, venice: VeniceSimulator) -> None:
    hook, tries = VeniceHook(), Tries()
    job = hook.wait_for_completion(hook.queue(TEXT))
    clip = run_task(VeniceDownloadVideoOperator(task_id="d", job=job, output_path=f"{tmp_path}/a.mp4"), tries)
    (stored,) = results(tries)
    assert (stored["status"], stored["error"]) == ("stored", None)
    assert {name: stored[name] for name in clip} == clip
    assert stored["stored_at"].startswith("20")
    assert stored["request"]["prompt"] == TEXT["prompt"]
    lost = hook.queue({**TEXT, "prompt": "[simulate: fail] x"})
    venice.finish(lost.queue_id)
    with pytest.raises(AirflowFailException):
        run_task(VeniceDownloadVideoOperator(task_id="d", job=lost, output_path=f"{tmp_path}/b.mp4"), tries)
    (failed,) = results(tries)
    assert (failed["status"], failed["job"]["queue_id"]) == ("failed", lost.queue_id)
    assert "Video generation failed" in failed["error"]
