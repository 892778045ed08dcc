"""What two requests differ in, for people: from what a record shows of them, which has no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Characters of a value that are shown, and how many of them go before the first that differs.
_MOST_SHOWN, _BEFORE = 60, 20

#: Characters of a digest that are shown.
_DIGEST = 12


def describe_differences(
    old: Any, new: Mapping[str, Any], old_media: Any = None, new_media: Mapping[str, str] | None = None
) -> str:
    """
    Return each field that differs, with both values; an empty text where none does.

    :param old: a request as a manifest shows it.
    :param new: the other, as ``VideoRequest.describe`` returns it.
    :param old_media: the digests of the media of the one, ``None`` where nobody has kept them.
    :param new_media: the digests of the media of the other.
    """
    old = old if isinstance(old, Mapping) else {}
    texts = [
        f"{name} {_change(old.get(name), new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    if isinstance(old_media, Mapping) and new_media is not None:
        texts += [
            f"the content of {name} {_digest(old_media.get(name))} → {_digest(new_media.get(name))}"
            for name in dict.fromkeys([*old_media, *new_media])
            if old_media.get(name) != new_media.get(name) and not any(text.startswith(f"{name} ") for text in texts)
        ]
    return "; ".join(texts)


def _change(old: Any, new: Any) -> str:
    """Return both values; of long ones, the part in which they begin to differ."""
    before, after = _text(old), _text(new)
    same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start = 0 if max(len(before), len(after)) <= _MOST_SHOWN else max(0, same - _BEFORE)
    return f"{_cut(before, start)} → {_cut(after, start)}"


def _text(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _cut(text: str, start: int) -> str:
    end = start + _MOST_SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def _digest(digest: Any) -> str:
    if not isinstance(digest, str):
        return "not set"
    kind, _, digits = digest.partition(":")
    return f"{kind}:{digits[:_DIGEST]}…"
