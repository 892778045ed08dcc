"""The answers of the endpoints, held against the shapes of the vendor's OpenAPI document."""

from __future__ import annotations

import base64
import uuid
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
import requests
from PIL import Image

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import PRIVATE, T2V, Client

GIF = base64.b64encode(b"GIF89a" + bytes(20)).decode()
REFERENCE = "seedance-2-5-reference-to-video-basic"
POSES = [{"time": time, "azimuth": 45 * time, "elevation": 10, "distance": 1} for time in (0, 1)]
UPSCALE = {"model": "topaz-video-upscale", "video_url": "https://example.com/a.mp4", "upscale_factor": 4}
CONSENTS = {
    "seedance": {
        "confirmed_terms_and_privacy": True,
        "confirmed_legal_right": True,
        "confirmed_screening_acknowledged": True,
    }
}


def test_quote_is_free_and_needs_no_key(venice: VeniceSimulator) -> None:
    body = {"model": T2V["model"], "duration": "5s", "resolution": "1080p", "aspect_ratio": "16:9"}
    answer = requests.post(f"{venice.base_url}/video/quote", json=body, timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"quote": 0.53})
    assert not venice.journal.charges
    assert venice.journal.calls("quote")[0].key is None


@pytest.mark.parametrize(
    "fields",
    [
        T2V,
        {**T2V, "duration": "15s", "resolution": "1080p"},
        {"model": "veo3.1-fast-text-to-video", "prompt": "x", "duration": "4s", "audio": False},
        PRIVATE,
        UPSCALE,
        {**UPSCALE, "target_fps": 60, "slowdown_factor": 2.5},
        {**UPSCALE, "target_fps": 24, "enhancement_model": "starlight", "grain": 0.1, "h264_output": True},
    ],
)
def test_a_job_costs_what_was_quoted(client: Client, fields: dict[str, Any]) -> None:
    quoted = client.post("video/quote", {k: v for k, v in fields.items() if k != "prompt"}).json()["quote"]
    answer = client.post("video/queue", fields)
    assert answer.headers["x-venice-balance-usd"] == "100.00"
    assert client.venice.journal.charged == Decimal(str(quoted))
    assert client.get("billing/balance").json()["balances"]["usd"] == float(100 - Decimal(str(quoted)))


def test_audio_that_is_left_out_is_cheaper(client: Client) -> None:
    body = {"model": "veo3.1-fast-text-to-video", "duration": "8s"}
    with_sound, without = (client.post("video/quote", {**body, "audio": on}).json()["quote"] for on in (True, False))
    assert 0 < without < with_sound


def test_queue_and_retrieve_answer_in_the_documented_shape(client: Client) -> None:
    job = client.job()
    assert set(job) == {"model", "queue_id"}
    uuid.UUID(job["queue_id"])
    status = client.retrieve(job).json()
    assert set(status) == {"status", "average_execution_time", "execution_duration"}
    assert status["status"] == "PROCESSING"
    # P80 of a log-normal with median 120 s and sigma 0.25, at ten times real speed, in milliseconds.
    assert 14_500 < status["average_execution_time"] < 15_500
    assert 0 <= status["execution_duration"] < 5_000


def test_private_jobs_never_answer_with_a_body(client: Client) -> None:
    job = client.done(**PRIVATE)
    assert set(job) == {"model", "queue_id", "download_url"}
    assert job["download_url"].startswith(client.venice.base_url.removesuffix("/api/v1") + "/v1/share/read/")
    status = client.retrieve(job)
    assert status.headers["Content-Type"].startswith("application/json")
    assert status.json()["status"] == "COMPLETED"
    refusal = client.complete(job)
    assert (refusal.status_code, refusal.json()["code"]) == (400, "REQUEST_ID_NOT_FOUND")


def test_complete_deletes_and_cancels_nothing(client: Client) -> None:
    job = client.job()
    assert client.complete(job).json() == {"success": False}
    client.venice.finish()
    assert client.retrieve(job).headers["Content-Type"] == "video/mp4"
    assert client.complete(job).json() == {"success": True}
    gone = client.retrieve(job)
    assert (gone.status_code, set(gone.json())) == (404, {"error"})
    assert client.complete(job).json() == {"success": True}


def test_a_model_that_is_offline_takes_nothing(client: Client) -> None:
    answer = client.queue(model="ltx-2-19b-full-text-to-video")
    assert (answer.status_code, answer.json()["code"]) == (503, "MODEL_OFFLINE")
    assert client.venice.journal.charged == 0


