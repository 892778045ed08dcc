"""The usage history is read with the admin connection alone, and asked about a doubt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_venice.api.billing import KnownPurchase, timestamp
from airflow_provider_venice.api.charges import ChargeFinding
from airflow_provider_venice.exceptions import (
    VeniceAmbiguousSubmission,
    VeniceAPIError,
    VeniceError,
    VeniceRequestError,
)
from airflow_provider_venice.hooks.billing import check_doubt
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator

MODEL = "wan-2-7-text-to-video"
TEXT: dict[str, Any] = {"model": MODEL, "prompt": "a lighthouse in fog", "duration": 5, "resolution": "720p"}
PRICE = Decimal("0.50")
ROW = {
    "sku": f"{MODEL}-video-unit",
    "units": 1,
    "pricePerUnitUsd": 0.5,
    "amount": -0.5,
    "currency": "USD",
    "notes": "API Inference",
    "inferenceDetails": None,
}


@pytest.fixture
def hook(venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch) -> VeniceHook:
    connect(venice_simulator, monkeypatch, admin_conn_id="venice_admin", billing_delay=0.1)
    connect(venice_simulator, monkeypatch, "venice_admin", venice_simulator.admin_key)
    return VeniceHook()


def connect(
    venice: VeniceSimulator,
    monkeypatch: pytest.MonkeyPatch,
    conn_id: str = "venice_default",
    password: str = "",
    host: str = "",
    **extra: Any,
) -> None:
    connection = {
        "conn_type": "venice",
        "host": host or venice.base_url,
        "password": password or venice.api_key,
        "extra": {"retry_attempts": 2, "retry_max_wait": 0.05, **extra},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def check(hook: VeniceHook, sent_at: float, price: Decimal, known: list[KnownPurchase] | None = None) -> ChargeFinding:
    ended_at = time.time()
    time.sleep(0.15)
    return check_doubt(hook, model=MODEL, sent_at=sent_at, ended_at=ended_at, cost=price, known=known or [])


def test_a_period_is_read(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    since = time.time()
    jobs = [hook.queue(TEXT) for _ in range(3)]
    entries = hook.usage_history(since - 1)
    assert [entry.request_id for entry in entries] == [job.queue_id for job in jobs]
    assert sum(entry.amount for entry in entries) == -venice_simulator.journal.charged
    assert hook.usage_history(since - 100, since - 1) == []


def test_a_history_of_several_pages_is_read_to_its_end(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    row = {**ROW, "timestamp": timestamp(time.time())}
    for cursor in ("a", "b", None):
        venice_simulator.fail("usage_history", status=200, body={"data": [row], "nextCursor": cursor})
    assert len(hook.usage_history(0)) == 3
    venice_simulator.fail("usage_history", status=200, times=None, body={"data": [row], "nextCursor": "a"})
    with pytest.raises(VeniceError, match="Venice has sent a cursor twice"):
        hook.usage_history(0)


def test_a_cursor_that_is_refused_begins_the_walk_again(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    hook.queue(TEXT)
    venice_simulator.fail("usage_history", status=400, body={"error": "Invalid or expired cursor"})
    assert len(hook.usage_history(0)) == 1
    venice_simulator.fail("usage_history", status=400, times=None, body={"error": "Invalid or expired cursor"})
    with pytest.raises(VeniceAPIError, match="'venice_admin': Venice answered HTTP 400: Invalid or expired cursor"):
        hook.usage_history(0)


def test_without_an_admin_connection_the_field_is_named(
    venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(venice_simulator, monkeypatch)
    with pytest.raises(VeniceRequestError, match=r"'venice_default' names no admin_conn_id.*add a second") as caught:
        VeniceHook().usage_history(0)
    assert list(caught.value.fields) == ["extra.admin_conn_id"]


def test_a_key_that_is_no_admin_key_is_named(
    hook: VeniceHook, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(venice_simulator, monkeypatch, "venice_admin")
    with pytest.raises(
        VeniceAPIError, match=r"'venice_admin'; its key has to be an ADMIN key: .*Admin API key required"
    ):
        hook.usage_history(0)


def test_an_admin_connection_that_is_not_defined_is_named(hook: VeniceHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_VENICE_ADMIN")
    with pytest.raises(VeniceError, match="'venice_admin' is not defined"):
        hook.usage_history(0)


def test_the_key_of_the_connection_itself_may_be_an_admin_key(
    venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(venice_simulator, monkeypatch, password=venice_simulator.admin_key, admin_conn_id="venice_default")
    hook = VeniceHook()
    hook.queue(TEXT)
    assert len(hook.usage_history(0)) == 1


def test_a_doubt_is_answered(hook: VeniceHook) -> None:
    price = hook.quote(TEXT).estimated_cost
    assert check(hook, time.time(), price).answer == "not charged"
    sent_at = time.time()
    job = hook.queue(TEXT)
    charged = check(hook, sent_at, price)
    assert charged.answer == "charged"
    assert charged.entry is not None
    assert charged.entry.request_id == job.queue_id
    known = [KnownPurchase(job.queue_id, MODEL, job.queued_at, price, is_own=True)]
    assert check(hook, sent_at, price, known).answer == "not charged"


@pytest.mark.simulator(usage_ids="other")
def test_a_doubt_is_answered_whatever_the_ids_are(hook: VeniceHook) -> None:
    price, sent_at = hook.quote(TEXT).estimated_cost, time.time()
    job = hook.queue(TEXT)
    known = [KnownPurchase(job.queue_id, MODEL, job.queued_at, price, is_own=True)]
    assert check(hook, sent_at, price, known).answer == "not charged"
    hook.queue(TEXT)
    assert check(hook, sent_at, price, known).answer == "charged"


def test_another_model_beside_it_is_no_charge_of_it(hook: VeniceHook) -> None:
    sent_at = time.time()
    hook.queue({**TEXT, "model": "ltx-2-5-fast-text-to-video", "duration": 6})
    assert check(hook, sent_at, PRICE).answer == "not charged"


def test_what_cannot_be_read_says_nothing(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("usage_history", status=500, times=None)
    finding = check(hook, time.time(), PRICE)
    assert (finding.answer, finding.read_at) == ("cannot tell", None)
    assert "'venice_admin'" in finding.reason


def test_the_history_of_another_server_says_nothing(hook: VeniceHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with VeniceSimulator() as other:
        connect(other, monkeypatch, "venice_admin", other.admin_key)
        finding = check(hook, time.time(), PRICE)
    assert finding.answer == "cannot tell"
    assert "different base URLs" in finding.reason


def test_the_history_of_another_account_says_nothing(hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    for number in range(6):
        # Each of the two connections is asked in turn.
        body = {"data": {"balances": {"USD": number}}}
        venice_simulator.fail("rate_limits", status=200, body=body)
    finding = check(hook, time.time(), PRICE)
    assert finding.answer == "cannot tell"
    assert "different balances" in finding.reason


def test_a_key_with_a_spending_limit_is_known_by_the_sums_of_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with VeniceSimulator(key_limit=5) as venice:
        connect(venice, monkeypatch, admin_conn_id="venice_admin", billing_delay=0.1)
        connect(venice, monkeypatch, "venice_admin", venice.admin_key)
        hook, sent_at = VeniceHook(), time.time()
        # No purchase of the key is in the sums: the two balances alone say nothing.
        assert "no API key in common" in check(hook, sent_at, PRICE).reason
        job = hook.queue({**TEXT, "duration": 10})
        known = [KnownPurchase(job.queue_id, MODEL, sent_at, Decimal(str(job.estimated_cost)), is_own=True)]
        assert check(hook, sent_at, PRICE, known).answer == "not charged"


#: What may happen in an account beside the submission in doubt: a purchase of the task, or of another program.
EVENTS = ["own", "own, another model", "another program", "another program, another model", "another price", "text"]


def happen(event: str, venice: VeniceSimulator, hook: VeniceHook) -> list[KnownPurchase]:
    """Have the account charged; return what the task knows of it."""
    if event.startswith("own"):
        request = {**TEXT, "model": "wan-2.6-text-to-video"} if "another model" in event else TEXT
        price, job = hook.quote(request).estimated_cost, hook.queue(request)
        return [KnownPurchase(job.queue_id, job.model, job.queued_at, price, is_own=True)]
    sku = {"another program, another model": "vidu-q3-text-to-video-unit", "text": "glm-llm-output-mtoken"}
    venice.charge(sku.get(event, f"{MODEL}-video-unit"), 9 if event == "another price" else PRICE)
    return []


@pytest.fixture(scope="module")
def accounts() -> Iterator[dict[str, VeniceSimulator]]:
    """Two accounts, by what the ids in their usage history are."""
    with (
        VeniceSimulator(media="shared", limits=False, usage_ids="queue_id") as same,
        VeniceSimulator(media="shared", limits=False, usage_ids="other") as other,
    ):
        yield {"queue_id": same, "other": other}


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    before=st.lists(st.sampled_from(EVENTS), max_size=3),
    after=st.lists(st.sampled_from(EVENTS), max_size=3),
    effect=st.sampled_from(["drop_before", "drop_after", "bad_json", "html"]),
    ids=st.sampled_from(["queue_id", "other"]),
    appears_after=st.floats(0, 0.9),
    waits=st.floats(0, 2),
)
def test_not_charged_is_said_only_where_the_journal_has_no_charge(
    accounts: dict[str, VeniceSimulator],
    monkeypatch: pytest.MonkeyPatch,
    before: list[str],
    after: list[str],
    effect: str,
    ids: Any,
    appears_after: float,
    waits: float,
) -> None:
    venice, delay = accounts[ids], 0.4
    venice.reset()
    venice.usage_delay = appears_after * delay
    connect(venice, monkeypatch, admin_conn_id="venice_admin", billing_delay=delay)
    connect(venice, monkeypatch, "venice_admin", venice.admin_key)
    hook = VeniceHook()
    price = hook.quote(TEXT).estimated_cost
    known = [one for event in before for one in happen(event, venice, hook)]
    sent_at = time.time()
    lost_answer: dict[str, Any] = {effect: True}
    venice.fail("queue", **lost_answer)
    with pytest.raises(VeniceAmbiguousSubmission):
        hook.queue(TEXT)
    ended_at = time.time()
    known += [one for event in after for one in happen(event, venice, hook)]
    complete_at = time.time() + delay
    time.sleep(waits * delay)
    is_complete = time.time() > complete_at
    finding = check_doubt(hook, model=MODEL, sent_at=sent_at, ended_at=ended_at, cost=price, known=known)
    lost = [entry for entry in venice.journal.charges if entry.reply_lost or entry.fault]
    if finding.answer == "not charged":
        assert lost == []
        assert time.time() >= ended_at + delay
    if finding.answer == "charged" and not any("another p" in event for event in before + after):
        assert lost
    if is_complete and not any(event.startswith("another") for event in before + after):
        assert finding.answer == ("charged" if lost else "not charged"), finding.reason
