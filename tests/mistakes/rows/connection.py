"""Mistakes in the connection."""

from __future__ import annotations

from tests.mistakes.row import BEFORE, Mistake, Scene


def _no_key(scene: Scene) -> object:
    scene.connect(password="")
    return scene.generate()


ROWS = (
    Mistake(
        "The connection has no API key",
        BEFORE,
        _no_key,
        "the connection 'venice_default' is not valid: password is empty; put the Venice API key there "
        "(https://venice.ai/settings/api)",
    ),
)