def test_a_job_is_found_by_model_and_id_only(client: Client) -> None:
    job = client.done()
    assert client.retrieve({**job, "model": "wan-2-7-image-to-video"}).status_code == 404
    assert client.retrieve({**job, "queue_id": str(uuid.uuid4())}).status_code == 404


def test_models(client: Client) -> None:
    answer = client.get("models", params={"type": "video"}).json()
    assert (answer["object"], answer["type"]) == ("list", "video")
    models = {model["id"]: model for model in answer["data"]}
    for model in models.values():
        assert {"id", "model_spec", "object", "owned_by", "type"} <= set(model)
        assert model["model_spec"]["privacy"] in ("private", "anonymized")
        constraints = model["model_spec"]["constraints"]
        assert {"aspect_ratios", "resolutions", "durations", "model_type", "audio", "audio_configurable"} <= set(
            constraints
        )
        assert constraints["model_type"] in ("image-to-video", "text-to-video", "video")
    assert [m for m in models if m.endswith("-private")]
    assert [m for m, payload in models.items() if payload["model_spec"]["offline"]]
    deprecations = [m["model_spec"]["deprecation"] for m in models.values() if "deprecation" in m["model_spec"]]
    assert {"autoRemap", "date", "removesAt"} <= set(deprecations[0])
    images = client.get("models?type=image").json()["data"]
    assert [m["type"] for m in images] == ["image"]
    assert len(client.get("models?type=all").json()["data"]) == len(models) + 1
    assert client.get("models?type=poem").status_code == 400


def test_account(client: Client) -> None:
    data = client.get("api_keys/rate_limits").json()["data"]
    assert set(data) == {
        "accessPermitted",
        "apiTier",
        "balances",
        "keyExpiration",
        "nextEpochBegins",
        "rateLimits",
    }
    assert set(data["apiTier"]) == {"id", "isCharged"}
    assert {"amount": 40, "type": "RPM"} in data["rateLimits"][0]["rateLimits"]
    balance = client.get("billing/balance").json()
    assert set(balance) == {"canConsume", "consumptionCurrency", "balances", "diemEpochAllocation"}
    assert balance["balances"] == {"diem": None, "usd": 100.0}


@pytest.mark.parametrize("path", ["models/traits", "api_keys/rate_limits", "billing/balance"])
def test_a_wrong_key_is_refused(client: Client, path: str) -> None:
    answer = client.get(path, headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, set(answer.json())) == (401, {"error"})
    assert not client.venice.journal.charges


def test_a_wrong_key_is_ignored_where_the_schema_has_no_401(client: Client) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    answer = client.get("models?type=video", headers=wrong)
    assert (answer.status_code, answer.json()) == (200, client.get("models?type=video").json())
    assert "x-venice-balance-usd" not in answer.headers
    url = f"{client.venice.base_url}/video/quote"
    assert requests.post(url, json=T2V, headers=wrong, timeout=10).json() == client.post("video/quote", T2V).json()


