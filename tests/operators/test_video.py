"""The operators, deferred as through the database, against the simulator."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_venice.api.request import REQUEST_FIELDS, VideoRequest
from airflow_provider_venice.exceptions import VeniceConnectionError, VideoDownloadError, VideoTimeoutError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Steps, Tries, clips, context_of, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}

WAITS = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


@pytest.fixture
def impatient(hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that gives up soon."""
    extra = {"retry_attempts": 2, "retry_max_wait": 0.1}
    connection = {"conn_type": "venice", "host": venice_simulator.base_url, "password": venice_simulator.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps({**connection, "extra": extra}))


@pytest.mark.parametrize("operator", [VeniceQuoteVideoOperator, VeniceQueueVideoOperator, VeniceGenerateVideoOperator])
def test_every_field_of_a_request_is_a_templated_argument(operator: Any) -> None:
    assert {*REQUEST_FIELDS, "request", "image", "max_cost", "venice_conn_id"} <= set(operator.template_fields)
    arguments = {"output_path": "/data/x.mp4"} if operator is VeniceGenerateVideoOperator else {}
    task = operator(task_id="t", **dict.fromkeys(REQUEST_FIELDS, "{{ given }}"), **arguments)
    assert all(getattr(task, name) == "{{ given }}" for name in REQUEST_FIELDS)


class TestQuote:
    def test_one_request(self, hook: VeniceHook) -> None:
        for arguments in (TEXT, {"request": TEXT}, {"request": VideoRequest.of(TEXT)}):
            quote = run_task(VeniceQuoteVideoOperator(task_id="quote", **arguments))
            assert quote["estimated_cost"] == 0.35
            assert quote["currency"] == "USD"

    def test_a_list_has_a_total(self, hook: VeniceHook) -> None:
        rows = [{"prompt": "one"}, {"prompt": "two", "duration": 10}]
        result = run_task(
            VeniceQuoteVideoOperator(task_id="quote", request=rows, model=TEXT["model"], duration=5, max_cost="2")
        )
        costs = [quote["estimated_cost"] for quote in result["quotes"]]
        assert costs[0] < costs[1]
        assert result["total_cost"] == pytest.approx(sum(costs))

    def test_above_the_budget_nothing_goes_on(self, hook: VeniceHook) -> None:
        with pytest.raises(AirflowFailException, match=r"costs \$0.35.*max_cost=\$0.34"):
            run_task(VeniceQuoteVideoOperator(task_id="quote", **TEXT, max_cost=0.34))
        assert run_task(VeniceQuoteVideoOperator(task_id="quote", **TEXT, max_cost=0.35))
        with pytest.raises(AirflowFailException, match=r"batch of 3 clips costs \$1.05"):
            run_task(VeniceQuoteVideoOperator(task_id="quote", request=[TEXT] * 3, max_cost=Decimal(1)))

    @pytest.mark.parametrize("max_cost", ["cheap", -1, "nan"])
    def test_a_budget_is_an_amount(self, max_cost: Any, hook: VeniceHook) -> None:
        with pytest.raises(AirflowFailException, match="max_cost is"):
            run_task(VeniceQuoteVideoOperator(task_id="quote", **TEXT, max_cost=max_cost))


