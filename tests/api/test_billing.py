"""The usage history is read as it comes, and says of a submission in doubt only what is certain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_venice.api import calls
from airflow_provider_venice.api.billing import KnownPurchase, UsageEntry, UsageHistory, timestamp
from airflow_provider_venice.api.charges import SLACK, ChargeFinding, find_charge
from airflow_provider_venice.api.responses import Response, ResponseHead
from airflow_provider_venice.exceptions import VeniceAPIError, VeniceResponseError
from airflow_provider_venice.simulator.billing import row_of
from airflow_provider_venice.simulator.ledger import Charge, Ledger, Walk

MODEL, OTHER = "wan-2-7-text-to-video", "kling-v3-pro"
#: A model whose id begins as the other one does.
NEAR = f"{MODEL}-private"
SENT, DELAY = 1_790_000_000.0, 600.0
ENDED = SENT + 30
READ = ENDED + DELAY

ROW: dict[str, Any] = {
    "timestamp": "2026-06-15T19:05:10.504Z",
    "sku": f"{MODEL}-video-unit",
    "units": 1,
    "pricePerUnitUsd": Decimal("0.35"),
    "amount": Decimal("-0.35"),
    "currency": "USD",
    "notes": "API Inference",
    "inferenceDetails": {"requestId": "id-1", "promptTokens": None, "completionTokens": None},
}


def entry(at: float = 10, model: str = MODEL, amount: str = "-0.35", **fields: Any) -> UsageEntry:
    """Return an entry that was made so many seconds after the submission in doubt."""
    made = UsageEntry(SENT + at, f"{model}-video-unit", Decimal(amount), "USD", Decimal(1), notes="API Inference")
    return replace(made, **{"request_id": f"request at {at}", **fields})


def bought(at: float = 10, model: str = MODEL, cost: str = "0.35", queue_id: str = "") -> KnownPurchase:
    return KnownPurchase(queue_id or f"job at {at}", model, SENT + at, Decimal(cost), is_own=True)


def find(
    *entries: UsageEntry, known: tuple[KnownPurchase, ...] = (), read: float = READ, **given: Any
) -> ChargeFinding:
    since = min([SENT, *(one.bought_at for one in known if one.bought_at is not None)]) - SLACK
    since = SENT - SLACK if given.pop("since", None) == 0 else since
    history = given.pop("history", None) or UsageHistory(tuple(entries), since, read)
    fields: dict[str, Any] = {
        "model": MODEL,
        "sent_at": SENT,
        "ended_at": ENDED,
        "cost": Decimal("0.35"),
        "delay": DELAY,
    } | given
    return find_charge(history, known=known, other_models={OTHER, NEAR}, **fields)


def test_a_row_is_an_entry() -> None:
    read = UsageEntry.of(ROW)
    assert (read.timestamp, read.amount, read.units) == (1781550310.504, Decimal("-0.35"), Decimal(1))
    assert (read.sku, read.currency, read.notes) == (ROW["sku"], "USD", "API Inference")
    assert (read.request_id, read.unread, read.is_refund) == ("id-1", (), False)
    assert UsageEntry.of({**ROW, "inferenceDetails": None}).request_id is None
    assert UsageEntry.of({**ROW, "amount": Decimal("0.35"), "notes": "API Inference refund"}).is_refund
    assert json.loads(json.dumps(read.to_dict()))["amount"] == "-0.35"
    assert str(read) == f"-$0.35 at 2026-06-15 19:05:10 UTC for {ROW['sku']!r}, request id-1"


@pytest.mark.parametrize(
    ("change", "unread"),
    [
        ({"timestamp": "yesterday"}, ("timestamp",)),
        ({"timestamp": "2026-06-15T19:05:10"}, ("timestamp",)),
        ({"timestamp": 1781550310}, ("timestamp",)),
        ({"amount": "-0.35"}, ("amount",)),
        ({"amount": True}, ("amount",)),
        ({"amount": Decimal("NaN")}, ("amount",)),
        ({"sku": None, "notes": 5}, ("sku", "notes")),
        ({"inferenceDetails": "none"}, ("request_id",)),
        ({"inferenceDetails": {"requestId": 5}}, ("request_id",)),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], unread: tuple[str, ...]) -> None:
    assert UsageEntry.of({**ROW, **change}).unread == unread


def test_no_row_at_all_has_nothing_that_can_be_read() -> None:
    rows: list[Any] = [None, [], "x", {}]
    for row in rows:
        assert set(UsageEntry.of(row).unread) >= {"timestamp", "sku", "amount", "currency"}


def answer(payload: Any, status: int = 200, **headers: str) -> Response:
    return Response(ResponseHead(status, headers, 1_000_000_000.0), json.dumps(payload).encode())


def test_the_first_page_has_the_filters_and_the_next_one_the_cursor_alone() -> None:
    first = calls.usage_history(0.25, 86400, currency="USD", page_size=10)
    assert (first.method, first.path, first.replayable, first.budget) == ("GET", "/billing/usage-history", True, None)
    assert first.params == {
        "startTimestamp": "1970-01-01T00:00:00.250Z",
        "endTimestamp": "1970-01-02T00:00:00.000Z",
        "currency": "USD",
        "pageSize": "10",
    }
    assert calls.usage_history(0, 1, cursor="abc").params == {"cursor": "abc"}
    assert calls.usage_history().params == {"pageSize": "1000"}
    assert first.headers == {"Cache-Control": "no-cache"}
    assert timestamp(1.9999) == "1970-01-01T00:00:01.999Z"


def test_a_page_is_read() -> None:
    call = calls.usage_history()
    page = call.read(answer({"data": [{**ROW, "amount": -1, "pricePerUnitUsd": 1}, 5], "nextCursor": "abc"}))
    assert page.cursor == "abc"
    assert [one.unread == () for one in page.entries] == [True, False]
    assert page.clocks_differ == 0
    late = call.read(answer({"data": [], "nextCursor": None}, date="Sun, 09 Sep 2001 01:47:40 GMT"))
    assert (late.cursor, late.clocks_differ) == (None, 60)


@pytest.mark.parametrize("payload", [{}, {"data": {}}, {"data": []}, {"data": [], "nextCursor": 5}, []])
def test_a_page_without_an_end_is_no_page(payload: Any) -> None:
    with pytest.raises(VeniceResponseError):
        calls.usage_history().read(answer(payload))


def test_another_key_is_refused() -> None:
    with pytest.raises(VeniceAPIError, match="Admin API key required"):
        calls.usage_history().read(answer({"error": "Admin API key required"}, 401))


REFUND = entry(20, amount="0.35", notes="API Inference refund")

ANSWERS: list[tuple[str, tuple[UsageEntry, ...], dict[str, Any], str]] = [
    ("nothing", (), {}, "not charged"),
    ("its charge", (entry(),), {}, "charged"),
    ("its charge, given back", (entry(), REFUND), {}, "charged"),
    ("its charge, as early as clocks allow", (entry(1 - SLACK),), {}, "charged"),
    ("its charge, late", (entry(30 + DELAY),), {}, "charged"),
    ("read too early", (), {"read": READ - 1}, "cannot tell"),
    ("read too early, with a charge", (entry(),), {"read": READ - 1}, "cannot tell"),
    ("another price", (entry(amount="-0.70"),), {}, "cannot tell"),
    ("no quote, and an entry", (entry(),), {"cost": None}, "cannot tell"),
    ("no quote, and none", (), {"cost": None}, "not charged"),
    ("another currency", (entry(currency="DIEM"),), {}, "cannot tell"),
    ("a positive amount that is no refund", (entry(amount="0.35"),), {}, "cannot tell"),
    ("nothing was charged for it", (entry(amount="0"),), {}, "cannot tell"),
    ("a product that is not known", (entry(sku="video-generation"),), {}, "cannot tell"),
    ("a refund alone", (REFUND,), {}, "not charged"),
    ("another model", (entry(model=OTHER, amount="-0.36"),), {}, "not charged"),
    ("another model at the same price", (entry(model=OTHER),), {}, "cannot tell"),
    ("another model, and no quote", (entry(model=OTHER),), {"cost": None}, "cannot tell"),
    ("a model that is named almost alike", (entry(model=NEAR),), {}, "cannot tell"),
    ("text and an image", (entry(sku="glm-llm-output-mtoken"), entry(sku="grok-image-unit")), {}, "not charged"),
    ("two charges", (entry(10), entry(20)), {}, "cannot tell"),
    ("two charges for two doubts", (entry(10), entry(20)), {"doubts": 2}, "charged"),
    ("one charge for two doubts", (entry(10),), {"doubts": 2}, "cannot tell"),
    ("no charge for two doubts", (), {"doubts": 2}, "not charged"),
    # Other purchases, with ids that the history has.
    ("a known job", (entry(request_id="job at 10"),), {"known": (bought(),)}, "not charged"),
    (
        "a known job at another price",
        (entry(5, amount="-9", request_id="job at 10"),),
        {"known": (bought(),)},
        "not charged",
    ),
    ("a known job and its charge", (entry(request_id="job at 10"), entry(20)), {"known": (bought(),)}, "charged"),
    (
        "a known job, and another one that is missing",
        (entry(request_id="job at 10"), entry(20)),
        {"known": (bought(), bought(20))},
        "cannot tell",
    ),
    # Other purchases, with ids that the history does not have.
    ("as many as are known", (entry(9), entry(12)), {"known": (bought(10), bought(13))}, "not charged"),
    ("one more than is known", (entry(9), entry(12)), {"known": (bought(10),)}, "charged"),
    ("two more than are known", (entry(9), entry(12), entry(13)), {"known": (bought(10),)}, "cannot tell"),
    ("fewer than are known", (entry(9),), {"known": (bought(10), bought(13))}, "cannot tell"),
    ("a known one at another price", (entry(amount="-0.70"),), {"known": (bought(cost="0.70"),)}, "not charged"),
    ("a known one before it", (entry(-60),), {"known": (bought(-60),)}, "not charged"),
    ("a known one of another model", (entry(model=OTHER),), {"known": (bought(model=OTHER),)}, "not charged"),
    ("a known one whose time is not known", (entry(),), {"known": (replace(bought(), bought_at=None),)}, "cannot tell"),
    ("one that may be of another account", (entry(),), {"known": (replace(bought(), is_own=False),)}, "cannot tell"),
    ("one from long before", (entry(),), {"known": (replace(bought(-9000), is_own=False),), "since": 0}, "charged"),
    (
        "an own one, known from the run as well",
        (entry(9), entry(12)),
        {"known": (bought(), replace(bought(), is_own=False))},
        "charged",
    ),
    ("none of another account", (), {"known": (replace(bought(), is_own=False),)}, "not charged"),
    ("a known one twice", (entry(),), {"known": (bought(), bought())}, "not charged"),
    ("a known one twice, and its charge", (entry(9), entry(12)), {"known": (bought(), bought())}, "charged"),
    ("a known one that may not be there yet", (entry(),), {"known": (bought(620),)}, "charged"),
    ("no price of the known one", (entry(),), {"known": (replace(bought(), cost=None),)}, "cannot tell"),
]


@pytest.mark.parametrize(
    ("entries", "given_", "expected"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_an_answer(entries: tuple[UsageEntry, ...], given_: dict[str, Any], expected: str) -> None:
    finding = find(*sorted(entries, key=lambda one: one.timestamp), **given_)
    assert finding.answer == expected, finding.reason
    assert (finding.entry is not None) == (expected == "charged")
    assert json.loads(json.dumps(finding.to_dict()))["answer"] == expected


@pytest.mark.parametrize(
    "history",
    [
        UsageHistory((entry(20, model=OTHER), entry(10, model=OTHER)), SENT - SLACK, READ),
        UsageHistory((), SENT, READ),
        UsageHistory((), SENT - SLACK, READ, clocks_differ=-70.0),
        UsageHistory((replace(entry(model=OTHER), unread=("notes",)),), SENT - SLACK, READ),
        UsageHistory((entry(-2 - SLACK, model=OTHER),), SENT - SLACK, READ),
        UsageHistory((entry(READ - SENT + SLACK + 1, model=OTHER),), SENT - SLACK, READ),
    ],
)
def test_a_history_that_does_not_fit_says_nothing(history: UsageHistory) -> None:
    assert find(history=history).answer == "cannot tell"


@dataclass(frozen=True)
class World:
    """
    What has really happened, and how the vendor books it.

    :param charged_at: when the submission in doubt was charged, in seconds after it; ``None`` if it was not.
    :param purchases: what else was bought: the seconds, the model, the price, and who knows of it: the task that is in
        doubt, a task of the same run, or nobody.
    :param same_ids: whether a request id is the queue id.
    :param lag: seconds from a charge to its entry.
    :param stamped_late: whether the entry has the time at which it appears, and not that of the charge.
    :param read: seconds after the submission at which the history is read.
    """

    charged_at: float | None
    purchases: list[tuple[float, str, Decimal, str]]
    refunded: set[int]
    same_ids: bool
    lag: float
    stamped_late: bool
    read: float
    page: int
    sku: str


KNOWERS = ["task", "run", "nobody"]
PRICES = [Decimal("0.35"), Decimal("0.70")]
worlds = st.builds(
    World,
    charged_at=st.none() | st.floats(0, 30),
    purchases=st.lists(
        st.tuples(
            st.floats(-7000, 900),
            st.sampled_from([MODEL, MODEL, OTHER, NEAR]),
            st.sampled_from(PRICES),
            st.sampled_from(KNOWERS),
        ),
        max_size=6,
    ),
    refunded=st.sets(st.integers(0, 6), max_size=2),
    same_ids=st.booleans(),
    lag=st.floats(0, DELAY),
    stamped_late=st.booleans(),
    read=st.floats(0, 3000),
    page=st.integers(1, 4),
    sku=st.sampled_from(["-video-unit", "-video-second", ""]),
)


def play(world: World, mutate: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list) -> ChargeFinding:
    """Return what the simulator's usage history says in that world, read page by page."""
    ledger, known = Ledger(), []
    charges: list[tuple[float, Charge]] = []

    def book(at: float, model: str, price: Decimal, name: str) -> None:
        request_id = name if world.same_ids else f"other {name}"
        stamp = SENT + at + (world.lag if world.stamped_late else 0.0)
        charges.append(
            (SENT + at + world.lag, Charge(stamp, model + world.sku, -price, model, "VIDEO", None, request_id))
        )
        if len(charges) in world.refunded:
            charges.append((SENT + at + world.lag, replace(charges[-1][1], amount=price)))

    for number, (at, model, price, knower) in enumerate(world.purchases):
        book(at, model, price, f"job-{number}")
        if knower != "nobody":
            known.append(KnownPurchase(f"job-{number}", model, SENT + at + 1, price, is_own=knower == "task"))
    if world.charged_at is not None:
        book(world.charged_at, MODEL, PRICES[0], "doubt")
    read_at = SENT + world.read
    for _, charge in sorted(charges, key=lambda one: one[1].time):
        ledger.add(charge)
    visible = {id(charge) for appears, charge in charges if appears <= read_at}
    ledger.charges = [charge for charge in ledger.charges if id(charge) in visible]
    known = [purchase for purchase in known if (purchase.bought_at or 0) <= read_at]
    since = min([SENT, *(one.bought_at for one in known if one.bought_at is not None)]) - SLACK
    rows: list[dict[str, Any]] = []
    walk: Walk | None = Walk(since, None, None, world.page)
    while walk is not None:
        page, cursor = ledger.page(walk, read_at)
        rows += [row_of(charge) for charge in page]
        walk = None if cursor is None else ledger.walk(cursor)
    page_read = calls.usage_history().read(answer({"data": mutate(rows), "nextCursor": None}))
    history = UsageHistory(page_read.entries, since, read_at)
    return find(known=tuple(known), history=history)


