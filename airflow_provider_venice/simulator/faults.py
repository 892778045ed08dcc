"""Faults on demand: what goes wrong, where, how often, and for whom."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ENDPOINTS = (
    "quote",
    "queue",
    "retrieve",
    "complete",
    "models",
    "rate_limits",
    "balance",
    "traits",
    "rate_limits_log",
    "usage",
    "usage_history",
    "usage_analytics",
    "image",
    "images",
    "download",
    "revoke",
)

_EFFECTS = (
    "status",
    "drop_before",
    "drop_after",
    "hang",
    "truncate",
    "bad_json",
    "html",
    "stub",
    "expire",
    "policy",
    "consent",
)

HTML = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"


@dataclass
class Fault:
    """
    One thing that goes wrong.

    :param endpoint: where; one of :data:`ENDPOINTS`.
    :param times: how often before it is over; ``None`` for ever.
    :param match: only where this text is in the request's body, or in its job's id, model or prompt.
    :param status: answer with this HTTP status.
    :param body: the body of that answer: text, or JSON.
    :param headers: headers of that answer, such as ``retry-after``.
    :param act: do what was asked first (accept and charge the job), then answer ``status`` or ``html``.
    :param html: answer an HTML page, as a proxy does; status 200 unless ``status`` says another.
    :param drop_before: close the connection without having acted.
    :param drop_after: act, then close the connection without an answer.
    :param hang: act, then hold the answer back for so many seconds of the reader's clock.
    :param truncate: send so many bytes of the media, then end.
    :param length: whether a truncated answer announces the full length; without, it looks complete.
    :param bad_json: act, then answer cut JSON.
    :param stub: answer a tiny HTML page as ``video/mp4`` in place of the media.
    :param expire: the media is gone: 404, on a private link 410.
    :param policy: refused by the content policy; at ``queue`` free, at ``retrieve`` refunded.
    :param consent: 409 until the request carries ``consents``.
    """

    endpoint: str
    times: int | None = 1
    match: str | None = None
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] | None = None
    act: bool = False
    html: bool = False
    drop_before: bool = False
    drop_after: bool = False
    hang: float | None = None
    truncate: int | None = None
    length: bool = True
    bad_json: bool = False
    stub: bool = False
    expire: bool = False
    policy: bool = False
    consent: bool = False

    def __post_init__(self) -> None:
        if self.endpoint not in ENDPOINTS:
            raise ValueError(f"unknown endpoint {self.endpoint!r}; known are {', '.join(ENDPOINTS)}")
        if not self.effects:
            raise ValueError(f"the fault does nothing; give one of {', '.join(_EFFECTS)}")

    @property
    def effects(self) -> list[str]:
        """Names of what it does."""
        return [name for name in _EFFECTS if getattr(self, name) not in (None, False)]

    @property
    def needs_media(self) -> bool:
        """Whether it waits for an answer that is about finished media."""
        return self.truncate is not None or self.stub or self.expire

    @property
    def replaces(self) -> bool:
        """Whether it answers in place of the vendor."""
        return self.status is not None or self.html

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, as plain JSON."""
        plain = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in dataclasses.asdict(self).items() if value != plain[name]}


class Faults:
    """The faults that still lie ahead."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._prompts: dict[str, list[Fault]] = {}

    def add(self, fault: Fault) -> None:
        """Let it happen."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Let nothing more go wrong; prompts that were tagged start anew."""
        self._faults.clear()
        self._prompts.clear()

    def take(self, endpoint: str, about: Callable[[], str], *, media: bool) -> Fault | None:
        """
        Return the first fault for a request and count it.

        :param about: gives the text in which ``match`` is looked for.
        :param media: whether the request is about finished media.
        """
        return take_first(self._faults, endpoint, about, media=media)

    def take_tagged(self, prompt: str) -> Fault | None:
        """Return what the tags of a prompt do to its submission; one that is submitted again goes on from there."""
        if not tags_of(prompt):
            return None
        return take_first(self._prompts.setdefault(prompt, tagged_faults(prompt)), "queue", str, media=False)


def take_first(faults: list[Fault], endpoint: str, about: Callable[[], str], *, media: bool) -> Fault | None:
    """Return the first of ``faults`` that applies, and drop it from the list when it has had its times."""
    for fault in faults:
        if fault.endpoint != endpoint or (fault.match is not None and fault.match not in about()):
            continue
        if fault.needs_media and not media:
            continue
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                faults.remove(fault)
        return fault
    return None


#: What ``[simulate: name]`` in a prompt does to that job alone. ``slow`` and ``stuck`` stretch its time.
TAGS: dict[str, tuple[dict[str, Any], ...]] = {
    "policy": ({"endpoint": "queue", "policy": True, "times": None},),
    "consent": ({"endpoint": "queue", "consent": True, "times": None},),
    "lost": ({"endpoint": "queue", "drop_after": True},),
    "busy": ({"endpoint": "queue", "status": 429, "headers": {"retry-after": "1"}},),
    "refund": ({"endpoint": "retrieve", "policy": True},),
    "fail": ({"endpoint": "retrieve", "status": 400, "times": None, "body": {"error": "Video generation failed"}},),
    "flaky": ({"endpoint": "retrieve", "status": 503, "times": 2},),
    "expire": ({"endpoint": "retrieve", "expire": True}, {"endpoint": "download", "expire": True}),
    "truncate": (
        {"endpoint": "retrieve", "truncate": 2000},
        {"endpoint": "download", "truncate": 2000},
    ),
    "stub": ({"endpoint": "retrieve", "stub": True}, {"endpoint": "download", "stub": True}),
    "slow": (),
    "stuck": (),
}

#: How much longer a tagged job takes.
STRETCH = {"slow": 5.0, "stuck": float("inf")}

_TAG = re.compile(r"\[simulate:\s*([a-z]+)\s*\]")


def tags_of(prompt: str) -> list[str]:
    """Return the known tags in ``prompt``."""
    return [tag for tag in _TAG.findall(prompt) if tag in TAGS]


def untagged(prompt: str) -> str:
    """Return the prompt without its tags."""
    return _TAG.sub("", prompt).strip()


def tagged_faults(prompt: str) -> list[Fault]:
    """Return the faults that a prompt asks for."""
    return [Fault(**fields) for tag in tags_of(prompt) for fields in TAGS[tag]]