class TestQueue:
    def test_the_job_is_plain_json(self, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
        job = run_task(VeniceQueueVideoOperator(task_id="queue", request=TEXT, max_cost=1))
        assert job["model"] == TEXT["model"]
        assert job["status"] == "queued"
        assert [charge.queue_id for charge in venice_simulator.journal.charges] == [job["queue_id"]]

    def test_a_request_goes_before_the_defaults(self, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
        row = {"prompt": "from the row", "duration": "10s", "seed": ""}
        run_task(VeniceQueueVideoOperator(task_id="queue", request=row, **TEXT))
        (job,) = venice_simulator.jobs
        assert job.body["prompt"] == "from the row"
        assert job.body["duration"] == "10s"
        assert "seed" not in job.body

    @pytest.mark.parametrize(
        ("change", "problems"),
        [
            ({"model": "wan-2-7-text"}, ["did you mean wan-2-7-text-to-video"]),
            (
                {"duration": 7, "resolution": "8k", "aspect_ratio": "2:1", "prompt": "x" * 99_999},
                ["duration is '7s'; allowed are 5s", "resolution is '8k'", "aspect_ratio is '2:1'", "prompt has 99999"],
            ),
            ({"model": "wan-2-7-image-to-video"}, ["image_url is missing"]),
            ({"duration": "soon", "style": "noir"}, ["unknown field in the video request: 'style'"]),
            ({"max_cost": 0.1}, ["nothing was queued"]),
        ],
        ids=["model", "fields", "image", "unknown", "budget"],
    )
    def test_what_is_wrong_is_told_before_money_is_spent(
        self, change: dict[str, Any], problems: list[str], hook: VeniceHook, venice_simulator: VeniceSimulator
    ) -> None:
        arguments = {"max_cost": change.pop("max_cost", None)}
        with pytest.raises(AirflowFailException) as refused:
            run_task(VeniceQueueVideoOperator(task_id="queue", request={**TEXT, **change}, **arguments))
        for problem in problems:
            assert problem in str(refused.value)
        assert venice_simulator.journal.calls("queue") == []

    def test_the_vendor_decides_without_validation(self, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
        with pytest.raises(AirflowFailException, match=r"HTTP 400.*duration"):
            run_task(VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "duration": 7}, validate=False))
        assert venice_simulator.journal.calls("models") == []
        assert venice_simulator.journal.charges == []

    def test_doubt_ends_the_task_for_good(self, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
        venice_simulator.fail("queue", drop_after=True)
        with pytest.raises(AirflowFailException, match="may have been accepted and charged"):
            run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT))
        assert len(venice_simulator.journal.charges) == 1

    @WAITS
    def test_it_may_wait(self, deferrable: bool, hook: VeniceHook) -> None:
        job = run_task(
            VeniceQueueVideoOperator(task_id="queue", **PRIVATE, wait_for_completion=True, deferrable=deferrable)
        )
        assert job["status"] == "completed"
        assert "http" not in job["download_url"]
        assert hook.delete_media(job) is True

    @pytest.mark.slow
    @WAITS
    def test_a_failed_wait_never_pays_again(
        self, deferrable: bool, hook: VeniceHook, venice_simulator: VeniceSimulator
    ) -> None:
        waiting: dict[str, Any] = {"task_id": "queue", "wait_for_completion": True, "timeout": 2}
        waiting["deferrable"] = deferrable
        stuck, failed = Tries(), Tries()
        for _ in range(2):
            with pytest.raises(VideoTimeoutError, match="Venice keeps it for a limited time"):  # which Airflow retries
                run_task(VeniceQueueVideoOperator(**{**TEXT, "prompt": "[simulate: stuck] x"}, **waiting), stuck)
            with pytest.raises(AirflowFailException, match="generation failed"):
                run_task(VeniceQueueVideoOperator(**{**TEXT, "prompt": "[simulate: fail] x"}, **waiting), failed)
        assert len(venice_simulator.journal.charges) == 2


