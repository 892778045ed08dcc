"""Writes the pages of the documentation."""

from __future__ import annotations

from tests.mistakes import page, texts_page

if __name__ == "__main__":
    for written in (page, texts_page):
        written.PAGE.write_text(written.render(), encoding="utf-8")
        print(f"Wrote {written.PAGE}")
