"""What a StatsD server is sent of tasks and triggers; and that metrics that fail, or are slow, harm neither."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.execution_time import task_runner
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

from airflow_provider_venice import observability
from airflow_provider_venice.exceptions import VeniceBudgetError, VeniceError, VeniceRequestError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.observability.stats import _sender, log_failure
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator, VeniceQueueVideoOperator
from airflow_provider_venice.sensors.video import VeniceVideoSensor
from airflow_provider_venice.simulator import VeniceSimulator
from tests.observability.statsd_server import StatsdServer
from tests.running import Tries, run_task
from tests.test_docs import page, section, table

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A server that Airflow's own ``Stats`` of this process sends to, set up as a task's process sets it up."""
    with StatsdServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        logger = stats_utils.get_stats_factory()()
        stats.initialize(factory=lambda: logger, export_legacy_names=True)
        yield server
        logger.statsd.close()
    monkeypatch.undo()
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def generate(folder: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(task_id="generate", **{**TEXT, "output_path": folder / "clip.mp4", **arguments})


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])
def test_a_clip(
    statsd: StatsdServer, hook: VeniceHook, venice_simulator: VeniceSimulator, tmp_path: Path, deferrable: bool
) -> None:
    begun = time.time()
    run_task(generate(tmp_path, max_cost=1, deferrable=deferrable))
    took = time.time() - begun
    statsd.wait_for(observability.STORE_TIME)
    counts = statsd.counts()
    polls = counts.pop(observability.POLLS)
    assert counts == {observability.CLIPS_BOUGHT: 1, observability.SPENT: 350_000, observability.CLIPS_STORED: 1}
    assert 1 <= polls <= len(venice_simulator.journal.calls("retrieve"))
    for name in (observability.RENDER_TIME, observability.STORE_TIME):
        (seconds,) = statsd.timings(name)
        assert 0 < seconds < took
    assert {sent.tags["model"] for sent in statsd.ours()} == {"wan-2-7-text-to-video"}


def test_what_a_retry_takes_up_is_not_bought_again(statsd: StatsdServer, hook: VeniceHook, tmp_path: Path) -> None:
    tries = Tries()
    for _ in range(2):
        run_task(generate(tmp_path), tries)
    statsd.wait_for(observability.STORE_TIME)
    assert statsd.counts()[observability.CLIPS_BOUGHT] == 1
    assert statsd.counts()[observability.CLIPS_STORED] == 1


def test_what_venice_refuses(statsd: StatsdServer, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=402)
    with pytest.raises(AirflowFailException):
        run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT))
    assert statsd.wait_for(observability.SUBMISSIONS_REFUSED).tags["status_code"] == "402"
    assert statsd.wait_for(observability.REQUESTS_FAILED).tags == {"budget": "queue", "status_code": "402"}
    assert observability.CLIPS_BOUGHT not in statsd.counts()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"max_cost": 0.1}, "budget"), ({"duration": 7}, "request")],
)
def test_what_is_refused_before_it_is_sent(
    statsd: StatsdServer, hook: VeniceHook, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AirflowFailException):
        run_task(VeniceQueueVideoOperator(task_id="queue", **{**TEXT, **arguments}))
    assert statsd.wait_for(observability.PURCHASES_REFUSED).tags == {"reason": reason}
    assert set(statsd.counts()) == {observability.PURCHASES_REFUSED}


def test_a_lost_connection_refuses_no_purchase(statsd: StatsdServer) -> None:
    observability.purchase_refused(VeniceError("the price is not known"))
    observability.purchase_refused(VeniceRequestError("duration is wrong"))
    observability.purchase_refused(VeniceBudgetError("too much", quote=2, max_cost=1))
    time.sleep(0.1)
    assert [sent.tags["reason"] for sent in statsd.ours()] == ["request", "budget"]


def test_a_doubt_is_counted_once(statsd: StatsdServer, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", drop_after=True)
    tries = Tries()
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="may have been accepted"):
            run_task(VeniceQueueVideoOperator(task_id="queue", **TEXT), tries)
    assert statsd.wait_for(observability.DOUBTS).tags == {"model": "wan-2-7-text-to-video"}
    assert statsd.counts()[observability.DOUBTS] == 1
    assert observability.CLIPS_BOUGHT not in statsd.counts()


