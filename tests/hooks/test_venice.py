"""The hook against the simulator, over real HTTP."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceAPIError,
    VeniceConnectionError,
    VeniceConsentRequired,
    VeniceError,
    VeniceRateLimitError,
    VeniceRequestError,
    VideoDownloadError,
    VideoGenerationError,
    VideoTimeoutError,
)
from airflow_provider_venice.hooks.private_links import decrypt_link, encrypt_link
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage import StoredVideo
from tests.running import forgotten_fernet

TEXT: dict[str, Any] = {
    "model": "wan-2-7-text-to-video",
    "prompt": "a lighthouse in fog",
    "duration": 5,
    "resolution": "720p",
}
PRIVATE = {**TEXT, "model": "grok-imagine-text-to-video-private"}


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


@pytest.mark.parametrize("extra", [{"poll_interval": "soon"}, {"retry_attempts": 0}, {"polling": 3}])
def test_a_bad_extra_is_named(extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "venice", "password": "k", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    with pytest.raises(VeniceRequestError, match=f"venice_default.*extra.{next(iter(extra))}"):
        VeniceHook().get_conn()


def test_a_connection_without_a_key_says_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps({"conn_type": "venice"}))
    ok, message = VeniceHook().test_connection()
    assert not ok
    assert "password is empty" in message


def test_the_test_button_tells_tier_and_balance(hook: VeniceHook) -> None:
    ok, message = hook.test_connection()
    assert ok
    assert "paid" in message
    assert "100" in message


def connect(monkeypatch: pytest.MonkeyPatch, simulator: VeniceSimulator, key: str) -> VeniceHook:
    connection = {"conn_type": "venice", "host": simulator.base_url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    return VeniceHook()


def test_the_test_button_says_what_is_left_of_the_keys_spending_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with VeniceSimulator(media="shared", key_limit=1) as simulator:
        hook = connect(monkeypatch, simulator, simulator.api_key)
        assert "It may spend 1.0 USD" in hook.test_connection()[1]
        hook.queue(TEXT)
        assert "It may spend 0.65 USD" in hook.test_connection()[1]
        hook.queue(TEXT)
        with pytest.raises(VeniceAPIError, match=r"HTTP 402: API key USD spend limit.*raise the key's spend limit"):
            hook.queue(TEXT)
        assert len(simulator.journal.charges) == 2


def test_spending_is_summed_up_by_day_model_and_key(
    venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    hook = connect(monkeypatch, venice_simulator, venice_simulator.api_key)
    for _ in range(2):
        hook.queue(TEXT)
    image_model, *_ = hook.list_models("image")
    hook.generate_image(image_model.id, "a lighthouse")
    connect(monkeypatch, venice_simulator, venice_simulator.admin_key).queue(TEXT)
    spent = hook.spend(today - datetime.timedelta(days=6))
    assert (spent.since, spent.until) == (today - datetime.timedelta(days=6), today)
    assert spent.total == spent.by_day[str(today)] == 100 - venice_simulator.balance
    assert len(spent.by_day) == 7
    assert list(spent.by_model.values()) == [Decimal("1.05"), Decimal("0.02")]
    assert [key.usd for key in spent.by_key] == [Decimal("0.72"), Decimal("0.35")]
    with pytest.raises(VeniceRequestError, match="until is 2199-01-01, which is in the future"):
        hook.spend(today, "2199-01-01")


def test_spending_is_for_admin_keys_where_venice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime.datetime.now(datetime.timezone.utc)
    with VeniceSimulator(media="shared", edition="2026-10") as simulator:
        with pytest.raises(VeniceAPIError, match="Venice may want an ADMIN key"):
            connect(monkeypatch, simulator, simulator.api_key).spend(today)
        assert connect(monkeypatch, simulator, simulator.admin_key).spend(today).total == 0


def test_the_test_button_tells_a_wrong_key(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "venice", "host": venice_simulator.base_url, "password": "wrong-key"}
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    ok, message = VeniceHook().test_connection()
    assert not ok
    assert "check the API key" in message
    assert "wrong-key" not in message


def test_a_request_is_an_object_a_mapping_or_arguments(hook: VeniceHook) -> None:
    quotes = [hook.quote(VideoRequest.of(TEXT)), hook.quote(TEXT), hook.quote(**TEXT)]
    assert {quote.estimated_cost for quote in quotes} == {Decimal("0.35")}
    assert quotes[0].pricing_model is None


def test_the_whole_life_of_a_clip(hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    job = hook.queue(TEXT)
    assert job.status == "queued"
    seen: list[VideoJob] = []
    done = hook.wait_for_completion(job.to_dict(), callback=seen.append, max_wait_time=30)
    assert done.is_completed()
    assert done.progress == 100
    assert seen[-1] == done
    assert all(earlier.is_processing() for earlier in seen[:-1])
    stored = hook.download(done, tmp_path / "clips" / "one.mp4")
    assert Path(stored.path).stat().st_size == stored.size == stored.metadata.file_size
    assert (stored.metadata.duration, stored.metadata.resolution) == (5.0, "1280x720")
    assert hook.get_video_data(done) == Path(stored.path).read_bytes()
    assert hook.delete_media(done) is True
    with pytest.raises(VideoGenerationError) as gone:
        hook.retrieve({"model": done.model, "queue_id": done.queue_id})
    assert gone.value.status_code == 404
    assert len(venice_simulator.journal.charges) == 1
    assert venice_simulator.journal.unread_deletions == []
    assert venice_simulator.journal.deletion_requests == []


def test_a_look_reads_no_media(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 30_000_000
    with VeniceSimulator(job_seconds=0, padding=size, media="shared") as venice:
        connection = {"conn_type": "venice", "host": venice.base_url, "password": venice.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        hook = VeniceHook()
        job = hook.retrieve(hook.queue(TEXT))
        assert job.is_completed()
        assert job.metadata is not None
        assert job.metadata.file_size == size
        (look,) = venice.journal.polls(job.queue_id)
        assert look.bytes_delivered < size
        with pytest.raises(VideoDownloadError, match="1000000 are allowed"):
            hook.get_video_data(job, max_size=1_000_000)


@pytest.mark.parametrize("model", [PRIVATE["model"], "grok-imagine-1-5-lite-text-to-video"])
def test_a_private_clip_is_fetched_by_its_link(
    model: str, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    job = hook.queue({**PRIVATE, "model": model})
    assert job.download_url is not None
    assert job.download_url not in repr(job)
    done = hook.wait_for_completion(job)
    for paid in (job, done):
        # What an XCom of it holds: enough to fetch the clip, and no readable link.
        assert job.download_url not in json.dumps(paid)
        assert decrypt_link(json.loads(json.dumps(paid))).download_url == job.download_url
    stored = hook.download(done, tmp_path / "private.mp4")
    assert stored.metadata.duration == 5.0
    assert hook.delete_media(done) is True
    fetches = venice_simulator.journal.calls("download")
    assert [fetch.key for fetch in fetches] == [None]
    assert venice_simulator.journal.calls("complete") == []


def test_a_stored_clip_is_told_to_lineage(hook: VeniceHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import plugins_manager
    from airflow.sdk.lineage import get_hook_lineage_collector

    # As where a plugin reads lineage; without one Airflow collects nothing.
    monkeypatch.setattr(plugins_manager, "get_hook_lineage_readers_plugins", lambda: [object()])
    get_hook_lineage_collector.cache_clear()
    path = tmp_path / "clip.mp4"
    hook.generate(TEXT, path=path)
    outputs = [info.asset.uri for info in get_hook_lineage_collector().collected_assets.outputs]
    get_hook_lineage_collector.cache_clear()
    assert [uri for uri in outputs if uri.startswith("file:/") and uri.endswith(str(path))]


def test_generate_stores_the_clip(hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    stored = hook.generate(TEXT, path=tmp_path / "clip.mp4", timeout=30)
    assert isinstance(stored, StoredVideo)
    with pytest.raises(VeniceRequestError, match="overwrite"):
        hook.generate(TEXT, path=tmp_path / "clip.mp4")
    assert len(venice_simulator.journal.charges) == 1
    job = hook.generate(TEXT, timeout=30)
    assert isinstance(job, VideoJob)


def test_models_and_balance(hook: VeniceHook) -> None:
    model = hook.get_model("wan-2-7-text-to-video")
    assert "5s" in model.durations
    assert model.model_type == "text-to-video"
    with pytest.raises(VeniceRequestError, match="did you mean wan-2-7-text-to-video"):
        hook.get_model("wan-2-7-text")
    assert hook.balance()["balances"]["usd"] == 100
    assert hook.rate_limits()["apiTier"]["id"] == "paid"


def test_an_image_becomes_the_first_frame(hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    (image_model, *_) = hook.list_models("image")
    image = hook.generate_image(image_model.id, "a lighthouse", format="png", width=512, height=512)
    assert image.media_type == "image/png"
    assert image.data.startswith(b"\x89PNG")
    frame = tmp_path / "frame.jpg"  # a wrong name: the file's own type goes
    frame.write_bytes(image.data)
    for given in (image.data, frame, str(frame)):
        job = hook.queue(model="wan-2-7-image-to-video", prompt="waves", duration="5", image=given)
        assert job.queue_id
    assert len(venice_simulator.journal.calls("queue")) == 3
    with pytest.raises(VeniceRequestError, match="variants"):
        hook.generate_image(image_model.id, "a lighthouse", variants=4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"\x00" * 64, "not an image"),
        (b"\x89PNG\r\n\x1a\n" * 6_000_000, "35 MB"),
    ],
    ids=["missing", "empty", "no media", "too large"],
)
def test_a_bad_file_is_refused_before_money_is_spent(
    content: bytes | None, problem: str, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    frame = tmp_path / "frame.png"
    if content is not None:
        frame.write_bytes(content)
    with pytest.raises(VeniceRequestError, match=problem) as refused:
        hook.queue(model="wan-2-7-image-to-video", prompt="waves", duration=5, image=frame)
    assert "image_url" in str(refused.value)
    assert "frame.png" in str(refused.value)
    assert venice_simulator.journal.calls("queue") == []


@pytest.mark.parametrize(
    "fault",
    [
        {"drop_before": True},
        {"drop_after": True},
        {"status": 500},
        {"status": 502, "html": True},
        {"status": 503, "act": True},
        {"bad_json": True},
        {"html": True, "act": True},
    ],
    ids=lambda fault: "+".join(fault),
)
def test_doubt_about_a_submission_stops_it(
    fault: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", **fault, times=None)
    with pytest.raises(VeniceAmbiguousSubmission, match="may have been accepted and charged") as doubt:
        hook.queue(TEXT)
    assert not doubt.value.can_heal
    assert doubt.value.model == TEXT["model"]
    assert len(venice_simulator.journal.calls("queue")) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 413, 422])
def test_a_refused_submission_is_no_doubt(status: int, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=status, times=None)
    with pytest.raises(VeniceAPIError) as refused:
        hook.queue(TEXT)
    assert refused.value.status_code == status
    assert not refused.value.can_heal
    assert len(venice_simulator.journal.calls("queue")) == 1


@pytest.mark.parametrize("code", ["MODEL_OFFLINE", "MODEL_AT_CAPACITY"])
def test_a_5xx_that_names_a_refusal_is_no_doubt_and_heals(
    code: str, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    venice_simulator.fail("queue", status=503, body={"error": "Please try again later.", "code": code})
    with pytest.raises(VeniceAPIError, match="try again later") as refused:
        hook.queue(TEXT)
    assert refused.value.error_code == code
    assert refused.value.can_heal
    assert type(refused.value) is VeniceAPIError  # not the final kind
    assert len(venice_simulator.journal.calls("queue")) == 1
    assert hook.queue(TEXT).queue_id


def test_a_model_that_is_offline_is_no_doubt(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    with pytest.raises(VeniceAPIError, match="temporarily offline") as refused:
        hook.queue({**TEXT, "model": "ltx-2-19b-full-text-to-video"})
    assert refused.value.can_heal
    assert venice_simulator.journal.charged == 0


def test_a_deletion_of_what_venice_does_not_know_deletes_nothing(hook: VeniceHook) -> None:
    job = {"model": TEXT["model"], "queue_id": "00000000-0000-0000-0000-000000000000"}
    assert hook.delete_media(job) is False


@pytest.mark.slow
def test_a_link_that_is_missing_is_named_though_the_id_says_nothing_of_it(hook: VeniceHook, tmp_path: Path) -> None:
    done = hook.wait_for_completion(hook.queue({**TEXT, "model": "grok-imagine-1-5-lite-text-to-video"}))
    with pytest.raises(VideoDownloadError, match="gave a download_url, the video comes by that link only") as caught:
        hook.download(VideoJob(done.model, done.queue_id), tmp_path / "clip.mp4")
    assert caught.value.can_heal


@pytest.fixture
def october(monkeypatch: pytest.MonkeyPatch) -> Iterator[VeniceSimulator]:
    """An API whose ``/video/complete`` knows no job."""
    with VeniceSimulator(speed=240, media="shared", edition="2026-10") as venice:
        connection = {"conn_type": "venice", "host": venice.base_url, "password": venice.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        yield venice


@pytest.mark.parametrize("known", [True, False], ids=["seen completed", "as it was queued"])
def test_a_clip_is_deleted_by_a_retrieve_where_nothing_else_deletes(
    known: bool, october: VeniceSimulator, tmp_path: Path
) -> None:
    hook = VeniceHook()
    job = hook.queue(TEXT, aspect_ratio="16:9")
    done = hook.wait_for_completion(job)
    hook.download(done, tmp_path / "clip.mp4")
    polls = len(october.journal.polls())
    assert hook.delete_media(done if known else job) is True
    *_, deletion = october.journal.polls()
    assert len(october.journal.polls()) - polls == (1 if known else 2)
    assert (deletion.deleted, deletion.bytes_delivered) == (job.queue_id, deletion.size), "it is read to its end"
    assert october.journal.deletion_requests == [deletion]
    assert not october.journal.unread_deletions
    assert hook.delete_media(done) is False


@pytest.mark.slow
def test_a_retrieve_that_fails_is_not_taken_for_a_deletion(october: VeniceSimulator) -> None:
    hook = VeniceHook()
    done = hook.wait_for_completion(hook.queue(TEXT, aspect_ratio="16:9"))
    october.fail("retrieve", match="delete_media_on_completion", status=500, times=None)
    with pytest.raises(VeniceAPIError, match="500"):
        hook.delete_media(done)
    assert not any(entry.deleted for entry in october.journal)


@pytest.mark.parametrize("model", [TEXT["model"], PRIVATE["model"]])
def test_no_deletion_is_asked_for_while_a_clip_is_made_or_where_only_its_link_delivers(
    model: str, october: VeniceSimulator
) -> None:
    hook, private = VeniceHook(), model == PRIVATE["model"]
    job = hook.queue({**TEXT, "model": model}, aspect_ratio="16:9")
    bare = VideoJob(job.model, job.queue_id)
    assert hook.delete_media(bare) is False
    if private:
        hook.wait_for_completion(job)
        assert hook.delete_media(bare) is False
    assert not october.journal.deletion_requests
    assert [job.fate for job in october.jobs] == ["kept"]


def test_a_log_that_fails_loses_no_job(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("no space left on device")

    kept = structlog.get_config()["processors"]
    structlog.configure(processors=[broken])
    try:
        with pytest.raises(OSError, match="no space"):
            hook.log.info("it is broken indeed")
        job = hook.prepare(PRIVATE)(None)
        assert job.download_url
        hook.announce(job)
        assert hook.queue(PRIVATE).download_url
    finally:
        structlog.configure(processors=kept)
    assert len(venice_simulator.journal.charges) == 2


def test_a_clip_is_priced_before_it_is_queued(
    hook: VeniceHook, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    job = hook.queue(TEXT)
    assert (job.estimated_cost, job.balance_before, job.balance_after) == (0.35, 100.0, 99.65)
    assert f"Queued {job} for $0.35, balance $99.65" in capsys.readouterr().out
    assert job.request == VideoRequest.of(TEXT).describe()


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 400}, {"drop_before": True}])
def test_a_clip_without_a_price_is_queued_all_the_same(
    hook: VeniceHook, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str], fault: dict[str, Any]
) -> None:
    venice_simulator.fail("quote", **fault)
    job = hook.queue(TEXT)
    assert job.estimated_cost is None
    assert len(venice_simulator.journal.charges) == len(venice_simulator.journal.calls("quote")) == 1
    log = capsys.readouterr().out
    assert "The price is not known: " in log
    assert f"Queued {job}; its price is not known" in log


def test_a_link_that_is_no_address_loses_no_job(hook: VeniceHook) -> None:
    odd = VideoJob("wan-private", "q", download_url="http://[s3cr3t")
    hook.announce(odd)
    assert decrypt_link(encrypt_link(odd)) == odd


def test_a_rate_limit_is_waited_out(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "0"}, times=2)
    assert hook.queue(TEXT).queue_id
    assert len(venice_simulator.journal.charges) == 1
    venice_simulator.fail("queue", status=429, headers={"retry-after": "3600"})
    with pytest.raises(VeniceRateLimitError) as limited:
        hook.queue(TEXT)
    assert limited.value.retry_after == 3600


def test_nobody_listening_is_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "venice",
        "password": "k",
        "host": "http://127.0.0.1:9/api/v1",
        "extra": {"retry_attempts": 2, "retry_max_wait": 0.01},
    }
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
    with pytest.raises(VeniceConnectionError) as unreachable:
        VeniceHook().queue(TEXT)
    assert unreachable.value.sent is False


@pytest.mark.slow
def test_refusals_carry_what_the_server_said(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    with pytest.raises(VeniceAPIError) as policy:
        hook.queue({**TEXT, "prompt": "[simulate: policy] x"})
    assert policy.value.suggested_prompt
    assert policy.value.suggested_prompt in str(policy.value)
    with pytest.raises(VeniceConsentRequired) as consent:
        hook.queue({**TEXT, "prompt": "[simulate: consent] x"})
    assert consent.value.policy_text
    assert consent.value.face_media_roles
    assert venice_simulator.journal.charges == []
    job = hook.queue(model="veo3.1-fast-text-to-video", prompt="[simulate: refund] x", duration=4, resolution="720p")
    with pytest.raises(VideoGenerationError) as refund:
        hook.wait_for_completion(job)
    assert refund.value.credits_refunded is True
    assert refund.value.recommended_model
    assert refund.value.recommended_model in str(refund.value)


def test_waiting_tolerates_what_passes_and_ends_in_time(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    venice_simulator.fail("retrieve", status=503, times=1)
    venice_simulator.fail("retrieve", bad_json=True, times=1)
    assert hook.wait_for_completion(job, max_wait_time=60).is_completed()
    stuck = hook.queue({**TEXT, "prompt": "[simulate: stuck] x"})
    with pytest.raises(VideoTimeoutError, match=stuck.queue_id) as late:
        hook.wait_for_completion(stuck, max_wait_time=0.2)
    assert "VeniceDownloadVideoOperator" in str(late.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [{"status": 400}, {"status": 404}, {"status": 422}, {"status": 404, "html": True, "times": 3}], ids=str
)
def test_one_answer_ends_no_wait(fault: dict[str, Any], hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = hook.queue(TEXT)
    old = {**job.to_dict(), "queued_at": "2026-01-01T00:00:00Z"}
    venice_simulator.fail("retrieve", **fault)
    assert hook.wait_for_completion(old, max_wait_time=60).is_completed()


def test_a_second_answer_ends_the_wait(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    job = {**hook.queue(TEXT).to_dict(), "queued_at": None}
    venice_simulator.fail("retrieve", status=404, times=None)
    with pytest.raises(VideoGenerationError):
        hook.wait_for_completion(job, max_wait_time=60)
    assert len(venice_simulator.journal.polls(job["queue_id"])) == 2


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["wait_for_completion", "poll"])
def test_a_key_that_is_replaced_fails_no_wait(
    wait: str, hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hook.queue(TEXT)
    venice_simulator.finish()
    good = os.environ["AIRFLOW_CONN_VENICE_DEFAULT"]
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", good.replace(venice_simulator.api_key, "revoked-key"))
    waiting = VeniceHook()
    waiting.get_conn()
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", good)
    assert getattr(waiting, wait)(job).is_completed()
    assert [entry.status for entry in venice_simulator.journal.polls(job.queue_id)][-1] == 200


@pytest.mark.slow
def test_a_key_that_stays_refused_fails_the_wait(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hook.queue(TEXT)
    good = os.environ["AIRFLOW_CONN_VENICE_DEFAULT"]
    monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", good.replace(venice_simulator.api_key, "revoked-key"))
    with pytest.raises(VeniceAPIError, match="check the API key"):
        VeniceHook().wait_for_completion(job)


def test_a_video_that_is_late_is_fetched_all_the_same(
    hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    job = hook.wait_for_completion(hook.queue(TEXT))
    venice_simulator.fail("retrieve", status=200, body={"status": "COMPLETED"})
    assert hook.download(job, tmp_path / "clip.mp4").size


def test_a_private_model_needs_a_fernet_key(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    with forgotten_fernet(), pytest.raises(VeniceRequestError, match="fernet_key"):
        hook.queue(PRIVATE)
    assert venice_simulator.journal.calls("queue") == []


def test_every_error_is_of_one_tree(hook: VeniceHook) -> None:
    with pytest.raises(VeniceError):
        hook.retrieve({"model": "wan-2-7-text-to-video", "queue_id": "00000000-0000-0000-0000-000000000000"})
    with pytest.raises(VeniceRequestError, match="queue_id"):
        hook.retrieve({"model": "wan-2-7-text-to-video"})
