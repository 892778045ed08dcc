"""The vendor's rate limits: requests a minute per key, and the block that answers too many failures."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_venice.simulator.settings import Settings

#: Requests a minute (https://docs.venice.ai/api-reference/rate-limiting); the rest share a wide one.
REQUESTS_PER_MINUTE = {"queue": 40, "retrieve": 120}
OTHER_REQUESTS_PER_MINUTE = 500
WINDOW = 60.0

#: More than this many failures within ``FAILURE_WINDOW`` seconds, and ``BLOCK`` seconds of refusals follow.
MAX_FAILURES = {"2026-08": 20, "2026-10": 50}
FAILURE_WINDOW = 30.0
BLOCK = 30.0


@dataclass
class Verdict:
    """Whether a request may pass, and the headers that tell its sender how much is left."""

    allowed: bool = True
    blocked: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Window(Protocol):
    """
    How the requests of a minute are counted. The vendor does not document which kind its limits are.

    :ivar resets_at: epoch seconds that the reset header names.
    """

    resets_at: float

    def take(self, now: float) -> bool:
        """Count one request if it may pass, and say whether it may."""
        ...

    def remaining(self) -> int:
        """Return the requests that may still pass at the time of the last one."""
        ...


class FixedWindow:
    """Windows that begin with their first request; the reset is their end."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds, self._used = limit, seconds, 0
        self.resets_at = float("-inf")

    def take(self, now: float) -> bool:
        """Count one request if it may pass, and say whether it may."""
        if now >= self.resets_at:
            self.resets_at, self._used = now + self._seconds, 0
        allowed = self._used < self._limit
        self._used += allowed
        return allowed

    def remaining(self) -> int:
        """Return the requests that may still pass."""
        return self._limit - self._used


class SlidingWindow:
    """The requests of the last ``seconds``; the reset is the moment when the oldest of them is no longer counted."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._taken: deque[float] = deque()
        self.resets_at = float("-inf")

    def take(self, now: float) -> bool:
        """Count one request if it may pass, and say whether it may."""
        while self._taken and now >= self._taken[0] + self._seconds:
            self._taken.popleft()
        allowed = len(self._taken) < self._limit
        if allowed:
            self._taken.append(now)
        self.resets_at = self._taken[0] + self._seconds
        return allowed

    def remaining(self) -> int:
        """Return the requests that may still pass."""
        return self._limit - len(self._taken)


class TokenBucket:
    """Tokens that come back evenly, as many as the limit in ``seconds``; the reset is the moment when all are back."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self.resets_at = float("-inf")
        self._missing = 0.0

    def take(self, now: float) -> bool:
        """Count one request if it may pass, and say whether it may."""
        # The reset says how many tokens are missing: each takes seconds / limit to come back.
        missing = max(0.0, self.resets_at - now) * self._limit / self._seconds
        allowed = missing <= self._limit - 1
        self._missing = missing + allowed
        self.resets_at = now + self._missing * self._seconds / self._limit
        return allowed

    def remaining(self) -> int:
        """Return the requests that may still pass."""
        return math.floor(self._limit - self._missing)


WINDOWS: dict[str, type[FixedWindow] | type[SlidingWindow] | type[TokenBucket]] = {
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
    "bucket": TokenBucket,
}


class Limiter:
    """Counts the requests and the failures of each key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, str], Window] = {}
        self._failures: dict[str, deque[float]] = {}
        self._blocked_until: dict[str, float] = {}

    def admit(self, key: str, endpoint: str) -> Verdict:
        """Count one request of ``key`` and say whether it may pass."""
        if not self._settings.limits:
            return Verdict()
        now = time.time()
        if now < self._blocked_until.get(key, 0.0):
            return Verdict(allowed=False, blocked=True)
        bucket = endpoint if endpoint in REQUESTS_PER_MINUTE else "other"
        limit = REQUESTS_PER_MINUTE.get(endpoint, OTHER_REQUESTS_PER_MINUTE)
        window = self._windows.get((key, bucket))
        if window is None:
            make = WINDOWS[self._settings.window]
            window = self._windows[key, bucket] = make(limit, self._settings.wall(WINDOW))
        allowed = window.take(now)
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(window.remaining()),
            **self._reset(window.resets_at, now),
        }
        return Verdict(allowed=allowed, headers=headers)

    def note(self, key: str, status: int) -> None:
        """
        Count an answer that is a failure; the one too many starts the block.

        By the later edition only refusals of the client count, and no 429.
        """
        failed = 400 <= status < 500 and status != 429 if self._settings.october else status >= 400
        if not failed or not self._settings.limits:
            return
        now = time.time()
        failures = self._failures.setdefault(key, deque())
        failures.append(now)
        while failures[0] < now - self._settings.wall(FAILURE_WINDOW):
            failures.popleft()
        if len(failures) > MAX_FAILURES[self._settings.edition]:
            failures.clear()
            self._blocked_until[key] = now + self._settings.wall(BLOCK)

    def _reset(self, moment: float, now: float) -> dict[str, str]:
        """Write the reset as clients have met it: whole numbers, never before the moment; or no header at all."""
        if self._settings.resets == "none":
            return {}
        value = {"s": moment, "ms": moment * 1000, "delta": moment - now}[self._settings.resets]
        return {"x-ratelimit-reset-requests": str(math.ceil(value))}
