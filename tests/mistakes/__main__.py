"""Writes the page of the documentation."""

from __future__ import annotations

from tests.mistakes.page import PAGE, render

if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"Wrote {PAGE}")
