"""
What people who run Airflow watch: one function for each fact, called once it is certain, and all names in one place.

Each sends metrics, and some a span; ``docs/monitoring.rst`` has the table. None raises, and in a triggerer none waits:
a clip is paid for, and what watches it must not lose it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from airflow_provider_venice.exceptions import (
    VeniceAPIError,
    VeniceBudgetError,
    VeniceError,
    VeniceRateLimitError,
    VeniceRequestError,
)
from airflow_provider_venice.observability.spans import record_span
from airflow_provider_venice.observability.stats import count, log_failure, timing

if TYPE_CHECKING:
    from airflow_provider_venice.api.model import VideoJob

Arguments = ParamSpec("Arguments")

# Counters.
CLIPS_BOUGHT = "venice.clips_bought"
SPENT = "venice.spent_usd_micros"
SUBMISSIONS_REFUSED = "venice.submissions_refused"
PURCHASES_REFUSED = "venice.purchases_refused"
DOUBTS = "venice.doubts"
CLIPS_FAILED = "venice.clips_failed"
CLIPS_REFUNDED = "venice.clips_refunded"
REFUNDED = "venice.refunded_usd_micros"
CLIPS_STORED = "venice.clips_stored"
POLLS = "venice.polls"
REQUESTS_RATE_LIMITED = "venice.requests_rate_limited"
REQUESTS_FAILED = "venice.requests_failed"

# Timings.
RATE_LIMIT_WAIT = "venice.rate_limit_wait"
RENDER_TIME = "venice.render_time"
STORE_TIME = "venice.store_time"

# Spans.
SUBMIT_SPAN = "venice.submit"
WAIT_SPAN = "venice.wait"
STORE_SPAN = "venice.store"

#: The counters of money have whole millionths of a dollar: Telegraf, for one, cuts the fraction off a counter.
_MICROS = 1_000_000


def _raises_nothing(send: Callable[Arguments, None]) -> Callable[Arguments, None]:
    @functools.wraps(send)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        # Invariant: nothing that a metric or a span raises leaves here. A clip was bought, or stored, right before.
        try:
            send(*args, **kwargs)
        except Exception:
            log_failure()

    return guarded


@_raises_nothing
def clip_bought(model: str, cost: object, sent_at: float) -> None:
    """
    A submission was accepted: the clip is paid for.

    :param model: the model.
    :param cost: US dollars as quoted, ``None`` where that is not known; then only the clip is counted.
    :param sent_at: when it was sent, in epoch seconds.
    """
    count(CLIPS_BOUGHT, model=model)
    _count_money(SPENT, model, cost)
    record_span(SUBMIT_SPAN, sent_at, time.time(), {"venice.model": model})


@_raises_nothing
def submission_refused(model: str, error: VeniceError) -> None:
    """
    Venice has refused a submission; nothing was bought. A rate limit is no refusal: it is counted by itself.

    :param model: the model.
    :param error: what it said.
    """
    if isinstance(error, VeniceAPIError) and not isinstance(error, VeniceRateLimitError):
        count(SUBMISSIONS_REFUSED, model=model, status_code=error.status_code)


@_raises_nothing
def purchase_refused(error: VeniceError) -> None:
    """
    A purchase was stopped before anything was sent, by the checks of its requests or by its budget.

    :param error: why; one that says nothing of the requests, such as a lost connection, is not counted.
    """
    if isinstance(error, VeniceRequestError):
        count(PURCHASES_REFUSED, reason="budget" if isinstance(error, VeniceBudgetError) else "request")


@_raises_nothing
def doubt_reported(model: str) -> None:
    """
    It is not known whether a submission was accepted, and a person has to find out.

    :param model: the model.
    """
    count(DOUBTS, model=model)


@_raises_nothing
def clip_failed(model: str, cost: object, *, refunded: bool) -> None:
    """
    A job that was paid for has ended without a video.

    :param model: the model.
    :param cost: US dollars as quoted, ``None`` where that is not known.
    :param refunded: whether Venice says that the charge came back.
    """
    count(CLIPS_FAILED, model=model)
    if refunded:
        count(CLIPS_REFUNDED, model=model)
        _count_money(REFUNDED, model, cost)


@_raises_nothing
def polled(model: str) -> None:
    """
    A job was polled, whatever came of it.

    :param model: the model.
    """
    count(POLLS, model=model)


@_raises_nothing
def clip_rendered(job: VideoJob) -> None:
    """
    A poll has found a job completed.

    :param job: the job, as that poll saw it. The time of one whose submission is not known is not sent.
    """
    if job.queued_at is not None and job.completed_at is not None:
        timing(RENDER_TIME, job.completed_at - job.queued_at, model=job.model)


@_raises_nothing
def clip_stored(job: VideoJob, begun_at: float) -> None:
    """
    A clip was downloaded, checked and put in its place.

    :param job: its job.
    :param begun_at: when its download began, in epoch seconds; waits for the rate limit in the worker included.
    """
    now = time.time()
    count(CLIPS_STORED, model=job.model)
    timing(STORE_TIME, now - begun_at, model=job.model)
    attributes = {"venice.model": job.model, "venice.queue_id": job.queue_id}
    if job.queued_at is not None:
        record_span(WAIT_SPAN, job.queued_at, job.completed_at or begun_at, attributes)
    record_span(STORE_SPAN, begun_at, now, attributes)


@_raises_nothing
def rate_limit_waited(budget: str | None, seconds: float) -> None:
    """
    A request of a worker waits for the rate limit, or has waited for it in the triggerer.

    :param budget: the rate limit, ``queue`` or ``retrieve``; ``None`` for that of all other requests.
    :param seconds: for how long.
    """
    timing(RATE_LIMIT_WAIT, seconds, budget=budget or "other")


@_raises_nothing
def responded(budget: str | None, status_code: int) -> None:
    """
    A request was answered; only errors are counted.

    :param budget: the rate limit that it counts against; ``None`` for that of all other requests.
    :param status_code: the status of the answer.
    """
    if status_code == 429:
        count(REQUESTS_RATE_LIMITED, budget=budget or "other")
    elif status_code >= 400:
        count(REQUESTS_FAILED, budget=budget or "other", status_code=status_code)


def _count_money(name: str, model: str, cost: object) -> None:
    if cost is not None:
        count(name, round(float(str(cost)) * _MICROS), model=model)
