"""Mistakes in lists and mapped tasks."""

from __future__ import annotations

from tests.mistakes.row import BEFORE, Mistake

ROWS = (
    Mistake(
        "A list of requests has one path",
        BEFORE,
        lambda scene: scene.generate(request=[{"prompt": "a"}, {"prompt": "b"}], prompt=None),
        "output_path is '/data/clip.mp4' for 2 clips; give a list of paths, or put {index} into the one",
    ),
)
