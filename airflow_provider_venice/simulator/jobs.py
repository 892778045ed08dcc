"""The life of a job at the vendor: how long it takes, and what becomes of its media."""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_venice.simulator.catalog import Model
from airflow_provider_venice.simulator.faults import STRETCH, Fault, tagged_faults, tags_of
from airflow_provider_venice.simulator.media import Clip
from airflow_provider_venice.simulator.settings import INLINE_RETENTION, LINK_RETENTION, SIGMA, Settings

#: GETs that a private link allows, resumptions included.
LINK_FETCHES = 5

#: z of the 80th percentile of a normal distribution.
_Z80 = 0.8416

Fate = Literal["kept", "deleted", "expired", "refused"]


class Coverage:
    """Which bytes of a clip have been received, by however many partial answers."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def add(self, start: int, stop: int) -> None:
        """Note the bytes from ``start`` up to ``stop``."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted([*self._spans, (start, stop)]):
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        self._spans = merged

    def holds(self, size: int) -> bool:
        """Whether all of ``size`` bytes are among them."""
        return bool(self._spans) and self._spans[0][0] == 0 and self._spans[0][1] >= size


@dataclass
class Job:
    """
    One submission.

    :param body: the request as it came.
    :param price: what it cost, in US dollars.
    :param queued_at: epoch seconds.
    :param ready_at: epoch seconds at which it is done.
    :param average: P80 of such jobs, in milliseconds of the reader's clock.
    :param settings: the vendor's settings; they say how long media is kept.
    :param key: fingerprint of the API key that submitted it.
    :param token: the secret of the private link.
    """

    model: Model
    body: dict[str, Any]
    price: Decimal
    queued_at: float
    ready_at: float
    average: int
    settings: Settings
    key: str | None = None
    queue_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    faults: list[Fault] = field(default_factory=list)
    media: asyncio.Future[Clip] | None = field(default=None, repr=False)
    received: Coverage = field(default_factory=Coverage, repr=False)
    fetches: int = 0
    fate: Fate = "kept"
    refunded: bool = False

    @property
    def prompt(self) -> str:
        """The prompt, empty for an upscaler."""
        return str(self.body.get("prompt") or "")

    @property
    def due(self) -> bool:
        """Whether its time has come."""
        return time.time() >= self.ready_at

    @property
    def gone(self) -> bool:
        """Whether its media cannot be had any more."""
        retention = LINK_RETENTION if self.model.private else INLINE_RETENTION
        since = self.queued_at if self.model.private else self.ready_at
        if self.fate == "kept" and time.time() > since + self.settings.wall(retention):
            self.fate = "expired"
        return self.fate in ("deleted", "expired")

    def finish(self) -> None:
        """Let its time come now."""
        self.ready_at = min(self.ready_at, time.time())

    def status(self) -> dict[str, Any]:
        """Return what a retrieve tells, in milliseconds."""
        elapsed = min(time.time(), self.ready_at) - self.queued_at
        return {
            "status": "COMPLETED" if self.due else "PROCESSING",
            "average_execution_time": self.average,
            "execution_duration": max(0, round(1000 * elapsed)),
        }

    def about(self) -> str:
        """Return the text in which a fault's ``match`` is looked for."""
        return f"{self.queue_id} {self.model.id} {self.prompt}"

    def to_dict(self) -> dict[str, Any]:
        """Return what a reader wants to know, without the link."""
        return {
            "model": self.model.id,
            "queue_id": self.queue_id,
            "prompt": self.prompt,
            "price": str(self.price),
            "queued_at": self.queued_at,
            "ready_at": self.ready_at if math.isfinite(self.ready_at) else None,
            "due": self.due,
            "fate": self.fate,
            "refunded": self.refunded,
        }


class JobTimes:
    """Draws how long jobs take: log-normal, seeded per model, so that a run can be repeated."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._random: dict[str, random.Random] = {}

    def start(self, model: Model, body: dict[str, Any], price: Decimal) -> Job:
        """Return a new job that starts now."""
        settings, now = self._settings, time.time()
        chance = self._random.setdefault(model.id, random.Random(f"{settings.seed}:{model.id}"))
        drawn = chance.lognormvariate(math.log(settings.median), SIGMA)
        p80 = settings.median * math.exp(_Z80 * SIGMA)
        if settings.job_seconds is not None:
            drawn = p80 = settings.job_seconds
        prompt = str(body.get("prompt") or "")
        stretch = max((STRETCH.get(tag, 1.0) for tag in tags_of(prompt)), default=1.0)
        return Job(
            model=model,
            body=body,
            price=price,
            queued_at=now,
            ready_at=now + settings.wall(drawn) * stretch if drawn else now,
            average=round(1000 * settings.wall(p80)),
            settings=settings,
            faults=[fault for fault in tagged_faults(prompt) if fault.endpoint != "queue"],
        )