@settings(max_examples=800, deadline=None)
@given(worlds)
def test_not_charged_is_said_only_where_nothing_was_charged_and_the_delay_has_passed(world: World) -> None:
    finding = play(world)
    if finding.answer == "not charged":
        assert world.charged_at is None
        assert SENT + world.read >= ENDED + DELAY
    if finding.answer == "charged" and all(knower == "task" for *_, knower in world.purchases):
        assert world.charged_at is not None


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_an_account_of_which_all_is_known_is_always_answered(world: World) -> None:
    """Purchases at times that are certain, each of them known: there is no "cannot tell"."""
    purchases = [(abs(at) % 300, model, price, "task") for at, model, price, _ in world.purchases]
    finding = play(dataclasses.replace(world, purchases=purchases, read=3000.0, refunded=set()))
    assert finding.answer == ("not charged" if world.charged_at is None else "charged"), finding.reason


JUNK: list[dict[str, Any]] = [
    {"sku": "video"},
    {"sku": f"{NEAR}-unit"},
    {"sku": f"{OTHER}-unit"},
    {"currency": "DIEM"},
    {"amount": 0},
    {"amount": -0.175},
    {"amount": 0.35},
    {"amount": "x"},
    {"timestamp": "x"},
    {"timestamp": "1999-01-01T00:00:00Z"},
    {"inferenceDetails": None},
    {"inferenceDetails": 5},
    {"notes": "Web App"},
]


@settings(max_examples=800, deadline=None)
@given(worlds, st.dictionaries(st.integers(0, 9), st.sampled_from(JUNK), max_size=4), st.randoms())
def test_what_does_not_fit_never_makes_it_not_charged(
    world: World, changes: dict[int, dict[str, Any]], chance: Any
) -> None:
    """Rows are changed, repeated and moved; the charge is there in some form."""

    def mutate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for place, change in changes.items():
            if place < len(rows):
                rows[place] = {**rows[place], **change}
        if rows and chance.random() < 0.3:
            rows.insert(chance.randrange(len(rows)), chance.choice(rows))
        if chance.random() < 0.2:
            chance.shuffle(rows)
        return rows

    finding = play(dataclasses.replace(world, refunded=set()), mutate)
    if finding.answer == "not charged":
        assert world.charged_at is None
        assert SENT + world.read >= ENDED + DELAY
