"""How long to wait: what a minute's budget still allows, and how failures space their repetition."""

from __future__ import annotations

import contextlib
import email.utils
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds for which everything is refused after too many failures (the vendor's documentation).
#: That refusal may come without any header that says so.
BLOCK_SECONDS = 30.0

#: More than 20 failed requests within 30 seconds bring the block (the vendor's documentation). Half of
#: them are left to others who use the same key.
FAILURES, _FAILURE_WINDOW = 10, 30.0

#: A reset header below this is a count of seconds; a time stamp of this size lay in 2001.
_OLDEST_TIMESTAMP = 1_000_000_000.0


@dataclass(frozen=True)
class RateLimit:
    """
    What an answer's headers say of the budget that the request came out of.

    :param limit: requests per window.
    :param remaining: requests left in this window.
    :param resets_at: end of the window, in epoch seconds.
    """

    limit: int | None
    remaining: int | None
    resets_at: float | None


def read_rate_limit(headers: Mapping[str, str], now: float) -> RateLimit:
    """
    Read the ``x-ratelimit-*-requests`` headers.

    The reset is documented as a Unix time stamp; milliseconds and seconds from now were seen too.

    :param headers: header values under lower-case names.
    :param now: epoch seconds at which the answer came.
    """
    limit = _number(headers.get("x-ratelimit-limit-requests"))
    remaining = _number(headers.get("x-ratelimit-remaining-requests"))
    reset = _number(headers.get("x-ratelimit-reset-requests"))
    if reset is not None:
        if reset >= _OLDEST_TIMESTAMP * 1000:
            reset /= 1000
        elif reset < _OLDEST_TIMESTAMP:
            reset += now
    return RateLimit(
        limit=None if limit is None else int(limit),
        remaining=None if remaining is None else int(remaining),
        resets_at=reset,
    )


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """
    Return the seconds to keep quiet after a 429.

    ``Retry-After`` goes first, then the reset of the budget; without either it is the block.

    :param headers: header values under lower-case names.
    :param now: epoch seconds at which the answer came.
    """
    named = headers.get("retry-after", "")
    seconds = _number(named)
    if seconds is None and named:
        with contextlib.suppress(ArithmeticError, IndexError, TypeError, ValueError):
            seconds = email.utils.parsedate_to_datetime(named).timestamp() - now
    if seconds is None:
        resets_at = read_rate_limit(headers, now).resets_at
        seconds = BLOCK_SECONDS if resets_at is None else resets_at - now
    return max(0.0, seconds)


def backoff(failures: int, *, longest: float, chance: float, named: float | None = None) -> float:
    """
    Return the seconds to wait before a failed call is made again.

    The wait that the server named, and up to a tenth more so that not all come back at once; or
    full-jitter exponential (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).

    :param failures: failures in a row, from 1.
    :param longest: the most to wait where the server names nothing, in seconds.
    :param chance: a random number from 0 to 1.
    :param named: the seconds that the server named.
    """
    if named is not None:
        return named + chance * max(1.0, named / 10)
    return chance * float(min(longest, 2 ** min(failures, 30)))


class Pace:
    """
    When the next request may be sent, so that what is left of the server's window lasts until its end.

    Spread, not sent in a burst: a budget that is spent early leaves the rest of the window blind.
    The server's headers are believed over the configured limit. Others may use the same key, and
    all that pace themselves like this share what is left.

    :param limit: requests per window, until the server tells.
    :param window: seconds.
    :param spread: whether to spread the requests; else they go as they come until the window is used up.
    """

    def __init__(self, limit: int, window: float = 60.0, *, spread: bool = True) -> None:
        self._limit = limit
        self.window = window
        self._spread = spread
        self._last = 0.0
        self._in_flight = 0
        self._remaining: int | None = None
        self._resets_at = 0.0
        self._closed_until = 0.0
        self._failed_at: deque[float] = deque(maxlen=FAILURES)

    def next_at(self, now: float) -> float:
        """
        Return the epoch second at which the next request may be sent.

        :param now: epoch seconds.
        """
        # A twentieth is left to others, whose use shows only afterwards.
        reserve = self._limit // 20
        spacing, opens_at = self.window / (self._limit - reserve), self._closed_until
        if len(self._failed_at) == FAILURES:
            opens_at = max(opens_at, self._failed_at[0] + _FAILURE_WINDOW)
        if self._remaining is not None and now < self._resets_at:
            usable = self._remaining - self._in_flight - max(1, reserve)
            if usable <= 0:
                return max(self._resets_at, opens_at)
            spacing = (self._resets_at - now) / usable if self._spread else 0.0
        return max(now, self._last + spacing, opens_at)

    def take(self, now: float) -> None:
        """Note that a request is sent."""
        self._last = now
        self._in_flight += 1

    def expect(self, requests: int, now: float) -> None:
        """
        Note that others are about to send requests under the same limit: they count as if they were sent now.

        :param requests: how many; more than half a window's count as that.
        :param now: epoch seconds.
        """
        spacing = self.window / (self._limit - self._limit // 20)
        self._last = max(self._last, now) + min(requests * spacing, self.window / 2)

    def done(self) -> None:
        """Note that a request was answered, failed, or was not sent after all."""
        self._in_flight -= 1

    def observe(self, limits: RateLimit, refused_for: float | None, now: float, *, failed: bool = False) -> None:
        """
        Learn from an answer.

        :param limits: what its headers say.
        :param refused_for: seconds to keep quiet where it was a 429, else ``None``.
        :param now: epoch seconds.
        :param failed: whether it was an error, of which the vendor allows few.
        """
        if failed:
            self._failed_at.append(now)
        if limits.limit:
            self._limit = limits.limit
        if limits.remaining is not None and limits.resets_at is not None:
            # A reset beyond a window is a reading error, not a reason to stop for a day.
            self._remaining = limits.remaining
            self._resets_at = min(limits.resets_at, now + self.window)
        if refused_for is not None:
            self._closed_until = max(self._closed_until, now + min(refused_for, self.window))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e15 else None
