"""Which failures are tried again, how long after, and how often: the one retry policy, for both transports."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

from tenacity import RetryCallState

from airflow_provider_venice import observability
from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.limits import backoff
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError, VeniceRateLimitError
from airflow_provider_venice.transport.settings import Settings

#: Most seconds by which those part that are refused again and again for the rate limit.
_LONGEST_SPREAD = 30.0

log = logging.getLogger(__name__)


def may_repeat(call: Call[Any], error: BaseException) -> bool:
    """
    Whether a call that failed may be made again without doing anything twice.

    A rate limit and a connection that was never made leave nothing behind, whatever the call.
    """
    if isinstance(error, VeniceRateLimitError):
        return True
    if isinstance(error, VeniceConnectionError) and not error.sent:
        return error.can_heal
    return call.replayable and isinstance(error, VeniceError) and error.can_heal


def headers(call: Call[Any]) -> dict[str, str]:
    """Return the headers of a call, the key apart."""
    return {
        **({} if call.body is None else {"Content-Type": "application/json"}),
        # A file's length and ranges are those of what is sent only where that is the file itself.
        **({"Accept-Encoding": "identity"} if call.media else {}),
        **call.headers,
    }


def options(
    settings: Settings,
    call: Call[Any],
    attempts: int | None = None,
    max_wait: float | None = None,
    rate_limit_timeout: float | None = None,
) -> dict[str, Any]:
    """
    Return the arguments for ``tenacity.Retrying`` or ``tenacity.AsyncRetrying``.

    :param settings: those of the connection.
    :param call: the call to make.
    :param attempts: how often at most; ``None`` for the connection's setting.
    :param max_wait: longest wait that the server may name, in seconds; ``None`` for the connection's setting.
    :param rate_limit_timeout: seconds for which refusals for the rate limit are waited out; they then count as no
        attempts. ``None`` to count them like other failures.
    """
    most = settings.retry_attempts if attempts is None else attempts
    longest = settings.retry_max_wait if max_wait is None else max_wait
    refusals, left = 0, 0.0

    def retry(state: RetryCallState) -> bool:
        error = _error(state)
        return error is not None and may_repeat(call, error)

    def stop(state: RetryCallState) -> bool:
        nonlocal refusals, left
        error = _error(state)
        named = getattr(error, "retry_after", None) or 0.0
        if rate_limit_timeout is not None and isinstance(error, VeniceRateLimitError):
            refusals += 1
            left = rate_limit_timeout - (state.seconds_since_start or 0.0)
            return named > (left if max_wait is None else min(left, max_wait)) or left <= 0
        return state.attempt_number - refusals >= most or named > longest

    def wait(state: RetryCallState) -> float:
        chance = random.random()
        pause = backoff(
            state.attempt_number,
            longest=settings.retry_max_wait,
            chance=chance,
            named=getattr(_error(state), "retry_after", None),
        )
        # Of many that were refused together and come back together, most are refused again: they part.
        spread = min(_LONGEST_SPREAD, 2.0**refusals - 2, left - pause) if refusals > 1 else 0.0
        return pause + chance * max(0.0, spread)

    return {"retry": retry, "stop": stop, "wait": wait, "before_sleep": _announcer(call), "reraise": True}


def _announcer(call: Call[Any]) -> Callable[[RetryCallState], None]:
    def announce(state: RetryCallState) -> None:
        log.warning("%s is made again in %.1f s: %s", call, state.upcoming_sleep, _error(state))
        if isinstance(_error(state), VeniceRateLimitError):
            observability.rate_limit_waited(call.budget, state.upcoming_sleep)

    return announce


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
