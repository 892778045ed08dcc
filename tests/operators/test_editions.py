"""The operators against either edition of the vendor's documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.exceptions import VeniceAPIError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import run_task

CLIP: dict[str, Any] = {"prompt": "a kite", "duration": "5s", "aspect_ratio": "16:9"}
UPSCALE: dict[str, Any] = {"model": "topaz-video-upscale", "video_url": "https://example.com/a.mp4"}


@pytest.fixture(params=["2026-08", "2026-10"])
def edition(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[VeniceSimulator]:
    with VeniceSimulator(speed=240, media="shared", edition=request.param) as venice:
        connection = {"conn_type": "venice", "host": venice.base_url, "password": venice.api_key}
        monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps(connection))
        yield venice


def generate(path: Path, **arguments: Any) -> Any:
    return run_task(VeniceGenerateVideoOperator(task_id="generate", output_path=path, **arguments))


@pytest.mark.parametrize(
    "request_",
    [
        {**CLIP, "model": "wan-2-7-text-to-video"},
        {**CLIP, "model": "grok-imagine-text-to-video-private"},
        {**CLIP, "model": "grok-imagine-1-5-lite-text-to-video"},
        {**CLIP, "model": "minimax-h3-text-to-video"},
        UPSCALE,
    ],
    ids=lambda request: request["model"],
)
def test_a_clip_is_checked_priced_stored_and_deleted(
    edition: VeniceSimulator, request_: dict[str, Any], tmp_path: Path
) -> None:
    result = generate(tmp_path / "clip.mp4", **request_, max_cost=2, min_balance=1, delete_media=True, deferrable=True)
    assert (tmp_path / "clip.mp4").stat().st_size == result["size"] > 100_000
    assert len(edition.journal.charges) == 1
    assert edition.journal.charged == pytest.approx(edition.balance * -1 + 100)
    assert not edition.journal.unread_deletions
    (job,) = edition.jobs
    assert job.fate == "deleted"


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["2026-10"], indirect=True)
def test_a_clip_that_cannot_be_deleted_is_stored_with_a_warning(
    edition: VeniceSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = VeniceHook().wait_for_completion(VeniceHook().queue({**CLIP, "model": "wan-2-7-text-to-video"}))
    edition.fail("retrieve", match="delete_media_on_completion", status=503, times=None)
    path = tmp_path / "clip.mp4"
    run_task(VeniceDownloadVideoOperator(task_id="download", job=job.to_dict(), output_path=path, delete_media=True))
    assert path.stat().st_size > 100_000
    assert "could not be deleted at Venice" in capsys.readouterr().out
    assert not any(entry.deleted for entry in edition.journal)


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["2026-10"], indirect=True)
def test_a_list_of_clips_is_deleted_at_the_cost_of_one_refusal(edition: VeniceSimulator, tmp_path: Path) -> None:
    request = {**CLIP, "model": "wan-2-7-text-to-video"}
    generate(tmp_path / "clip_{index}.mp4", request=[{**request, "prompt": p} for p in "abc"], delete_media=True)
    assert [job.fate for job in edition.jobs] == ["deleted"] * 3
    assert not edition.journal.unread_deletions
    assert [call.status for call in edition.journal.calls("complete")] == [400]
    assert [call.deleted for call in edition.journal.deletion_requests] == [job.queue_id for job in edition.jobs]


@pytest.mark.parametrize(
    "asked", [{"upscale_factor": 1}, {"upscale_factor": 4}, {"duration": 5}], ids=lambda asked: next(iter(asked))
)
def test_an_upscaler_is_asked_for_a_factor(edition: VeniceSimulator, asked: dict[str, Any], tmp_path: Path) -> None:
    generate(tmp_path / "clip.mp4", **UPSCALE, **asked, max_cost=2)
    assert len(edition.journal.charges) == 1


@pytest.mark.parametrize("edition", ["2026-08"], indirect=True)
def test_an_upscaler_takes_the_example_of_its_page(edition: VeniceSimulator, tmp_path: Path) -> None:
    request = {**UPSCALE, "prompt": "a mountain valley", "duration": "Auto", "resolution": "2x"}
    generate(tmp_path / "clip.mp4", **request, max_cost=2)
    assert len(edition.journal.charges) == 1


@pytest.mark.parametrize("edition", ["2026-10"], indirect=True)
def test_a_shape_that_is_left_out_costs_nothing(edition: VeniceSimulator, tmp_path: Path) -> None:
    request = {**CLIP, "model": "wan-2-7-text-to-video", "aspect_ratio": None}
    with pytest.raises(AirflowFailException, match="aspect_ratio Field is required"):
        generate(tmp_path / "clip.mp4", **request)
    assert not edition.journal.charges


@pytest.mark.parametrize("edition", ["2026-10"], indirect=True)
def test_a_balance_that_the_key_may_not_see_is_told(edition: VeniceSimulator) -> None:
    with pytest.raises(VeniceAPIError, match="Admin API key required"):
        VeniceHook().balance()


def test_a_model_that_is_not_listed_takes_a_persons_consent(edition: VeniceSimulator, tmp_path: Path) -> None:
    face = {"model": "seedance-2-0-image-to-video", "prompt": "she smiles", "duration": "5s"}
    face["image_url"] = "https://example.com/face.png"
    with pytest.raises(AirflowFailException, match="is not a video model of this account"):
        generate(tmp_path / "clip.mp4", **face)
    with pytest.raises(AirflowFailException, match=r"Seedance consent is required.*I accept the provider's terms"):
        generate(tmp_path / "clip.mp4", **face, validate=False)
    assert not edition.journal.charges
    names = ("confirmed_terms_and_privacy", "confirmed_legal_right", "confirmed_screening_acknowledged")
    consents = {"seedance": dict.fromkeys(names, True)}
    generate(tmp_path / "clip.mp4", **face, validate=False, consents=consents)
    assert len(edition.journal.charges) == 1
