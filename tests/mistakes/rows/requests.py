"""Mistakes in the request."""

from __future__ import annotations

from tests.mistakes.row import BEFORE, Mistake

ROWS = (
    Mistake(
        "A model that does not exist",
        BEFORE,
        lambda scene: scene.generate(model="wan-2-7-text-to-vidoe"),
        "model 'wan-2-7-text-to-vidoe' is not a video model of this account; did you mean wan-2-7-text-to-video or "
        "wan-2.6-text-to-video or wan-2.2-a14b-text-to-video?",
    ),
)
