"""Another model is bought only after an end that is certain and free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceAPIError,
    VeniceBudgetError,
    VeniceConnectionError,
    VeniceConsentRequired,
    VeniceError,
    VeniceRateLimitError,
    VeniceResponseError,
    VideoGenerationError,
    VideoTimeoutError,
)
from airflow_provider_venice.generation.fallbacks import admits_fallback
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.operators.test_submission import Killed, KilledWhile
from tests.running import Steps, Tries, run_task

#: Three models that take the same request, and what five seconds of each cost.
FIRST, SECOND, THIRD = "wan-2-7-text-to-video", "wan-2.6-text-to-video", "longcat-text-to-video"
PRICES = {FIRST: 0.35, SECOND: 0.55, THIRD: 0.25}
#: One that the catalogue lists as offline.
OFFLINE = "ltx-2-19b-full-text-to-video"

TEXT: dict[str, Any] = {"model": FIRST, "prompt": "a lighthouse in fog", "duration": 5, "resolution": "720p"}

MODEL_OFFLINE: dict[str, Any] = {
    "status": 503,
    "body": {"error": {"code": "MODEL_OFFLINE", "message": "The model is offline"}},
}
REFUNDED: dict[str, Any] = {"status": 422, "body": {"error": {"message": "upstream failed", "credits_refunded": True}}}

WAITS = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])

pytestmark = pytest.mark.usefixtures("venice_connection")


def queue(*fallbacks: str, **arguments: Any) -> VeniceQueueVideoOperator:
    return VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "fallback_models": [*fallbacks], **arguments})


def generate(folder: Path, *fallbacks: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    path = f"{folder}/clip{'-{index}' if 'request' in arguments else ''}.mp4"
    given = {**TEXT, "output_path": path, "manifest": True, "fallback_models": [*fallbacks], **arguments}
    return VeniceGenerateVideoOperator(task_id="generate", **given)


def asked(venice: VeniceSimulator) -> list[str | None]:
    """Return the models that were asked for a clip, one for each submission."""
    return [call.model for call in venice.journal.calls("queue")]


def paid(venice: VeniceSimulator) -> list[str | None]:
    """Return the models that were charged."""
    return [charge.model for charge in venice.journal.charges]


def refusal(status: int, code: str | None = None, **fields: Any) -> VeniceAPIError:
    return VeniceAPIError("no", status, error_code=code, **fields)


def failure(**fields: Any) -> VideoGenerationError:
    return VideoGenerationError("no", 422, **fields)


ENDS: list[tuple[Exception, bool]] = [
    (refusal(404), True),
    (refusal(404, "MODEL_NOT_FOUND"), True),
    (refusal(400, "INVALID_MODEL"), True),
    (refusal(410), True),
    (refusal(503, "MODEL_OFFLINE", may_have_acted=False), True),
    (refusal(422), True),
    (failure(credits_refunded=True), True),
    (failure(credits_refunded=True, error_type="provider_content_policy"), True),
    (failure(credits_refunded=False), False),
    (failure(), False),
    (refusal(422, credits_refunded=False), False),
    (refusal(404, is_foreign=True), False),
    (refusal(503, "MODEL_OFFLINE"), False),
    (refusal(503, "MODEL_AT_CAPACITY", may_have_acted=False), False),
    *[(refusal(status), False) for status in (400, 401, 402, 403, 408, 409, 413, 429, 500, 502, 503, 504)],
    (VeniceConsentRequired("no", 409), False),
    (VeniceRateLimitError("no", 429), False),
    (VeniceAmbiguousSubmission("?", model=FIRST, sent_at=0.0), False),
    (VeniceConnectionError("no", sent=True), False),
    (VeniceConnectionError("no", sent=False), False),
    (VeniceResponseError("?", status_code=404), False),
    (VeniceBudgetError("no", quote=1, max_cost=0), False),
    (VideoTimeoutError("no", model=FIRST, queue_id="q"), False),
    (VeniceError("no"), False),
    (OSError("no"), False),
]


@pytest.mark.parametrize(
    ("error", "admitted"), ENDS, ids=[f"{type(end).__name__}-{n}" for n, (end, _) in enumerate(ENDS)]
)
def test_only_an_end_that_is_certain_and_free_admits_another_model(error: Exception, admitted: bool) -> None:
    assert admits_fallback(error) is admitted


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"policy": True},
        {"status": 404, "body": {"error": "Specified model not found", "code": "MODEL_NOT_FOUND"}},
        {"status": 400, "body": {"error": "Invalid model", "code": "INVALID_MODEL"}},
        {"status": 410},
        MODEL_OFFLINE,
    ],
    ids=["policy", "404", "400 INVALID_MODEL", "410", "503 MODEL_OFFLINE"],
)
def test_a_model_that_refuses_is_followed_by_the_next(
    fault: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", **fault)
    tries, task = Tries(), generate(tmp_path, SECOND, THIRD, max_cost=0.60)
    result = run_task(task, tries)
    assert asked(venice_simulator) == [FIRST, SECOND]
    assert paid(venice_simulator) == [SECOND]
    job = result["job"]
    assert (job["model"], job["requested_model"], list(job["refused_models"])) == (SECOND, FIRST, [FIRST])
    assert f"HTTP {fault.get('status', 422)}" in job["refused_models"][FIRST]
    assert job["request"]["model"] == SECOND
    assert job["estimated_cost"] == PRICES[SECOND]
    record = json.loads((tmp_path / "clip.mp4.json").read_text())
    assert (record["model"], record["requested_model"]) == (SECOND, FIRST)
    assert record["refused_models"] == job["refused_models"]
    (entry,) = tries.xcoms["venice_results"]
    assert entry["status"] == "stored"
    assert entry["refused_models"] == job["refused_models"]
    # A retry and a clear find the clip, although its model is not the one that was asked for.
    assert run_task(task, tries)["sha256"] == result["sha256"]
    tries.clear()
    assert run_task(task, tries)["sha256"] == result["sha256"]
    assert len(venice_simulator.journal.calls("queue")) == 2


def test_the_log_says_why_before_the_next_one_is_asked(venice_simulator: VeniceSimulator) -> None:
    import structlog

    venice_simulator.fail("queue", policy=True)
    with structlog.testing.capture_logs() as lines:
        run_task(queue(SECOND))
    said = [str(line["event"]) % tuple(line.get("positional_args", ())) for line in lines]
    (falling,) = [number for number, line in enumerate(said) if f"Falling back to '{SECOND}'" in line]
    (queued,) = [number for number, line in enumerate(said) if "Queued" in line]
    assert falling < queued
    assert f"model '{FIRST}' gives no clip: " in said[falling]
    assert "Nothing was paid for it" in said[falling]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400},
        {"status": 401},
        {"status": 402},
        {"status": 403},
        {"consent": True},
        {"status": 413},
        {"html": True, "status": 404},
        {"status": 500},
        {"status": 503},
        {"drop_before": True},
        {"drop_after": True},
        {"bad_json": True},
        {"status": 503, "body": {"error": {"code": "MODEL_AT_CAPACITY", "message": "busy"}}},
    ],
    ids=str,
)
def test_any_other_end_is_not(fault: dict[str, Any], venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", **fault, times=None)
    with pytest.raises((AirflowException, VeniceError)):
        run_task(queue(SECOND, max_cost=1))
    assert asked(venice_simulator) == [FIRST]


def test_a_rate_limit_is_waited_for(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "1"})
    assert run_task(queue(SECOND))["model"] == FIRST
    assert asked(venice_simulator) == [FIRST, FIRST]


@pytest.mark.parametrize("model", [OFFLINE, "wan-1-0-text-to-video"], ids=["offline", "gone"])
def test_a_model_that_the_catalogue_does_not_sell_is_not_asked(model: str, venice_simulator: VeniceSimulator) -> None:
    job = run_task(queue(SECOND, model=model))
    assert asked(venice_simulator) == [SECOND]
    assert job["requested_model"] == model
    assert job["refused_models"][model] in ("it is offline at present", "it is not a video model of this account")


def test_without_a_catalogue_the_price_shows_that_a_model_is_gone(venice_simulator: VeniceSimulator) -> None:
    job = run_task(queue(SECOND, model="wan-1-0-text-to-video", validate=False, max_cost=0.60))
    assert asked(venice_simulator) == [SECOND]
    assert (job["model"], job["estimated_cost"]) == (SECOND, PRICES[SECOND])


@pytest.mark.slow
@WAITS
def test_a_refunded_job_is_followed_in_the_same_try(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("retrieve", **REFUNDED, times=2)
    tries, task = Tries(), generate(tmp_path, SECOND, deferrable=deferrable, max_cost=0.60)
    result = run_task(task, tries)
    assert paid(venice_simulator) == [FIRST, SECOND]
    assert result["job"]["model"] == SECOND
    assert "upstream failed" in result["job"]["refused_models"][FIRST]
    assert tries.deferred_to == ["VeniceVideoTrigger"] * 2 if deferrable else tries.deferred_to == []
    assert json.loads((tmp_path / "clip.mp4.json").read_text())["status"] == "stored"


@pytest.mark.slow
@WAITS
def test_a_content_policy_that_is_met_late_and_refunded_counts_as_well(
    deferrable: bool, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("retrieve", policy=True, times=2)
    job = run_task(queue(SECOND, wait_for_completion=True, deferrable=deferrable))
    assert (job["model"], job["status"]) == (SECOND, "completed")
    assert paid(venice_simulator) == [FIRST, SECOND]


@pytest.mark.slow
@WAITS
@pytest.mark.parametrize("said", [{}, {"credits_refunded": False}], ids=["nothing", "not refunded"])
def test_a_job_that_was_not_refunded_is_not_followed(
    said: dict[str, Any], deferrable: bool, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("retrieve", status=422, body={"error": {"message": "no", **said}}, times=None)
    tries, task = Tries(), queue(SECOND, wait_for_completion=True, deferrable=deferrable)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="not said that the charge came back"):
            run_task(task, tries)
    assert paid(venice_simulator) == [FIRST]


@pytest.mark.slow
def test_where_all_jobs_were_refunded_a_retry_buys_of_the_last_model(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("retrieve", **REFUNDED, times=4)
    tries, task = Tries(), queue(SECOND, wait_for_completion=True)
    with pytest.raises(AirflowException, match="a retry submits it anew") as caught:
        run_task(task, tries)
    assert not isinstance(caught.value, AirflowFailException)
    job = run_task(task, tries)
    assert paid(venice_simulator) == [FIRST, SECOND, SECOND]
    assert list(job["refused_models"]) == [FIRST]


def test_where_all_refuse_the_last_refusal_is_the_error(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True, times=None)
    tries, task = Tries(), queue(SECOND, THIRD)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="HTTP 422"):
            run_task(task, tries)
    assert asked(venice_simulator) == [FIRST, SECOND, THIRD]
    (entry,) = tries.xcoms["venice_results"]
    assert (entry["status"], set(entry["refused_models"])) == ("failed", {FIRST, SECOND, THIRD})
    tries.clear()
    with pytest.raises(AirflowFailException, match="HTTP 422"):
        run_task(task, tries)
    assert asked(venice_simulator) == [FIRST, SECOND, THIRD] * 2


def test_where_all_are_offline_a_retry_begins_with_the_first(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", **MODEL_OFFLINE, times=2)
    tries, task = Tries(), queue(SECOND)
    with pytest.raises(VeniceAPIError, match="offline"):
        run_task(task, tries)
    assert run_task(task, tries)["model"] == FIRST
    assert asked(venice_simulator) == [FIRST, SECOND, FIRST]


def test_a_retry_goes_on_with_the_next_model_and_a_clear_begins_anew(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True, match=FIRST, times=None)
    venice_simulator.fail("queue", match=SECOND, **MODEL_OFFLINE)
    tries, task = Tries(), queue(SECOND)
    with pytest.raises(VeniceAPIError, match="offline"):
        run_task(task, tries)
    venice_simulator.fail("queue", match=SECOND, **MODEL_OFFLINE)
    with pytest.raises(VeniceAPIError, match="offline"):
        run_task(task, tries)
    assert asked(venice_simulator) == [FIRST, SECOND, SECOND]
    tries.clear()
    job = run_task(task, tries)
    assert asked(venice_simulator)[3:] == [FIRST, SECOND]
    assert list(job["refused_models"]) == [FIRST]


def test_another_request_begins_with_the_first_model(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True, times=2)
    tries = Tries()
    with pytest.raises(AirflowFailException, match="HTTP 422"):
        run_task(queue(SECOND), tries)
    assert run_task(queue(SECOND, prompt="a harbour"), tries)["model"] == FIRST


def test_a_clip_of_a_fallback_model_is_that_of_its_request(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True)
    tries = Tries()
    job = run_task(queue(SECOND), tries)
    assert run_task(queue(), tries) == job, "also where the fallback models are gone from the DAG"
    tries.clear()
    assert run_task(queue(SECOND), tries) == job
    tries.clear()
    with pytest.raises(AirflowFailException, match="the request is not the one"):
        run_task(queue(SECOND, prompt="a harbour"), tries)
    with pytest.raises(AirflowFailException, match="the request is not the one"):
        run_task(queue(SECOND, model=THIRD), tries)
    assert paid(venice_simulator) == [SECOND]


def test_a_doubt_is_followed_by_nothing(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True)
    venice_simulator.fail("queue", drop_after=True, match=SECOND)
    tries, task = Tries(), queue(SECOND, THIRD)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=f"a submission to model '{SECOND}'.*may have been accepted"):
            run_task(task, tries)
    assert asked(venice_simulator) == [FIRST, SECOND]
    tries.clear()
    assert run_task(task, tries)["model"] == FIRST


def test_a_doubt_that_is_submitted_again_unasked_stays_with_its_model(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True)
    venice_simulator.fail("queue", drop_after=True, match=SECOND)
    tries, task = Tries(), queue(SECOND, on_ambiguous="resubmit")
    with pytest.raises(VeniceAmbiguousSubmission):
        run_task(task, tries)
    assert run_task(task, tries)["model"] == SECOND
    assert asked(venice_simulator) == [FIRST, SECOND, SECOND]


@pytest.mark.parametrize(
    ("write", "after", "charged", "then"),
    [
        (1, False, 0, "job"),
        (1, True, 0, "doubt"),
        (2, False, 0, "job"),
        (2, True, 0, "job"),
        (3, False, 0, "job"),
        (3, True, 0, "doubt"),
        (4, False, 1, "doubt"),
        (4, True, 1, "job"),
    ],
    ids=[
        f"{when} the {what}"
        for what in ("first intent", "refusal", "second intent", "job")
        for when in ("before", "after")
    ],
)
def test_a_worker_killed_at_any_point_pays_once(
    write: int, after: bool, charged: int, then: str, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", policy=True, match=FIRST, times=None)
    tries, task = Tries(), queue(SECOND)
    with KilledWhile(tries, write=write, after=after), pytest.raises(Killed):
        run_task(task, tries)
    assert len(paid(venice_simulator)) == charged
    if then == "doubt":
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(task, tries)
    else:
        assert run_task(task, tries)["model"] == SECOND
    assert paid(venice_simulator) == ([SECOND] if charged or then == "job" else [])


def test_a_worker_killed_after_a_refund_buys_the_next_model_in_the_retry(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("retrieve", **REFUNDED, times=2)
    tries, task = Tries(), generate(tmp_path, SECOND)
    steps = Steps(task, tries)
    # The first write after the wait is that of the failure.
    with KilledWhile(tries, write=1, after=True), pytest.raises(Killed):
        steps.end()
    assert paid(venice_simulator) == [FIRST]
    assert run_task(task, tries)["job"]["model"] == SECOND
    assert paid(venice_simulator) == [FIRST, SECOND]


def test_the_next_model_is_bought_under_the_same_budget(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True, times=None)
    tries = Tries()
    with pytest.raises(AirflowFailException, match=r"the clip costs \$0\.55, which is above max_cost=\$0\.40"):
        run_task(generate(tmp_path, SECOND, max_cost=0.40), tries)
    assert asked(venice_simulator) == [FIRST]
    assert not paid(venice_simulator)
    assert not list(tmp_path.iterdir()), "the reservation is given back"


@pytest.mark.slow
@WAITS
def test_a_next_model_that_is_too_expensive_after_a_refund_leaves_the_path_free(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("retrieve", **REFUNDED, times=2)
    tries = Tries()
    with pytest.raises(AirflowFailException, match=r"the clip costs \$0\.55, which is above max_cost=\$0\.40"):
        run_task(generate(tmp_path, SECOND, deferrable=deferrable, max_cost=0.40), tries)
    assert paid(venice_simulator) == [FIRST]
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4.json"]
    record = json.loads((tmp_path / "clip.mp4.json").read_text())
    assert (record["status"], record["refunded"]) == ("failed", True)
    assert run_task(generate(tmp_path, SECOND, max_cost=0.60), tries)["job"]["model"] == SECOND


@pytest.mark.slow
def test_what_was_not_refunded_counts_for_the_next_model(venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("retrieve", status=422, body={"error": {"message": "no"}}, times=4)
    tries, task = Tries(), queue(SECOND, wait_for_completion=True, max_cost=0.80)
    with pytest.raises(AirflowFailException, match="not said that the charge came back"):
        run_task(task, tries)
    tries.clear()
    venice_simulator.fail("queue", policy=True)
    with pytest.raises(AirflowFailException, match=r"\$0\.90, with \$0\.35 that earlier .* max_cost=\$0\.80"):
        run_task(task, tries)
    assert paid(venice_simulator) == [FIRST]


def test_the_budget_of_a_list_counts_what_it_has_bought_and_what_is_missing(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", policy=True, match='"b"')
    rows = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]
    task = generate(tmp_path, SECOND, request=rows, prompt=None, max_cost=1.20)
    with pytest.raises(
        AirflowFailException, match=r"request\[1\].*the batch of 3 clips costs \$1\.25.*max_cost=\$1\.20"
    ):
        run_task(task)
    assert paid(venice_simulator) == [FIRST, FIRST]


@pytest.mark.slow
@WAITS
def test_of_a_list_each_clip_goes_its_own_way(
    deferrable: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", policy=True, match='"b"')
    venice_simulator.fail("retrieve", **REFUNDED, times=2, match="third")
    rows = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "third"}, {"prompt": "d", "model": THIRD}]
    tries = Tries()
    task = generate(tmp_path, SECOND, request=rows, prompt=None, deferrable=deferrable, max_cost=3)
    clips = run_task(task, tries)
    assert [clip["job"]["model"] for clip in clips] == [FIRST, SECOND, SECOND, THIRD]
    assert paid(venice_simulator) == [FIRST, SECOND, FIRST, THIRD, SECOND]
    assert [clip["job"].get("requested_model") for clip in clips] == [None, FIRST, FIRST, None]
    assert [entry["status"] for entry in tries.xcoms["venice_results"]] == ["stored"] * 4
    assert [clip["sha256"] for clip in run_task(task, tries)] == [clip["sha256"] for clip in clips]
    assert len(paid(venice_simulator)) == 5


def test_a_model_that_is_offline_is_asked_once_for_a_list(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", **MODEL_OFFLINE, match=FIRST, times=None)
    rows = [{"prompt": prompt} for prompt in "abc"]
    task = VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "prompt": None}, request=rows, fallback_models=[SECOND])
    jobs = run_task(task)
    assert [job["model"] for job in jobs] == [SECOND] * 3
    assert all(FIRST in job["refused_models"] for job in jobs)
    assert asked(venice_simulator) == [FIRST, SECOND, SECOND, SECOND]


@pytest.mark.slow
def test_a_refund_beside_a_download_that_waits_for_the_rate_limit(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    tries, task = Tries(), generate(tmp_path, SECOND, request=rows, prompt=None)
    steps = Steps(task, tries)
    venice_simulator.fail("retrieve", **REFUNDED, times=2, match=venice_simulator.jobs[1].queue_id)
    arguments = steps.event()
    venice_simulator.fail("retrieve", status=429, headers={"retry-after": "4"})
    steps.deferred = steps.launch(steps.deferred.method_name, **arguments)
    assert type(steps.deferred.trigger).__name__ == "VeniceRateLimitTrigger"
    steps.go_on()
    assert type(steps.deferred.trigger).__name__ == "VeniceVideoTrigger"
    assert [clip["job"]["model"] for clip in steps.end()] == [FIRST, SECOND]
    assert paid(venice_simulator) == [FIRST, FIRST, SECOND]


def test_a_mapped_task_falls_back_on_its_own(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", policy=True)
    for index, model in ((0, SECOND), (1, FIRST)):
        assert run_task(queue(SECOND), Tries(map_index=index))["model"] == model


@pytest.mark.parametrize(
    ("fallbacks", "arguments", "problem"),
    [
        (
            ["ltx-2-5-fast-text-to-video"],
            {},
            r"fallback_models: model 'ltx-2-5-fast-text-to-video' does not .* duration",
        ),
        (
            [SECOND, "wan-2-6"],
            {},
            r"fallback_models: model 'wan-2-6' is not a video model of this account; did you mean",
        ),
        (["wan-2-7-image-to-video"], {}, r"fallback_models: model 'wan-2-7-image-to-video' .* image_url is missing"),
        ([THIRD], {"resolution": "1080p"}, r"fallback_models: model .* resolution is '1080p'; allowed are 720p"),
    ],
)
def test_a_fallback_that_cannot_take_the_request_is_refused_before_anything_is_bought(
    fallbacks: list[str], arguments: dict[str, Any], problem: str, venice_simulator: VeniceSimulator
) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        run_task(queue(*fallbacks, **arguments))
    assert not venice_simulator.journal.calls("queue")


def test_a_misspelt_fallback_is_refused_also_where_it_would_be_passed_over(venice_simulator: VeniceSimulator) -> None:
    with pytest.raises(AirflowFailException, match="fallback_models: model 'wan-2-6' is not a video model"):
        run_task(queue("wan-2-6", SECOND, model=OFFLINE))
    assert not venice_simulator.journal.calls("queue")


def test_a_fallback_that_is_offline_now_stops_nothing(venice_simulator: VeniceSimulator) -> None:
    assert run_task(queue(OFFLINE))["model"] == FIRST


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (5, "fallback_models is 5; give a list of model ids"),
        ([SECOND, ""], r"fallback_models\[1\] is ''; give the id of a model"),
        ([SECOND, 5], r"fallback_models\[1\] is 5; give the id of a model"),
    ],
)
def test_what_names_no_models_is_refused_when_the_dag_is_parsed(given: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        VeniceQueueVideoOperator(task_id="queue", **TEXT, fallback_models=given)


@pytest.mark.parametrize(
    ("template", "params", "models"),
    [
        ("{{ params.other }}", {"other": SECOND}, (SECOND,)),
        (["{{ params.other }}", THIRD], {"other": SECOND}, (SECOND, THIRD)),
        ("{{ params.other or '' }}", {"other": None}, ()),
    ],
)
def test_templates_are_rendered(template: Any, params: dict[str, Any], models: tuple[str, ...]) -> None:
    task = VeniceQueueVideoOperator(task_id="queue", **TEXT, fallback_models=template)
    task.render_template_fields({"params": params})
    assert task.options.fallback_models == models


def test_a_template_that_renders_to_none_is_refused(venice_simulator: VeniceSimulator) -> None:
    task = VeniceQueueVideoOperator(task_id="queue", **TEXT, fallback_models=["{{ params.other }}"])
    task.render_template_fields({"params": {"other": None}})
    with pytest.raises(AirflowFailException, match=r"fallback_models\[0\] is 'None'"):
        run_task(task)
    assert not venice_simulator.journal.calls("queue")


class TestWhatIsThereAlready:
    """``existing="reuse"`` takes the clip that a fallback model has made for the same request."""

    @pytest.fixture
    def made(self, tmp_path: Path, venice_simulator: VeniceSimulator) -> dict[str, Any]:
        venice_simulator.fail("queue", **MODEL_OFFLINE)
        result: dict[str, Any] = run_task(generate(tmp_path, SECOND, existing="reuse"), Tries(run_id="monday"))
        assert result["job"]["model"] == SECOND
        return result

    def test_it_is_reused(self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
        tries = Tries(run_id="tuesday")
        result = run_task(generate(tmp_path, SECOND, existing="reuse"), tries)
        assert (result["reused"], result["sha256"]) == (True, made["sha256"])
        assert (result["job"]["model"], result["job"]["requested_model"]) == (SECOND, FIRST)
        assert FIRST in tries.xcoms["venice_results"][0]["refused_models"]
        assert paid(venice_simulator) == [SECOND]

    @pytest.mark.parametrize(
        ("fallbacks", "model"),
        [((), FIRST), ((THIRD,), FIRST), ((SECOND,), THIRD)],
        ids=["no fallback", "another fallback", "another model"],
    )
    def test_it_is_that_of_no_other_request(
        self,
        made: dict[str, Any],
        fallbacks: tuple[str, ...],
        model: str,
        tmp_path: Path,
        venice_simulator: VeniceSimulator,
    ) -> None:
        with pytest.raises(AirflowFailException, match="is of another request"):
            run_task(generate(tmp_path, *fallbacks, model=model, existing="reuse"), Tries(run_id="tuesday"))
        assert paid(venice_simulator) == [SECOND]
