"""How a simulated vendor behaves: one value that the command line, Python and the tests share."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

WindowKind = Literal["fixed", "sliding", "bucket"]
Resets = Literal["ms", "s", "delta", "none"]
Edition = Literal["2026-08", "2026-10"]
UsageIds = Literal["queue_id", "other"]

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
    :param api_key: the key that is accepted.
    :param admin_key: a second key of the account, an ADMIN key: ``/billing/usage-history`` takes no other.
    :param key_limit: US dollars that ``api_key`` may spend in all; no limit if ``None``. The ADMIN key has none.
    :param balance: the account's balance at the start, in US dollars.
    :param media: ``each`` draws every clip; ``shared`` encodes one clip per length, size and frame rate in a process.
    :param padding: grow every clip to this many bytes with a ``free`` box. Clients take a clip below 100,000 bytes for
        a refusal, so that the default is above.
    :param median: median of the job times, in vendor seconds.
    :param fps: frames per second where the request names none.
    :param window: how the rate limits count: ``fixed`` minutes, a ``sliding`` minute, or a token ``bucket``.
    :param resets: how ``x-ratelimit-reset-requests`` is written: epoch
        milliseconds (``ms``, as the live service does), epoch seconds (``s``, as the vendor documents), seconds from
        now (``delta``), or not at all (``none``).
    :param job_seconds: a fixed job time in vendor seconds, in place of the distribution.
    :param usage_delay: seconds after which a charge appears in the ledger and the sums, in vendor seconds.
    :param usage_ids: whether the ledger's ``requestId`` is the job's ``queue_id``, or an ``other`` id.
    :param usage_sku: name of a video's product in the ledger; ``{model}`` stands for the model's id.
    :param edition: which of the vendor's documents count where they differ: the OpenAPI document and the guides of
        ``2026-08``, or what its agent skills of ``2026-10`` tell of the live service.
    """

    speed: float = 1.0
    seed: int = 0
    limits: bool = True
    api_key: str = "simulator-key"
    admin_key: str = "simulator-admin-key"
    key_limit: Decimal | None = None
    balance: Decimal = Decimal(100)
    media: Literal["each", "shared"] = "each"
    padding: int = 128 * 1024
    median: float = 120.0
    fps: int = 24
    window: WindowKind = "fixed"
    resets: Resets = "ms"
    job_seconds: float | None = None
    usage_delay: float = 0.0
    usage_ids: UsageIds = "queue_id"
    usage_sku: str = "{model}-video-unit"
    edition: Edition = "2026-08"

    def __post_init__(self) -> None:
        self.balance = Decimal(str(self.balance))
        self.key_limit = None if self.key_limit is None else Decimal(str(self.key_limit))
        if not self.speed > 0:
            raise ValueError(f"speed must be above zero, not {self.speed!r}")
        if self.media not in ("each", "shared"):
            raise ValueError(f"media must be 'each' or 'shared', not {self.media!r}")
        choices = (("window", WindowKind), ("resets", Resets), ("usage_ids", UsageIds), ("edition", Edition))
        for name, kind in choices:
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, not {getattr(self, name)!r}")

    @property
    def october(self) -> bool:
        """Whether the later edition of the vendor's documents counts."""
        return self.edition == "2026-10"

    def wall(self, vendor_seconds: float) -> float:
        """Return how many seconds of the reader's clock that much vendor time takes."""
        return vendor_seconds / self.speed
