"""The ledger and the sums, and who may see them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from tests.simulator.client import T2V, Client, eventually

IMAGE = {"model": "grok-imagine-image", "prompt": "a bridge", "width": 64, "height": 64}


@pytest.fixture
def admin(client: Client) -> Iterator[Client]:
    with_admin_key = Client(client.venice)
    with_admin_key.session.headers["Authorization"] = f"Bearer {client.venice.admin_key}"
    with with_admin_key.session:
        yield with_admin_key


def history(admin: Client, **query: Any) -> dict[str, Any]:
    answer = admin.get("billing/usage-history", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_ledger_has_what_was_charged_and_given_back(client: Client, admin: Client) -> None:
    job = client.job()
    refused = client.done(prompt="[simulate: refund] x")
    assert client.retrieve(refused).status_code == 422
    client.post("image/generate", IMAGE)
    page = history(admin)
    rows = page["data"]
    assert page["nextCursor"] is None
    assert [row["amount"] for row in rows] == [-0.35, -0.35, 0.35, -0.02]
    assert [row["inferenceDetails"]["requestId"] for row in rows[:3]] == [job["queue_id"], *[refused["queue_id"]] * 2]
    assert {row["currency"] for row in rows} == {"USD"}
    assert rows[0]["timestamp"].endswith("Z")
    assert sum(row["amount"] for row in rows) == pytest.approx(float(client.venice.balance) - 100)


def test_only_an_admin_key_sees_the_ledger(client: Client, admin: Client) -> None:
    answer = client.get("billing/usage-history")
    assert (answer.status_code, answer.json()) == (401, {"error": "Admin API key required"})
    assert client.get("billing/usage-analytics").status_code == 200
    assert admin.post("video/queue", T2V).status_code == 200, "the ADMIN key does everything else as well"


def test_a_walk_goes_on_with_its_cursor_alone(client: Client, admin: Client) -> None:
    for _ in range(25):
        client.job()
    first = history(admin, pageSize=10, currency="USD")
    client.job()
    second = history(admin, cursor=first["nextCursor"])
    third = history(admin, cursor=second["nextCursor"])
    pages = [first["data"], second["data"], third["data"]]
    assert [len(page) for page in pages] == [10, 10, 6]
    ids = [row["inferenceDetails"]["requestId"] for page in pages for row in page]
    assert ids == [job.queue_id for job in client.venice.jobs]
    assert third["nextCursor"] is None
    assert history(admin, cursor=first["nextCursor"])["data"] == second["data"], "a page is stable"
    assert history(admin, currency="DIEM")["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"pageSize": 9},
        {"pageSize": 1001},
        {"pageSize": "many"},
        {"currency": "VCU"},
        {"page": 2},
        {"startTimestamp": "2026-06-01"},
        {"startTimestamp": "2026-06-02T00:00:00Z", "endTimestamp": "2026-06-02T00:00:00Z"},
        {"cursor": "made-up"},
        {"cursor": "made-up", "pageSize": 10},
        {"cursor": "not even!"},
    ],
)
def test_a_wrong_query_is_refused(admin: Client, query: dict[str, Any]) -> None:
    answer = admin.get("billing/usage-history", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_period_has_its_start_and_lacks_its_end(client: Client, admin: Client) -> None:
    client.job()
    (row,) = history(admin)["data"]
    moment = row["timestamp"]
    assert history(admin, endTimestamp=moment)["data"] == []
    assert history(admin, startTimestamp="2020-01-01T00:00:00Z", endTimestamp="2020-02-01T00:00:00Z")["data"] == []
    assert len(history(admin, startTimestamp=moment, endTimestamp="2199-01-01T00:00:00Z")["data"]) == 1


def test_a_charge_may_appear_late_and_under_another_id() -> None:
    with VeniceSimulator(media="shared", usage_delay=0.5, usage_ids="other") as venice:
        client = Client(venice)
        client.session.headers["Authorization"] = f"Bearer {venice.admin_key}"
        with client.session:
            started = time.monotonic()
            job = client.job()
            assert history(client)["data"] == []
            assert eventually(lambda: history(client)["data"])
            assert time.monotonic() - started >= 0.5
            (row,) = history(client)["data"]
    assert row["inferenceDetails"]["requestId"] not in (job["queue_id"], "")


def test_a_key_spends_up_to_its_limit() -> None:
    def left(client: Client) -> float:
        return float(client.get("api_keys/rate_limits").json()["data"]["balances"]["USD"])

    with VeniceSimulator(media="shared", key_limit=0.37, balance=3) as venice:
        client = Client(venice)
        with client.session:
            assert left(client) == 0.37
            refused = client.done(prompt="[simulate: refund] x")
            assert client.post("image/generate", IMAGE).status_code == 200
            for answer in (client.queue(), client.post("image/generate", IMAGE)):
                assert answer.status_code == 402
                assert answer.json()["error"].startswith("API key USD spend limit exceeded")
                assert "code" not in answer.json()
            assert client.get("api_keys/rate_limits").json()["data"]["accessPermitted"] is False
            assert client.retrieve(refused).status_code == 422
            assert left(client) == 0.35
            client.job()
            client.session.headers["Authorization"] = f"Bearer {venice.admin_key}"
            assert left(client) == 2.63
            client.job()
        assert venice.balance == Decimal("2.28")


def test_products_may_have_other_names_and_other_programs_may_buy() -> None:
    with VeniceSimulator(media="shared", usage_sku="video-of-{model}") as venice:
        client = Client(venice)
        client.session.headers["Authorization"] = f"Bearer {venice.admin_key}"
        with client.session:
            client.job()
            venice.charge("an-image-unit", 0.02)
            rows = history(client)["data"]
        assert [row["sku"] for row in rows] == [f"video-of-{T2V['model']}", "an-image-unit"]
        assert rows[1]["amount"] == -0.02
        assert float(venice.balance) == pytest.approx(100 + sum(row["amount"] for row in rows))


def test_csv(client: Client, admin: Client) -> None:
    for _ in range(11):
        client.job()
    accept = {"Accept": "text/csv"}
    answer = admin.get("billing/usage-history", params={"pageSize": 10}, headers=accept)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "billing-usage-history-" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 10
    assert rows[0]["inferenceDetails.requestId"] == client.venice.jobs[0].queue_id
    rest = admin.get("billing/usage-history", params={"cursor": answer.headers["x-next-cursor"]}, headers=accept)
    assert len(rest.text.splitlines()) == 2
    assert "x-next-cursor" not in rest.headers


def test_sums_by_day_model_and_key(client: Client) -> None:
    client.job()
    client.job(model="longcat-distilled-text-to-video")
    client.post("image/generate", IMAGE)
    sums = client.get("billing/usage-analytics", params={"lookback": "7d"}).json()
    assert sums["lookback"] == "7d"
    assert len(sums["byDate"]) == 7
    assert sums["byDate"][-1]["USD"] == pytest.approx(0.46)
    assert [entry["modelName"] for entry in sums["byModel"]] == ["Wan 2.7", "Longcat Distilled", "Grok Imagine"]
    assert [entry["totalUsd"] for entry in sums["byKey"]] == [pytest.approx(0.46)]
    assert client.get("billing/usage-analytics", params={"lookback": "400d"}).json()["lookback"] == "90d"
    past = client.get("billing/usage-analytics", params={"startDate": "2026-01-01", "endDate": "2026-01-02"}).json()
    assert [entry["USD"] for entry in past["byDate"]] == [0, 0]


@pytest.mark.parametrize(
    "query",
    [
        {"lookback": "0d"},
        {"lookback": "week"},
        {"startDate": "2026-02-30", "endDate": "2026-03-01"},
        {"startDate": "2026-03-01", "endDate": "2026-02-01"},
    ],
)
def test_a_wrong_period_is_refused(client: Client, query: dict[str, str]) -> None:
    assert client.get("billing/usage-analytics", params=query).status_code == 400


def test_the_old_ledger_has_ended(venice: VeniceSimulator) -> None:
    answer = requests.get(f"{venice.base_url}/billing/usage", timeout=10)
    assert answer.status_code == 410
    assert "/billing/usage-history" in answer.json()["error"]
    assert {"Deprecation", "Sunset", "Link"} <= set(answer.headers)
