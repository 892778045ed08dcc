"""Which failures are tried again, how long after, and how often: the one retry policy, for both colours."""

from __future__ import annotations

import logging
import os
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from tenacity import RetryCallState

from airflow_provider_venice.api.calls import Call
from airflow_provider_venice.api.limits import backoff
from airflow_provider_venice.exceptions import VeniceConnectionError, VeniceError, VeniceRateLimitError
from airflow_provider_venice.transport.settings import Settings

#: Where the HTTP clients keep what an error was made of.
_INNER = ("reason", "original_error", "os_error", "certificate_error", "__cause__")

log = logging.getLogger(__name__)


def may_repeat(call: Call[Any], error: BaseException) -> bool:
    """
    Whether a call that failed may be made again without doing anything twice.

    A rate limit and a connection that was never made leave nothing behind, whatever the call.
    """
    if isinstance(error, VeniceRateLimitError) or (isinstance(error, VeniceConnectionError) and not error.sent):
        return True
    return call.replayable and isinstance(error, VeniceError) and error.can_heal


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error of an HTTP client and those that it was made of, outermost first."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [getattr(one, name, None) for name in _INNER]
        waiting += [cause for cause in (*inner, *one.args) if isinstance(cause, BaseException)]


def cause_text(error: BaseException) -> str:
    """
    Return what TLS or the operating system said of a failure, such as ``connection refused``.

    The words of an HTTP client are not shown: they have the address, which may be a private link.

    :param error: the client's error.
    """
    texts = [text for cause in causes(error) if (text := _system_text(cause))]
    return texts[-1][0].lower() + texts[-1][1:] if texts else type(error).__name__


def _system_text(error: BaseException) -> str | None:
    if not isinstance(error, OSError) or type(error).__module__ not in ("builtins", "socket", "ssl"):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or None
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower() or None
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror) or not error.errno:
        text = str(error.strerror or error)
        return None if "://" in text else text or None
    return os.strerror(error.errno)


def headers(call: Call[Any]) -> dict[str, str]:
    """Return the headers of a call, the key apart."""
    return {
        **({} if call.body is None else {"Content-Type": "application/json"}),
        # A file's length and ranges are those of what is sent only where that is the file itself.
        **({"Accept-Encoding": "identity"} if call.media else {}),
        **call.headers,
    }


def options(
    settings: Settings, call: Call[Any], attempts: int | None = None, max_wait: float | None = None
) -> dict[str, Any]:
    """
    Return the arguments for ``tenacity.Retrying`` or ``tenacity.AsyncRetrying``.

    :param settings: those of the connection.
    :param call: the call to make.
    :param attempts: how often at most; ``None`` for the connection's setting.
    :param max_wait: longest wait that the server may name, in seconds; ``None`` for the connection's setting.
    """
    most = settings.retry_attempts if attempts is None else attempts
    longest = settings.retry_max_wait if max_wait is None else max_wait

    def retry(state: RetryCallState) -> bool:
        error = _error(state)
        return error is not None and may_repeat(call, error)

    def stop(state: RetryCallState) -> bool:
        named = getattr(_error(state), "retry_after", None) or 0.0
        return state.attempt_number >= most or named > longest

    def wait(state: RetryCallState) -> float:
        return backoff(
            state.attempt_number,
            longest=settings.retry_max_wait,
            chance=random.random(),
            named=getattr(_error(state), "retry_after", None),
        )

    return {"retry": retry, "stop": stop, "wait": wait, "before_sleep": _announcer(call), "reraise": True}


def _announcer(call: Call[Any]) -> Callable[[RetryCallState], None]:
    def announce(state: RetryCallState) -> None:
        log.warning("%s is made again in %.1f s: %s", call, state.upcoming_sleep, _error(state))

    return announce


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
