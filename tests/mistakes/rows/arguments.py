"""Mistakes in the arguments of operators and sensors."""

from __future__ import annotations

from tests.mistakes.row import BEFORE, Mistake

ROWS = (
    Mistake(
        "``max_cost`` is below zero",
        BEFORE,
        lambda scene: scene.generate(max_cost=-1),
        "max_cost is -1; give US dollars, such as 2.50",
    ),
)
