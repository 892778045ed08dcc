"""The vendor's rate limits: requests a minute per key, and the block that answers too many failures."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field

from airflow_provider_venice.simulator.settings import Settings

#: Requests a minute (https://docs.venice.ai/api-reference/rate-limiting); the rest share a wide one.
REQUESTS_PER_MINUTE = {"queue": 40, "retrieve": 120}
OTHER_REQUESTS_PER_MINUTE = 500
WINDOW = 60.0

#: More than this many failures within ``FAILURE_WINDOW`` seconds, and ``BLOCK`` seconds of refusals follow.
MAX_FAILURES = 20
FAILURE_WINDOW = 30.0
BLOCK = 30.0


@dataclass
class Verdict:
    """Whether a request may pass, and the headers that tell its sender how much is left."""

    allowed: bool = True
    blocked: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Limiter:
    """Counts the requests and the failures of each key, in windows that start with their first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, str], list[float]] = {}
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
        window = self._windows.setdefault((key, bucket), [now, 0])
        if now >= window[0] + self._settings.wall(WINDOW):
            window[:] = [now, 0]
        allowed = window[1] < limit
        window[1] += allowed
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(limit - int(window[1])),
            "x-ratelimit-reset-requests": self._reset(window[0] + self._settings.wall(WINDOW), now),
        }
        return Verdict(allowed=allowed, headers=headers)

    def note_failure(self, key: str) -> None:
        """Count one answer of 400 or above; the one too many starts the block."""
        if not self._settings.limits:
            return
        now = time.time()
        failures = self._failures.setdefault(key, deque())
        failures.append(now)
        while failures[0] < now - self._settings.wall(FAILURE_WINDOW):
            failures.popleft()
        if len(failures) > MAX_FAILURES:
            failures.clear()
            self._blocked_until[key] = now + self._settings.wall(BLOCK)

    def _reset(self, moment: float, now: float) -> str:
        """Write the end of a window as clients have met it: whole numbers, never before that end."""
        if self._settings.reset_format == "milliseconds":
            return str(math.ceil(moment * 1000))
        return str(math.ceil(moment - now if self._settings.reset_format == "seconds" else moment))