def test_no_key_is_refused_and_keys_stay_out_of_the_journal(venice: VeniceSimulator) -> None:
    for key in (None, venice.api_key):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = requests.post(f"{venice.base_url}/video/queue", json=T2V, headers=headers, timeout=10)
        assert answer.status_code == (200 if key else 401)
    assert [entry.key is None for entry in venice.journal] == [True, False]
    assert venice.api_key not in repr(list(venice.journal))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"duration": "7s"}, "duration"),
        ({"duration": None}, "duration"),
        ({"duration": 5}, "duration"),
        ({"aspect_ratio": "3:2"}, "aspect_ratio"),
        ({"resolution": "8k"}, "resolution"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 2501}, "prompt"),
        ({"audio": False}, "audio"),
        ({"audio": "yes"}, "audio"),
        ({"upscale_factor": 2}, "upscale_factor"),
        ({"image_url": "https://example.com/a.png"}, "image_url"),
        ({"target_fps": 60}, "target_fps"),
        ({"camera_trajectory": [{}, {}]}, "camera_trajectory"),
        ({"model": "wan-2-7-image-to-video", "camera_trajectory": POSES}, "camera_trajectory"),
        ({"model": "minimax-h3-max-multi-angle", "camera_trajectory": POSES[:1]}, "camera_trajectory"),
        ({"model": "minimax-h3-max-multi-angle", "camera_trajectory": [{"pan": 1}, {}]}, "camera_trajectory"),
        ({"model": "minimax-h3-max-multi-angle", "camera_trajectory": POSES}, "image_url"),
        ({"model": "topaz-video-upscale", "target_fps": "60"}, "target_fps"),
        ({"model": "topaz-video-upscale", "target_fps": 0}, "target_fps"),
        ({"model": "topaz-video-upscale", "slowdown_factor": 0.5}, "slowdown_factor"),
        ({"duration": "auto"}, "duration"),
        ({"audio": True}, "audio"),
        ({"bitrate_mode": "high"}, "bitrate_mode"),
        ({"resolution": "720P"}, "resolution"),
        ({"aspect_ratio": "16:10"}, "aspect_ratio"),
        ({"reference_document_urls": ["https://h/a.pdf", "https://h/b.pdf"]}, "reference_document_urls"),
        ({"model": REFERENCE, "reference_image_urls": ["https://h/a.png"] * 31}, "reference_image_urls"),
        ({"model": REFERENCE, "reference_audio_urls": ["https://h/a.mp3"]}, "reference_audio_urls"),
        ({"model": REFERENCE}, "reference_image_urls"),
        ({"model": "pixverse-c1-transition", "image_url": "https://h/a.png"}, "end_image_url"),
        ({"model": "wan-2-7-image-to-video", "keyframes": [{"frame_index": 0}]}, "keyframes"),
        ({"model": "kling-2.5-turbo-pro-text-to-video", "resolution": "720p"}, "resolution"),
        ({"model": "ovi-image-to-video", "image_url": "https://h/a.png", "aspect_ratio": "16:9"}, "aspect_ratio"),
        ({"model": "wan-2-7-image-to-video"}, "image_url"),
        ({"model": "wan-2-7-image-to-video", "image_url": "gondola.png"}, "image_url"),
        ({"model": "wan-2-7-image-to-video", "image_url": f"data:image/png;base64,{GIF}"}, "image_url"),
        ({"model": "wan-2-7-image-to-video", "image_url": f"data:video/mp4;base64,{GIF}"}, "image_url"),
        ({"model": "wan-2-7-image-to-video", "image_url": "data:image/gif;base64,%%%"}, "image_url"),
        ({"model": "topaz-video-upscale"}, "video_url"),
        ({"model": "topaz-video-upscale", "video_url": "https://h/a.mp4", "resolution": "720p"}, "resolution"),
    ],
)
def test_a_wrong_field_is_named_and_costs_nothing(client: Client, change: dict[str, Any], field: str) -> None:
    body = {name: value for name, value in {**T2V, **change}.items() if value is not None}
    answer = client.post("video/queue", body)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert isinstance(problem["error"], str)
    assert problem["details"]["_errors"] == []
    assert field in problem["details"]
    assert field in [issue["path"][0] for issue in problem["issues"]]
    assert all(issue["message"] and issue["code"] for issue in problem["issues"])
    assert not client.venice.journal.charges


@pytest.mark.parametrize("field", ["prompt", "seed", "image_url", "input_height", "aspect_ratio", "target_fps"])
def test_a_quote_takes_further_keys(client: Client, field: str) -> None:
    body = {
        "model": "longcat-distilled-text-to-video",
        "duration": "5s",
        field: 48 if field == "target_fps" else "16:9",
    }
    answer = client.post("video/quote", body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == client.post("video/quote", {**body, field: 50 if field == "target_fps" else "9:16"}).json()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"bitrate_mode": "high"}, "bitrate_mode"),
        ({"resolution": "8k"}, "resolution"),
        ({"target_fps": "fast"}, "target_fps"),
    ],
)
def test_a_quote_names_its_wrong_fields(client: Client, fields: dict[str, Any], field: str) -> None:
    answer = client.post("video/quote", {"model": T2V["model"], "duration": "5s", **fields})
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["_errors", field])


@pytest.mark.parametrize(
    ("change", "times"),
    [
        ({"target_fps": 47}, 1),
        ({"target_fps": 48}, 2),
        ({"slowdown_factor": 4}, 4),
        ({"slowdown_factor": 1.5, "target_fps": 120}, 3),
        ({"enhancement_model": "starlight"}, 1),
    ],
)
def test_fields_of_an_enhancement_price(client: Client, change: dict[str, Any], times: float) -> None:
    plain, changed = (client.post("video/quote", {**UPSCALE, **more}).json()["quote"] for more in ({}, change))
    assert changed == pytest.approx(times * plain)
    assert client.post("video/queue", {**UPSCALE, **change}).status_code == 200
    assert client.venice.journal.charged == Decimal(str(changed))