def test_a_clip_that_fails_and_is_refunded(statsd: StatsdServer, hook: VeniceHook, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Nothing was paid for it"):
        run_task(generate(tmp_path, prompt="[simulate: refund] x", max_cost=1))
    statsd.wait_for(observability.REFUNDED)
    counts = statsd.counts()
    assert counts[observability.SPENT] == counts[observability.REFUNDED] == 350_000
    assert counts[observability.CLIPS_FAILED] == counts[observability.CLIPS_REFUNDED] == 1


def test_a_rate_limit(statsd: StatsdServer, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", status=429, headers={"retry-after": "1"})
    run_task(VeniceQueueVideoOperator(task_id="queue", deferrable=False, **TEXT))
    assert statsd.wait_for(observability.REQUESTS_RATE_LIMITED).tags == {"budget": "queue"}
    assert statsd.wait_for(observability.RATE_LIMIT_WAIT).value >= 900
    assert observability.SUBMISSIONS_REFUSED not in statsd.counts()


def test_a_sensor_that_pokes_counts_its_polls(statsd: StatsdServer, hook: VeniceHook) -> None:
    job = hook.wait_for_completion(hook.queue(**TEXT))
    before = statsd.counts()[observability.POLLS]
    run_task(VeniceVideoSensor(task_id="wait", job=dict(job), deferrable=False, poke_interval=0.1))
    statsd.wait_for(observability.RENDER_TIME)
    assert statsd.counts()[observability.POLLS] == before + 1
    assert statsd.counts()[observability.CLIPS_BOUGHT] == 1


def test_metrics_that_fail_lose_no_clip(
    hook: VeniceHook,
    venice_simulator: VeniceSimulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Any:
        raise RuntimeError("no metrics today")

    log_failure.cache_clear()
    stats.initialize(factory=broken, export_legacy_names=True)
    try:
        result = run_task(generate(tmp_path))
    finally:
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
    assert Path(result["path"]).exists()
    assert len(venice_simulator.journal.charges) == 1
    assert len([record for record in caplog.records if "no metrics today" in str(record.exc_info)]) == 1


def test_a_price_that_is_no_number_harms_nothing(statsd: StatsdServer) -> None:
    observability.clip_bought("a-model", "NaN", time.time())
    observability.clip_bought("a-model", None, time.time())
    observability.clip_bought("a-model", "0.0875", time.time())
    time.sleep(0.1)
    assert statsd.counts() == {observability.CLIPS_BOUGHT: 3, observability.SPENT: 87_500}


class TriggerCommsDecoder:
    """By its name, this process is taken for that of a triggerer."""


class SlowStats:
    """A backend that takes its time."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def incr(self, name: str, count: int = 1, **_: Any) -> None:
        time.sleep(0.5)
        self.sent.append((name, count))


async def test_a_triggers_loop_does_not_wait_for_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.observability import stats as core

    slow: Any = SlowStats()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", TriggerCommsDecoder(), raising=False)
    core.initialize(factory=lambda: slow, export_legacy_names=False)  # as the triggerer does
    _sender.cache_clear()
    try:
        begun = time.monotonic()
        for _ in range(2000):
            observability.polled("wan-2-7-text-to-video")
        assert time.monotonic() - begun < 0.5
        await asyncio.sleep(1.2)
        assert slow.sent[:2] == [(observability.POLLS, 1)] * 2
    finally:
        core.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
        _sender.cache_clear()


def test_no_tag_is_dropped_for_its_text(statsd: StatsdServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        observability.polled("a model, and=more " + 300 * "x")
    assert statsd.wait_for(observability.POLLS).tags["model"].startswith("a_model__and_more_xxx")
    assert not caplog.records


def test_the_page_has_every_name() -> None:
    metrics = {
        value for value in vars(observability).values() if isinstance(value, str) and value.startswith("venice.")
    }
    spans = {observability.SUBMIT_SPAN, observability.WAIT_SPAN, observability.STORE_SPAN}
    assert set(table(section(page("monitoring"), "Metrics"))) == metrics - spans
    assert set(table(section(page("monitoring"), "Spans"))) == spans
    assert len(metrics) == len(re.findall(r'^[A-Z_]+ = "venice\.', Path(observability.__file__).read_text(), re.M))