class TestDownload:
    def test_the_file_and_what_is_told_of_it(
        self, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
    ) -> None:
        job = hook.wait_for_completion(hook.queue({**TEXT, "resolution": "720p"}))
        path = tmp_path / "deep" / "clip.mp4"
        result = run_task(
            VeniceDownloadVideoOperator(task_id="download", job=job.to_dict(), output_path=path, delete_media=True)
        )
        data = path.read_bytes()
        assert result["path"] == str(path)
        assert result["size"] == len(data)
        assert result["sha256"] == hashlib.sha256(data).hexdigest()
        assert result["metadata"]["duration"] == 5.0
        assert result["metadata"]["resolution"] == "1280x720"
        assert result["job"]["queue_id"] == job.queue_id
        assert len(venice_simulator.journal.calls("complete")) == 1
        assert venice_simulator.journal.unread_deletions == []

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("request_", [TEXT, PRIVATE], ids=["inline", "private"])
    @pytest.mark.parametrize(
        "fault",
        [{"truncate": 2000}, {"truncate": 2000, "length": False}, {"stub": True}],
        ids=["cut", "cut without a length", "stub"],
    )
    def test_what_is_not_whole_leaves_nothing_behind(
        self,
        request_: dict[str, Any],
        fault: dict[str, Any],
        hook: VeniceHook,
        venice_simulator: VeniceSimulator,
        tmp_path: Path,
    ) -> None:
        job = hook.wait_for_completion(hook.queue(request_))
        endpoint = "download" if job.download_url else "retrieve"
        venice_simulator.fail(endpoint, **fault, times=None)
        task = VeniceDownloadVideoOperator(
            task_id="download", job=job, output_path=tmp_path / "clip.mp4", delete_media=True
        )
        with pytest.raises((VideoDownloadError, VeniceConnectionError)):
            run_task(task)
        assert clips(tmp_path) == []
        assert venice_simulator.journal.calls("complete") == []
        assert venice_simulator.journal.calls("revoke") == []

    def test_a_broken_transfer_goes_on(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with VeniceSimulator(job_seconds=0, padding=3_000_000, media="shared") as venice:
            connection = {"conn_type": "venice", "host": venice.base_url, "password": venice.api_key}
            monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
            job = VeniceHook().queue(PRIVATE)
            venice.fail("download", truncate=2_000_000)
            result = run_task(VeniceDownloadVideoOperator(task_id="d", job=job, output_path=tmp_path / "clip.mp4"))
        first, second = venice.journal.calls("download")
        assert (first.status, second.status) == (200, 206)
        assert result["size"] == 3_000_000
        assert second.bytes_delivered < 3_000_000 - 1_000_000

    def test_a_retry_finds_the_file_that_is_there(
        self, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
    ) -> None:
        job = hook.wait_for_completion(hook.queue(TEXT))
        other = hook.wait_for_completion(hook.queue({**TEXT, "duration": 10}))
        arguments: dict[str, Any] = {"job": job, "output_path": tmp_path / "clip.mp4"}
        tries = Tries()
        first = run_task(VeniceDownloadVideoOperator(task_id="download", **arguments), tries)
        delivered = venice_simulator.journal.bytes_delivered
        assert run_task(VeniceDownloadVideoOperator(task_id="download", **arguments), tries) == first
        assert venice_simulator.journal.bytes_delivered == delivered
        with pytest.raises(AirflowFailException, match="overwrite=True"):
            run_task(VeniceDownloadVideoOperator(task_id="download", **{**arguments, "job": other}))
        second = run_task(
            VeniceDownloadVideoOperator(task_id="download", **{**arguments, "job": other}, overwrite=True)
        )
        assert second["metadata"]["duration"] == 10.0

    def test_a_failed_deletion_does_not_fail_the_task(
        self, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
    ) -> None:
        job = hook.wait_for_completion(hook.queue(TEXT))
        venice_simulator.fail("complete", status=400)
        path = tmp_path / "clip.mp4"
        run_task(VeniceDownloadVideoOperator(task_id="download", job=job, output_path=path, delete_media=True))
        assert path.exists()

    def test_object_storage(self, hook: VeniceHook, tmp_path: Path) -> None:
        job = hook.wait_for_completion(hook.queue(TEXT))
        url = f"file://{tmp_path}/bucket/clip.mp4"
        result = run_task(VeniceDownloadVideoOperator(task_id="download", job=job, output_path=url))
        assert (tmp_path / "bucket" / "clip.mp4").stat().st_size == result["size"]


class TestGenerate:
    @WAITS
    @pytest.mark.parametrize("request_", [TEXT, PRIVATE], ids=["inline", "private"])
    def test_the_whole_life(
        self,
        request_: dict[str, Any],
        deferrable: bool,
        hook: VeniceHook,
        venice_simulator: VeniceSimulator,
        tmp_path: Path,
    ) -> None:
        result = run_task(
            VeniceGenerateVideoOperator(
                task_id="generate",
                **request_,
                output_path=str(tmp_path / "clip.mp4"),
                max_cost=1,
                deferrable=deferrable,
                delete_media=True,
            )
        )
        assert Path(result["path"]).stat().st_size == result["size"]
        assert len(venice_simulator.journal.charges) == 1
        assert venice_simulator.journal.unread_deletions == []
        assert venice_simulator.jobs[0].token not in json.dumps(result)
        assert ("download_url" in result["job"]) is (request_ is PRIVATE)
        deletions = [*venice_simulator.journal.calls("complete"), *venice_simulator.journal.calls("revoke")]
        assert [deletion.status for deletion in deletions] in ([200], [204])

    def test_a_bad_target_is_told_before_money_is_spent(
        self, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
    ) -> None:
        (tmp_path / "there.mp4").write_bytes(b"x")
        for path, problem in (
            (tmp_path / "there.mp4", "overwrite"),
            (f"{tmp_path}/", "directory"),
            (tmp_path, "directory"),
            ("gs://bucket/clip.mp4", "gs"),
        ):
            with pytest.raises(AirflowFailException, match=problem):
                run_task(VeniceGenerateVideoOperator(task_id="generate", **TEXT, output_path=path))
        assert venice_simulator.journal.calls("queue") == []

    @pytest.mark.slow
    @WAITS
    @pytest.mark.parametrize(
        ("prompt", "error", "said"),
        [
            ("[simulate: stuck] x", VideoTimeoutError, "Venice keeps it for a limited time"),
            ("[simulate: fail] x", AirflowFailException, "generation failed"),
            ("[simulate: refund] x", AirflowFailException, "refunded"),
        ],
    )
    def test_a_clip_that_does_not_come_leaves_no_file(
        self,
        prompt: str,
        error: type[Exception],
        said: str,
        deferrable: bool,
        hook: VeniceHook,
        tmp_path: Path,
    ) -> None:
        with pytest.raises(error, match=said):
            run_task(
                VeniceGenerateVideoOperator(
                    task_id="generate",
                    **{**TEXT, "prompt": prompt},
                    output_path=tmp_path / "clip.mp4",
                    deferrable=deferrable,
                    timeout=2,
                )
            )
        assert clips(tmp_path) == []

    @pytest.mark.usefixtures("impatient")
    def test_a_failed_download_tells_how_to_collect(
        self,
        hook: VeniceHook,
        venice_simulator: VeniceSimulator,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        # Once for the trigger's look, which does not read it, and for the two attempts to download.
        venice_simulator.fail("retrieve", truncate=2000, length=False, times=3)
        tries = Tries()
        task: dict[str, Any] = {**TEXT, "output_path": tmp_path / "clip.mp4", "deferrable": True}
        with pytest.raises(VideoDownloadError):  # which Airflow retries
            run_task(VeniceGenerateVideoOperator(task_id="generate", **task), tries)
        (told,) = [line for line in capsys.readouterr().out.splitlines() if "VeniceDownloadVideoOperator, job=" in line]
        assert venice_simulator.jobs[0].queue_id in told
        assert run_task(VeniceGenerateVideoOperator(task_id="generate", **task), tries)["size"]
        assert len(venice_simulator.journal.charges) == 1


@pytest.mark.usefixtures("venice_connection")
def test_a_wait_that_no_triggerer_ends_says_what_was_bought(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = Tries()
    task = VeniceGenerateVideoOperator(task_id="clip", output_path=str(tmp_path / "clip.mp4"), timeout=60, **TEXT)
    steps = Steps(task, tries)
    assert steps.deferred.timeout is not None
    assert 60 < steps.deferred.timeout.total_seconds() <= 60 + 120
    assert "A triggerer must be running" in capsys.readouterr().out.splitlines()[-1]
    # As Airflow resumes a task at that time.
    with pytest.raises(AirflowException, match="Trigger timeout: no trigger has ended the wait in time") as lost:
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context_of(task, tries))
    (charge,) = venice_simulator.journal.charges
    assert f"Paid and not stored: video job {charge.queue_id}" in str(lost.value)
    assert not isinstance(lost.value, AirflowFailException)
    assert run_task(task, tries)["path"] == str(tmp_path / "clip.mp4")
    assert len(venice_simulator.journal.charges) == 1