def test_fields_of_the_vendors_guides_are_taken(client: Client) -> None:
    enhancement = dict.fromkeys(("compression", "creativity", "halo", "noise", "realism", "recover_detail"), 0.5)
    answer = client.post("video/queue", {**UPSCALE, **enhancement, "sharp": 1, "softness": 0, "output_format": "mp4"})
    assert answer.status_code == 200, answer.text
    client.job(reference_video_total_duration=3)
    client.job(model="wan-2-7-image-to-video", image_url="https://example.com/a.png", image_strength=0.5)
    poses = {
        "model": "minimax-h3-max-multi-angle",
        "image_url": "https://example.com/a.png",
        "camera_trajectory": POSES,
    }
    assert client.post("video/queue", {**poses, "duration": "5s"}).status_code == 200, "it needs no prompt"


def test_what_the_vendor_does_not_know_is_ignored(client: Client) -> None:
    client.job(flavour="sweet", seed="seven", fps="many")


def test_a_value_that_is_not_listed_is_told_with_those_that_are(client: Client) -> None:
    (issue,) = client.queue(duration="7s").json()["issues"]
    assert (issue["code"], issue["path"]) == ("invalid_enum_value", ["duration"])
    assert issue["message"] == "Invalid enum value. Expected '5s' | '10s' | '15s', received '7s'"


def test_what_is_wrong_deep_inside_is_told_where_it_is(client: Client) -> None:
    frames = [{"image_url": "https://h/a.png", "frame_index": 0}, {"image_url": 1, "frame_index": -1}]
    problem = client.queue(keyframes=frames).json()
    assert problem["details"]["keyframes"]["1"]["frame_index"]["_errors"]
    assert [issue["path"] for issue in problem["issues"]] == [
        ["keyframes", 1, "image_url"],
        ["keyframes", 1, "frame_index"],
    ]


@pytest.mark.parametrize("path", ["video/quote", "video/queue"])
def test_an_unknown_model_is_not_found(client: Client, path: str) -> None:
    answer = client.post(path, {**T2V, "model": "wan-2-7-text-to-vide"})
    assert (answer.status_code, answer.json()["code"]) == (404, "MODEL_NOT_FOUND")
    assert "Did you mean: wan-2-7-text-to-video" in answer.json()["error"]
    assert client.post(path, {**T2V, "model": None}).status_code == 400


@pytest.mark.parametrize("duration", ["Auto", "10", "5s", None])
def test_an_upscaler_measures_its_source(client: Client, duration: str | None) -> None:
    body = {**UPSCALE, **({} if duration is None else {"duration": duration})}
    assert client.post("video/quote", body).json() == client.post("video/quote", UPSCALE).json()
    assert client.post("video/queue", body).status_code == 200


def test_an_upscaler_takes_the_example_of_its_page(client: Client) -> None:
    example = {**UPSCALE, "prompt": "a mountain valley", "duration": "Auto", "resolution": "4x"}
    del example["upscale_factor"]
    assert client.post("video/quote", example).json() == client.post("video/quote", UPSCALE).json()
    assert client.post("video/queue", example).status_code == 200
    models = client.get("models?type=video").json()["data"]
    (listed,) = (m["model_spec"]["constraints"] for m in models if m["id"] == UPSCALE["model"])
    assert (listed["durations"], listed["resolutions"]) == (["Auto"], ["2x", "4x"])


@pytest.mark.parametrize("path", ["video/queu", "chat/completions"])
def test_what_is_no_endpoint_is_answered_with_json(client: Client, path: str) -> None:
    for answer in (client.post(path, {}), client.get(path), client.get("video/queue")):
        assert answer.status_code == 404
        assert isinstance(answer.json()["error"], str)


def test_a_source_gives_its_length_and_shape(client: Client) -> None:
    fields = {"model": REFERENCE, "duration": "auto", "aspect_ratio": "adaptive"}
    assert client.post("video/quote", fields).status_code == 400
    assert client.post("video/quote", {**fields, "reference_video_total_duration": 4}).status_code == 200
    client.job(**fields, reference_video_urls=["https://example.com/a.mp4"], omni_reference_task_type="editing")
    fixed = {**fields, "duration": "6s", "reference_video_total_duration": 5.2}
    lengths = [{**fields, "reference_video_total_duration": 5.2}, fixed]
    first, second = (client.post("video/quote", length).json()["quote"] for length in lengths)
    assert first == second, "the source's length counts as whole seconds"


