"""How long to wait: what a minute's budget still allows, and how failures space their repetition."""

from __future__ import annotations

import contextlib
import email.utils
import math
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

#: Seconds by which two clocks that are right may seem to differ: a date is in whole ones, and an answer takes a while.
_CLOCKS_DIFFER = 5.0

#: By how many seconds a reset may be wrong that is written in whole ones.
_ROUNDING = 1.1


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


def server_time(headers: Mapping[str, str], now: float) -> float:
    """
    Return the server's time, which is ours unless its ``Date`` differs: one of the two clocks is wrong then.

    What the server says of a time is on its clock.

    :param headers: header values under lower-case names.
    :param now: epoch seconds at which the answer came, by our clock.
    """
    date = _date(headers.get("date", ""))
    return now if date is None or abs(date - now) <= _CLOCKS_DIFFER else date


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
        date = _date(named)
        seconds = None if date is None else date - now
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
    When the next request may be sent, under a limit per window that others use as well.

    Which kind of window the server has is not documented. What is assumed here holds for fixed windows, for a sliding
    one (a request counts for a window's length), and for a token bucket: no more requests are sent in any window's
    length than the limit, less a twentieth for others, and none while the server says that none are left. The
    server's headers are believed over the configured limit.

    All times are seconds on one clock that is never set; :meth:`observe` converts.

    :param limit: requests per window, until the server reports one.
    :param window: seconds that a window has at most. Where the resets say that it is shorter, they are believed.
    :param burst: how many times faster than evenly requests may go while nothing of the window is used; ``math.inf``
        to send them as they come.
    """

    def __init__(self, limit: int, window: float = 60.0, *, burst: float = 1.0) -> None:
        self._limit = limit
        self.window = window
        #: Seconds that the server's window has, as far as its resets show.
        self._known_length = math.inf
        self._burst = burst
        self._in_flight = 0
        #: When each request of the last window was sent.
        self._sent: deque[float] = deque()
        #: What the last answer said: requests left, those used, when, and when the window began and ends.
        self._remaining: int | None = None
        self._used = 0
        self._observed_at = self._began_at = self._resets_at = -math.inf
        #: The reset that was reported first in this window. Whether the window did not begin anew at that time, as a
        #: sliding one does not; and whether the reset was put off before, as that of a token bucket is.
        self._first_reset = -math.inf
        self._slides = self._refills = False
        #: Requests that the window before has used.
        self._used_before = 0.0
        self._closed_until = -math.inf
        self._failed_at: deque[float] = deque(maxlen=FAILURES)

    @property
    def _length(self) -> float:
        """Seconds that a window is taken to have."""
        return min(self.window, self._known_length)

    @property
    def _reserve(self) -> int:
        """Requests that are left to others, whose use shows only afterwards."""
        return self._limit // 20

    @property
    def interval(self) -> float:
        """Seconds between two requests that use the whole limit evenly."""
        return self._length / (self._limit - self._reserve)

    def next_at(self, now: float) -> float:
        """
        Return the time at which the next request may be sent.

        :param now: the time.
        """
        opens_at = max(now, self._closed_until)
        if len(self._failed_at) == FAILURES:
            opens_at = max(opens_at, self._failed_at[0] + _FAILURE_WINDOW)
        self._forget(now)
        excess = len(self._sent) - (self._limit - self._reserve)
        if excess >= 0:
            opens_at = max(opens_at, self._sent[excess] + self._length)
        if self._remaining is not None:
            missing = max(1, self._reserve) + 1 + self._in_flight - self._remaining
            if missing > 0:
                opens_at = max(opens_at, self._reopens_at(missing))
                if self._in_flight and opens_at <= now:
                    # One request asks how much is left after the reset.
                    opens_at = now + self.interval
        if self._sent:
            opens_at = max(opens_at, self._sent[-1] + self._spacing(now))
        return opens_at

    def _spacing(self, now: float) -> float:
        """Return the seconds between two requests, as much of the limit as is used."""
        if self._burst == math.inf:
            return 0.0
        share = 1 / self._burst + (1 - 1 / self._burst) * min(1.0, self.usage(now))
        return share * self.interval

    def usage(self, now: float) -> float:
        """
        Return the share of the limit that was used in the last window's length, by all who use the key.

        As far as is known: the own requests, or what the server says if that is more. Where a window has begun anew,
        the one before fades out over its length.

        :param now: the time.
        """
        self._forget(now)
        age = (now - self._began_at) / self._length
        if age < 1:
            used = self._used + self._in_flight + self._used_before * (1 - age)
        else:
            used = self._used * max(0.0, 2 - age)
        return max(used, len(self._sent)) / (self._limit - self._reserve)

    def acquire(self, now: float) -> None:
        """Note that a request is sent."""
        self._sent.append(now)
        self._in_flight += 1

    def expect(self, requests: int, now: float) -> None:
        """
        Note that others are about to send requests under the same limit: they count as sent from now on.

        :param requests: how many; more than half a window's count as that.
        :param now: the time.
        """
        spacing = self._spacing(now)
        last = max(now, self._sent[-1]) if self._sent else now
        count = min(requests, (self._limit - self._reserve) // 2)
        self._sent.extend(last + spacing * number for number in range(1, count + 1))

    def release(self) -> None:
        """Note that a request was answered, failed, or was not sent after all."""
        self._in_flight -= 1

    def observe(self, limits: RateLimit, refused_for: float | None, now: float, *, failed: bool = False) -> None:
        """
        Learn from an answer.

        :param limits: what its headers say, the reset on the clock of ``now``.
        :param refused_for: seconds to keep quiet where it was a 429, else ``None``.
        :param now: the time.
        :param failed: whether it was an error, of which the vendor allows few.
        """
        if failed:
            self._failed_at.append(now)
        if limits.limit:
            self._limit = limits.limit
        if limits.remaining is not None:
            # A reset beyond a window is a reading error, not a reason to stop for a day.
            resets_at = now if limits.resets_at is None else min(limits.resets_at, now + self.window)
            self._learn(limits.remaining, resets_at, now)
        if refused_for is not None:
            self._closed_until = max(self._closed_until, now + min(refused_for, self.window))

    def _learn(self, remaining: int, resets_at: float, now: float) -> None:
        used = max(0, self._limit - remaining)
        left = resets_at - now
        if used == 1:
            # The one request of a window begins it; later the reset may be close in a long window, too. A reset as
            # close as this is that of a token bucket, where one token is missing. An answer takes a while, so that a
            # window is believed to be much shorter than documented, not a little.
            length = left if left >= self.window / 20 else left * self._limit
            self._known_length = length if self.window / 20 <= length <= self.window / 2 else math.inf
        self._known_length = max(self._known_length, left)
        began_at = resets_at - self._length
        if began_at > self._observed_at and used <= self._limit / 2:
            # Only a fixed window begins after a request that it does not count, and with little used.
            gap = (began_at - self._began_at) / self._length - 1
            self._used_before = self._used * min(1.0, max(0.0, 1 - gap))
            self._slides = self._refills = False
            self._first_reset = resets_at
        elif now >= self._first_reset:
            self._slides, self._first_reset = self._observed_at > -math.inf, resets_at
        elif resets_at > self._first_reset + max(_ROUNDING, self._length / 30):
            self._refills = True
        self._remaining, self._used = remaining, used
        self._observed_at, self._began_at, self._resets_at = now, began_at, resets_at

    def _reopens_at(self, missing: int) -> float:
        """Return when so many requests more are left, of which the last answer reported too few."""
        if self._refills:
            # The reset is the time at which all tokens are back; they come one by one.
            return min(self._resets_at, self._observed_at + missing * self._length / self._limit)
        # Places of a sliding window come back one by one, and all who share it see the same reset.
        return self._resets_at + (missing * self.interval if self._slides else 0.0)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - self._length:
            self._sent.popleft()


def _date(text: str) -> float | None:
    """Return the epoch seconds of a date as HTTP writes it, ``None`` where it is none."""
    with contextlib.suppress(ArithmeticError, IndexError, TypeError, ValueError):
        return email.utils.parsedate_to_datetime(text).timestamp()
    return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e15 else None
