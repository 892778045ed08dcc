"""Where the vendor's documents differ: what its later ones say."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import T2V, Client

UPSCALE = {"model": "topaz-video-upscale", "video_url": "https://example.com/a.mp4"}


@pytest.fixture(scope="module")
def later() -> Iterator[Client]:
    with VeniceSimulator(media="shared", edition="2026-10") as venice:
        client = Client(venice)
        with client.session:
            yield client


@pytest.fixture
def october(later: Client) -> Client:
    later.venice.reset()
    return later


def test_a_model_that_lists_aspect_ratios_has_to_be_given_one(october: Client, client: Client) -> None:
    assert list(october.queue().json()["details"]) == ["_errors", "aspect_ratio"]
    october.job(aspect_ratio="16:9")
    client.job()


def test_no_job_can_be_completed(october: Client) -> None:
    job = october.done(aspect_ratio="16:9")
    answer = october.complete(job)
    assert (answer.status_code, answer.json()["code"]) == (400, "REQUEST_ID_NOT_FOUND")
    assert october.retrieve(job).headers["Content-Type"] == "video/mp4"


def test_an_unknown_job_is_a_wrong_request(october: Client) -> None:
    job = october.done(aspect_ratio="16:9")
    unknown = october.retrieve({**job, "queue_id": str(uuid.uuid4())})
    assert (unknown.status_code, unknown.json()["error"]) == (400, "Request ID is invalid.")
    assert october.retrieve(job, delete_media_on_completion=True).status_code == 200
    assert october.retrieve(job).status_code == 404, "deleted media was there once"


@pytest.mark.parametrize(
    "path", ["billing/balance", "billing/usage-analytics", "billing/usage-history", "api_keys/rate_limits/log"]
)
def test_money_is_for_admin_keys(october: Client, path: str) -> None:
    assert october.get(path).status_code == 401
    admin = {"Authorization": f"Bearer {october.venice.admin_key}"}
    assert october.get(path, headers=admin).status_code == 200


def test_an_upscaler_lists_a_length_that_it_refuses(october: Client) -> None:
    models = october.get("models?type=video").json()["data"]
    (listed,) = (m["model_spec"]["constraints"]["durations"] for m in models if m["id"] == UPSCALE["model"])
    assert listed == ["Auto"]
    assert october.post("video/queue", {**UPSCALE, "duration": "Auto"}).status_code == 400
    assert october.post("video/queue", UPSCALE).status_code == 200
    assert october.post("video/queue", {**UPSCALE, "prompt": "sharp"}).status_code == 200


def test_an_upscaler_takes_a_resolution_in_its_quote_only(october: Client, client: Client) -> None:
    larger = {**UPSCALE, "resolution": "4x"}
    factor = october.post("video/quote", {**UPSCALE, "upscale_factor": 4})
    assert october.post("video/quote", larger).json() == factor.json()
    assert list(october.post("video/queue", larger).json()["details"]) == ["_errors", "resolution"]
    assert client.post("video/queue", larger).status_code == 200


def test_an_upscaler_is_priced_by_its_clip_and_for_a_key(october: Client) -> None:
    assert october.post("video/quote", UPSCALE).status_code == 200
    assert october.post("video/quote", {"model": UPSCALE["model"], "duration": "5s"}).status_code == 400
    url = f"{october.venice.base_url}/video/quote"
    assert requests.post(url, json=UPSCALE, timeout=10).status_code == 403
    assert requests.post(url, json=T2V, timeout=10).status_code == 200


def test_fifty_failures_are_borne_and_the_vendors_own_do_not_count(october: Client) -> None:
    october.venice.fail("models", status=503, times=60)
    for _ in range(60):
        assert october.get("models").status_code == 503
    for _ in range(51):
        assert october.get("models?type=poem").status_code == 400
    answer = october.get("models")
    assert answer.status_code == 429
    assert "(> 50)" in answer.json()["error"]