@pytest.mark.parametrize("body", ["{not json", "[]", ""])
def test_a_body_that_is_no_object_is_refused(client: Client, body: str) -> None:
    answer = client.session.post(f"{client.venice.base_url}/video/queue", data=body, timeout=10)
    assert (answer.status_code, "details" in answer.json()) == (400, True)


@pytest.mark.parametrize("path", ["video/retrieve", "video/complete"])
def test_later_calls_name_their_wrong_fields_too(client: Client, path: str) -> None:
    answer = client.post(path, {"model": T2V["model"], "speed": 1})
    details = answer.json()["details"]
    assert details["_errors"] == ["Unrecognized key(s) in object: 'speed'"]
    assert set(details) == {"_errors", "queue_id"}


def test_a_data_url_of_the_real_type_is_taken(client: Client) -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    client.job(model="wan-2-7-image-to-video", image_url=url)


def test_a_body_above_35_megabytes_is_refused(client: Client) -> None:
    answer = client.queue(model="wan-2-7-image-to-video", image_url="data:image/png;base64," + "A" * (36 << 20))
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert client.queue().status_code == 200


def test_the_balance_runs_out() -> None:
    with VeniceSimulator(balance=0.5, media="shared") as venice:
        client = Client(venice)
        with client.session:
            client.job()
            answer = client.queue()
    assert (answer.status_code, answer.json()["code"]) == (402, "INSUFFICIENT_BALANCE")
    assert answer.headers["x-venice-balance-usd"] == "0.15"
    assert len(venice.journal.charges) == 1


def test_a_deprecated_model_says_so(client: Client) -> None:
    answer = client.queue(model="wan-2.5-preview-text-to-video")
    assert answer.status_code == 200
    assert "wan-2-7-text-to-video" in answer.headers["x-venice-model-deprecation-warning"]
    assert answer.headers["x-venice-model-deprecation-date"].endswith("Z")


def test_faces_need_a_persons_consent(client: Client) -> None:
    face = {"image_url": "https://example.com/face.png"}
    client.job(model="seedance-2-0-image-to-video-basic", **face)
    client.venice.reset()
    fields = {"model": "seedance-2-0-image-to-video", **face}
    answer = client.queue(**fields)
    problem = answer.json()
    assert answer.status_code == 409
    assert set(problem) == {"error", "consent_flow", "face_media_roles", "consent", "docs_url"}
    assert (problem["error"]["code"], problem["consent_flow"]) == ("needs_consent", "seedance")
    assert problem["face_media_roles"] == ["image"]
    assert problem["consent"]["policy_text"]
    assert not client.venice.journal.charges
    half = client.queue(**fields, consents={"seedance": {"confirmed_legal_right": True}})
    assert (half.status_code, "consents" in half.json()["details"]) == (400, True)
    further = {"seedance": {**CONSENTS["seedance"], "consent_version": "v2.0"}}
    assert client.queue(**fields, consents=further).status_code == 400
    client.job(**fields, consents=CONSENTS)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_images(client: Client, kind: str) -> None:
    body = {"model": "grok-imagine-image", "prompt": "a bridge", "format": kind, "width": 320, "height": 200}
    raw = client.post("image/generate", {**body, "return_binary": True})
    assert raw.headers["Content-Type"] == f"image/{kind}"
    answer = client.post("image/generate", {**body, "variants": 2}).json()
    assert {"id", "images", "timing"} <= set(answer)
    assert set(answer["timing"]) == {
        "inferenceDuration",
        "inferencePreprocessingTime",
        "inferenceQueueTime",
        "total",
    }
    for data in (raw.content, *map(base64.b64decode, answer["images"])):
        picture = Image.open(BytesIO(data))
        assert (picture.format, picture.size) == (kind.upper(), (320, 200))
        assert len(picture.convert("L").getcolors(65536) or []) > 2, "the prompt is not drawn"
    assert len(answer["images"]) == 2
    assert client.venice.journal.charged == Decimal("0.06")


def test_wrong_image_fields_are_named(client: Client) -> None:
    body = {"model": "nobody", "prompt": "", "width": 0, "format": "bmp", "taste": 1}
    answer = client.post("image/generate", body)
    details = answer.json()["details"]
    assert set(details) == {"_errors", "prompt", "width", "format"}
    assert details["_errors"] == ["Unrecognized key(s) in object: 'taste'"]
    assert client.post("image/generate", {"model": "nobody", "prompt": "a bridge"}).status_code == 404
