"""The simulator's answers, held against the schemas of the vendor's OpenAPI document."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from airflow_provider_venice.simulator import VeniceSimulator, schema
from airflow_provider_venice.simulator.catalog import MODELS
from tests.simulator.client import PRIVATE, T2V, Client, eventually

IMAGE = {"model": "grok-imagine-image", "prompt": "a bridge", "width": 64, "height": 64}


def by_get(path: str, **query: Any) -> Callable[[Client], Any]:
    return lambda client: client.get(path, params=query)


def by_post(path: str, body: Any) -> Callable[[Client], Any]:
    return lambda client: client.post(path, body)


def with_job(use: Any, *, done: bool = True, fields: dict[str, str] | None = None) -> Callable[[Client], Any]:
    return lambda client: use(client, (client.done if done else client.job)(**(fields or {})))


FACES = {**T2V, "model": "seedance-2-0-image-to-video", "image_url": "https://example.com/face.png"}
REFUSED = {"prompt": "[simulate: refund] x"}

ANSWERS: list[tuple[str, str, int, Callable[[Client], Any]]] = [
    ("/video/quote", "post", 200, by_post("video/quote", T2V)),
    ("/video/quote", "post", 400, by_post("video/quote", {})),
    ("/video/queue", "post", 200, by_post("video/queue", T2V)),
    ("/video/queue", "post", 200, by_post("video/queue", PRIVATE)),
    ("/video/queue", "post", 400, by_post("video/queue", {**T2V, "duration": "7s"})),
    ("/video/queue", "post", 409, by_post("video/queue", FACES)),
    ("/video/queue", "post", 422, by_post("video/queue", {**T2V, "prompt": "[simulate: policy] x"})),
    ("/video/retrieve", "post", 200, with_job(Client.retrieve, done=False)),
    ("/video/retrieve", "post", 200, with_job(Client.retrieve, fields=PRIVATE)),
    ("/video/retrieve", "post", 404, by_post("video/retrieve", {"model": "x", "queue_id": "x"})),
    ("/video/retrieve", "post", 422, with_job(Client.retrieve, fields=REFUSED)),
    ("/video/complete", "post", 200, with_job(Client.complete)),
    ("/video/complete", "post", 400, with_job(Client.complete, fields=PRIVATE)),
    ("/models", "get", 200, by_get("models", type="all")),
    ("/models/traits", "get", 200, by_get("models/traits", type="image")),
    ("/models/traits", "get", 200, by_get("models/traits", type="video")),
    ("/api_keys/rate_limits", "get", 200, by_get("api_keys/rate_limits")),
    ("/api_keys/rate_limits/log", "get", 200, by_get("api_keys/rate_limits/log")),
    ("/billing/balance", "get", 200, by_get("billing/balance")),
    ("/billing/usage", "get", 410, by_get("billing/usage")),
    ("/billing/usage-history", "get", 200, by_get("billing/usage-history", pageSize=10)),
    ("/billing/usage-history", "get", 400, by_get("billing/usage-history", pageSize=1)),
    ("/billing/usage-analytics", "get", 200, by_get("billing/usage-analytics")),
    ("/image/generate", "post", 200, by_post("image/generate", IMAGE)),
    ("/image/generate", "post", 400, by_post("image/generate", {**IMAGE, "width": 2000})),
    ("/images/generations", "post", 200, by_post("images/generations", {"prompt": "a bridge", "size": "256x256"})),
    ("/images/generations", "post", 400, by_post("images/generations", {"prompt": "a bridge", "n": 2})),
]


@pytest.mark.parametrize(("path", "method", "status", "ask"), ANSWERS)
def test_an_answer_has_the_documented_shape(
    client: Client, path: str, method: str, status: int, ask: Callable[[Client], Any]
) -> None:
    client.session.headers["Authorization"] = f"Bearer {client.venice.admin_key}"
    for _ in range(41 if path == "/api_keys/rate_limits/log" else 11):
        client.queue()
    answer = ask(client)
    assert answer.status_code == status, answer.text
    assert schema.check_answer(path, method, status, answer.json()) == []


def test_the_check_finds_what_differs() -> None:
    problems = schema.check_answer("/video/queue", "post", 200, {"model": 1, "queue": "x"})
    assert {problem.path for problem in problems} == {("queue_id",), (), ("model",)}


def test_the_log_names_what_was_refused() -> None:
    with VeniceSimulator(speed=60, media="shared") as venice:
        client = Client(venice)
        with client.session:
            for _ in range(41):
                client.queue()
            for _ in range(22):
                client.get("models?type=poem")
            assert eventually(lambda: client.get("api_keys/rate_limits/log").status_code == 200)
            log = client.get("api_keys/rate_limits/log").json()["data"]
    assert (log[0]["rateLimitType"], log[0]["modelId"]) == ("RPM", T2V["model"])
    assert {entry["rateLimitType"] for entry in log[1:]} == {"FAILED_REQUESTS"}


@pytest.mark.parametrize("as_url", [True, False])
def test_openais_form_of_an_image(client: Client, as_url: bool) -> None:
    body = {"prompt": "a bridge", "size": "256x256", "output_format": "jpeg"}
    answer = client.post("images/generations", {**body, "response_format": "url"} if as_url else body).json()
    (image,) = answer["data"]
    encoded = image["url"].partition(",")[2] if as_url else image["b64_json"]
    picture = Image.open(BytesIO(base64.b64decode(encoded)))
    assert (picture.format, picture.size) == ("JPEG", (256, 256))
    assert client.post("images/generations", {**body, "model": "nobody"}).status_code == 404


def test_the_catalogue_has_the_vendors_models(client: Client) -> None:
    listed = {entry["id"]: entry for entry in client.get("models?type=video").json()["data"]}
    assert len(listed) >= 116
    assert "seedance-2-0-image-to-video" not in listed, "the vendor takes it, and does not list it"
    assert listed["wan-2-7-reference-to-video"]["model_spec"]["constraints"]["per_reference_audio"] is True
    assert listed["wan-2.5-preview-image-to-video"]["model_spec"]["constraints"]["audio_input"] is True
    assert listed["topaz-video-upscale"]["model_spec"]["constraints"]["video_input"] is True
    sora = listed["sora-2-text-to-video"]["model_spec"]["deprecation"]
    assert sora == {"autoRemap": False, "date": "2026-09-24T00:00:00.000Z", "removesAt": "2026-09-24T00:00:00.000Z"}
    assert listed["wan-2-7-text-to-video"]["model_spec"]["uncensored"] is True


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_each_model_takes_the_least_that_it_needs(client: Client, model: Any) -> None:
    kinds = {"reference_image_urls": ["https://example.com/a.png"]}
    body: dict[str, Any] = {"model": model.id}
    body |= {} if model.promptless else {"prompt": "x"}
    body |= {"duration": model.durations[0]} if model.durations else {}
    for group in model.needs:
        body[group[0]] = kinds.get(group[0], "https://example.com/a.png")
    if model.consents:
        names = ("confirmed_terms_and_privacy", "confirmed_legal_right", "confirmed_screening_acknowledged")
        body["consents"] = {"seedance": dict.fromkeys(names, True)}
    assert client.post("video/quote", {"duration": "5s", **body}).status_code == 200
    answer = client.post("video/queue", body)
    assert answer.status_code == (503 if model.offline else 200), answer.text
    assert ("download_url" in answer.json()) == model.private
