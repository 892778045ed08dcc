"""Everything that can be made to go wrong, seen from the client's side."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
import requests

from airflow_provider_venice.simulator.faults import TAGS
from tests.simulator.client import PRIVATE, Client, eventually

LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def test_a_status_comes_so_many_times(client: Client) -> None:
    job = client.job()
    client.venice.fail("retrieve", status=503, times=2, headers={"retry-after": "7"})
    answers = [client.retrieve(job) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert (answers[0].headers["retry-after"], set(answers[0].json())) == ("7", {"error"})
    assert [entry.fault for entry in client.venice.journal.polls()] == ["status", "status", None]


def test_a_fault_may_have_no_end_and_a_target(client: Client) -> None:
    mine, other = client.job(prompt="mine"), client.job(prompt="other")
    client.venice.fail("retrieve", status=500, times=None, match=mine["queue_id"])
    assert {client.retrieve(mine).status_code for _ in range(4)} == {500}
    assert client.retrieve(other).status_code == 200
    client.venice.fail("retrieve", status=502, match="other")
    assert client.retrieve(other).status_code == 502
    client.control("DELETE", "faults")
    assert client.retrieve(mine).status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "path", "body"),
    [
        ("quote", "video/quote", {"model": "wan-2-7-text-to-video", "duration": "5s"}),
        ("models", "models", None),
        ("rate_limits", "api_keys/rate_limits", None),
        ("balance", "billing/balance", None),
        ("image", "image/generate", {"model": "grok-imagine-image", "prompt": "x", "width": 64, "height": 64}),
    ],
)
def test_every_endpoint_can_fail(client: Client, endpoint: str, path: str, body: Any) -> None:
    client.venice.fail(endpoint, status=500)
    answers = [client.get(path) if body is None else client.post(path, body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 200]


def test_links_and_deletions_can_fail(client: Client) -> None:
    job = client.done(**PRIVATE)
    for endpoint in ("download", "revoke", "complete"):
        client.venice.fail(endpoint, status=502, html=True)
    answers = [
        requests.get(job["download_url"], timeout=10),
        requests.delete(job["download_url"], timeout=10),
        client.complete(job),
    ]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert all(answer.headers["Content-Type"].startswith("text/html") for answer in answers)
    assert client.venice.jobs[0].fate == "kept"


def test_a_connection_lost_before_the_request_was_read_costs_nothing(client: Client) -> None:
    client.venice.fail("queue", drop_before=True)
    with pytest.raises(LOST):
        client.queue()
    assert not client.venice.jobs
    assert client.venice.journal.charged == 0
    assert not client.venice.journal.calls("queue")[0].reply_lost


def test_a_lost_reply_may_be_a_paid_job(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.venice.fail("queue", drop_after=True)
    with pytest.raises(LOST):
        client.queue()
    entry = client.venice.journal.charges[0]
    assert (entry.reply_lost, entry.status, entry.charged) == (True, None, Decimal("0.35"))
    assert len(client.venice.jobs) == 1
    assert not [record for record in caplog.records if record.exc_info]


def test_a_gateway_may_fail_after_the_job_was_taken(client: Client) -> None:
    client.venice.fail("queue", status=504, act=True)
    assert client.queue().status_code == 504
    assert len(client.venice.journal.charges) == 1


def test_a_reply_may_hang_beyond_the_readers_patience(client: Client) -> None:
    client.venice.fail("queue", hang=0.5)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(
            f"{client.venice.base_url}/video/queue",
            json={"model": "wan-2-7-text-to-video", "prompt": "x", "duration": "5s"},
            timeout=0.2,
        )
    entry = client.venice.journal.charges[0]
    assert eventually(lambda: entry.reply_lost)
    client.venice.fail("models", hang=0.2)
    started = time.monotonic()
    assert client.get("models").status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("endpoint", ["retrieve", "download"])
def test_a_clip_may_be_cut(client: Client, endpoint: str) -> None:
    job = client.job(**(PRIVATE if endpoint == "download" else {}))
    client.venice.fail(endpoint, truncate=5000)
    # The fault waits for the media: a poll before that does not use it up.
    assert client.retrieve(job).json()["status"] == "PROCESSING"
    client.venice.finish()

    def read() -> bytes:
        if endpoint == "download":
            return requests.get(job["download_url"], timeout=10).content
        return client.retrieve(job).content

    with pytest.raises(LOST):
        read()
    cut = client.venice.journal.calls(endpoint)[-1]
    assert cut.bytes_delivered == 5000 < cut.size
    whole = read()
    assert len(whole) == cut.size
    client.venice.fail(endpoint, truncate=5000, length=False)
    assert read() == whole[:5000]


def test_a_cut_link_can_be_resumed(client: Client) -> None:
    url = client.done(**PRIVATE)["download_url"]
    client.venice.fail("download", truncate=5000)
    pieces: list[bytes] = []
    with requests.get(url, stream=True, timeout=10) as answer, pytest.raises(LOST):
        pieces.extend(answer.iter_content(1000))
    got = b"".join(pieces)
    rest = requests.get(url, headers={"Range": f"bytes={len(got)}-"}, timeout=10)
    assert rest.status_code == 206
    assert got + rest.content == requests.get(url, timeout=10).content
    requests.delete(url, timeout=10)
    assert not client.venice.journal.unread_deletions


def test_answers_that_are_not_the_vendors(client: Client) -> None:
    client.venice.fail("queue", bad_json=True)
    cut = client.queue()
    assert (cut.status_code, cut.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        cut.json()
    assert len(client.venice.journal.charges) == 1
    client.venice.fail("retrieve", html=True)
    page = client.retrieve(client.job())
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")


def test_a_stub_is_sold_as_a_clip(client: Client) -> None:
    job = client.done()
    client.venice.fail("retrieve", stub=True)
    answer = client.retrieve(job)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.content.startswith(b"<!DOCTYPE html>")
    assert client.venice.journal.bytes_delivered == 0


def test_media_may_be_gone(client: Client) -> None:
    inline, private = client.done(), client.done(**PRIVATE)
    client.venice.fail("retrieve", expire=True)
    client.venice.fail("download", expire=True)
    assert [client.retrieve(inline).status_code for _ in range(2)] == [404, 404]
    assert requests.get(private["download_url"], timeout=10).status_code == 410


def test_the_policy_at_submission_is_free(client: Client) -> None:
    client.venice.fail("queue", policy=True, match="gondola")
    client.job(prompt="a boat")
    answer = client.queue(prompt="a gondola")
    assert (answer.status_code, set(answer.json())) == (422, {"error", "suggested_prompt"})
    assert len(client.venice.journal.charges) == 1


def test_the_policy_at_retrieval_is_refunded_once(client: Client) -> None:
    job = client.job(model="veo3.1-fast-text-to-video", duration="4s")
    client.venice.fail("retrieve", policy=True)
    answers = [client.retrieve(job) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    problem = answers[0].json()["error"]
    assert set(problem) == {"message", "type", "credits_refunded", "recommended_model"}
    assert (problem["type"], problem["credits_refunded"]) == ("provider_content_policy", True)
    assert client.venice.journal.refunded == client.venice.journal.charged == Decimal("0.66")
    assert client.venice.balance == 100


def test_consent_can_be_asked_for(client: Client) -> None:
    client.venice.fail("queue", consent=True)
    assert [client.queue().status_code, client.queue().status_code] == [409, 200]


@pytest.mark.parametrize("fields", [{"endpoint": "teapot", "status": 418}, {"endpoint": "queue"}])
def test_a_fault_that_says_nothing_is_refused(client: Client, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown endpoint|does nothing"):
        client.venice.fail(**fields)
    answer = client.control("POST", "faults", fields)
    assert (answer.status_code, "error" in answer.json()) == (400, True)


@pytest.mark.parametrize(
    ("tag", "status", "charges"), [("policy", 422, 0), ("consent", 409, 0), ("busy", 429, 0), ("refund", 422, 1)]
)
def test_a_prompt_alone_can_ask_for_trouble(client: Client, tag: str, status: int, charges: int) -> None:
    client.job(prompt="a quiet neighbour")
    answer = client.queue(prompt=f"a storm [simulate: {tag}]")
    if charges:
        client.venice.finish()
        answer = client.retrieve(answer.json())
    assert answer.status_code == status
    assert len(client.venice.journal.charges) == 1 + charges


def test_a_tagged_job_fails_when_it_is_done_and_for_good(client: Client) -> None:
    job = client.job(prompt="a storm [simulate: fail]")
    assert client.retrieve(job).json()["status"] == "PROCESSING"
    client.venice.finish()
    assert [client.retrieve(job).status_code for _ in range(3)] == [400] * 3


@pytest.mark.parametrize(("tag", "statuses"), [("flaky", [503, 503, 200]), ("expire", [404, 404]), ("stub", [200])])
def test_a_tagged_job_has_trouble_of_its_own(client: Client, tag: str, statuses: list[int]) -> None:
    job = client.done(prompt=f"a storm [simulate: {tag}]")
    assert [client.retrieve(job).status_code for _ in statuses] == statuses


def test_a_tagged_clip_is_cut_once(client: Client) -> None:
    job = client.done(prompt="a storm [simulate: truncate]")
    with pytest.raises(LOST):
        client.retrieve(job)
    assert client.retrieve(job).status_code == 200


def test_a_tagged_submission_is_lost_once(client: Client) -> None:
    with pytest.raises(LOST):
        client.queue(prompt="a storm [simulate: lost]")
    client.job(prompt="a storm [simulate: lost]")
    assert len(client.venice.journal.charges) == 2


def test_tags_stretch_time(client: Client) -> None:
    client.venice.job_seconds = 30
    for prompt in ("a calm", "a storm [simulate: slow]", "a storm [simulate: stuck]"):
        client.job(prompt=prompt)
    waits = [job.ready_at - job.queued_at for job in client.venice.jobs]
    assert waits == pytest.approx([3, 15, float("inf")])
    assert client.control("GET", "jobs").json()["jobs"][2]["ready_at"] is None
    assert client.venice.finish() == 3


def test_unknown_tags_do_nothing(client: Client) -> None:
    client.job(prompt="[simulate: sunshine]")
    assert {"policy", "fail", "slow"} <= set(TAGS)
