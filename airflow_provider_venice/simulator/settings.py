"""How a simulated vendor behaves: one value that the command line, Python and the tests share."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

WindowKind = Literal["fixed", "sliding", "bucket"]
Resets = Literal["ms", "s", "delta", "none"]

#: Seconds that finished inline media is kept, and that a private link stays valid.
INLINE_RETENTION = 3600.0
LINK_RETENTION = 24 * 3600.0

#: Spread of the job times: sigma of their logarithm.
SIGMA = 0.25


@dataclass
class Settings:
    """
    :param speed: the whole vendor runs this many times faster: jobs, retention, rate windows, blocks.
    :param seed: seed of the job times.
    :param limits: whether rate limits and the failure block are enforced.
    :param api_key: the one key that is accepted.
    :param balance: the account's balance at the start, in US dollars.
    :param media: ``each`` draws every clip; ``shared`` encodes one clip per length, size and frame rate.
    :param padding: grow every clip to this many bytes with a ``free`` box.
    :param median: median of the job times, in vendor seconds.
    :param fps: frames per second where the request names none.
    :param window: how the rate limits count: ``fixed`` minutes, a ``sliding`` minute, or a token ``bucket``.
    :param resets: how ``x-ratelimit-reset-requests`` is written: epoch seconds (``s``, as the vendor documents), epoch
        milliseconds (``ms``), seconds from now (``delta``), or not at all (``none``).
    :param job_seconds: a fixed job time in vendor seconds, in place of the distribution.
    """

    speed: float = 1.0
    seed: int = 0
    limits: bool = True
    api_key: str = "simulator-key"
    balance: Decimal = Decimal(100)
    media: Literal["each", "shared"] = "each"
    padding: int = 0
    median: float = 120.0
    fps: int = 24
    window: WindowKind = "fixed"
    resets: Resets = "s"
    job_seconds: float | None = None

    def __post_init__(self) -> None:
        self.balance = Decimal(str(self.balance))
        if not self.speed > 0:
            raise ValueError(f"speed must be above zero, not {self.speed!r}")
        if self.media not in ("each", "shared"):
            raise ValueError(f"media must be 'each' or 'shared', not {self.media!r}")
        for name, kind in (("window", WindowKind), ("resets", Resets)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, not {getattr(self, name)!r}")

    def wall(self, vendor_seconds: float) -> float:
        """Return how many seconds of the reader's clock that much vendor time takes."""
        return vendor_seconds / self.speed
