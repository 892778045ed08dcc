"""Links of the Markdown files at the root lead to files and sections; ``make docs`` checks those within ``docs``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_LINK = re.compile(r"""\]\(([^)\s]+)\)|\b(?:src|srcset|href)="([^"]+)\"""")
_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")


def relative_links(text: str) -> list[str]:
    """Return the links of a Markdown text that name no host."""
    links = [first or second for first, second in _LINK.findall(_CODE.sub("", _BLOCK.sub("", text)))]
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """Return what the headings of a Markdown text are called in links, on GitHub and by MyST."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def is_broken(link: str, page: Path) -> bool:
    """Whether a relative link of a page leads nowhere."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = relative_links(page.read_text(encoding="utf-8"))
    assert [link for link in links if is_broken(link, page)] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Two tries\n[a](#two-tries) [b](#three) [c](none.md) [d](https://venice.ai) `[e](code.md)`\n")
    links = relative_links(page.read_text())
    assert [link for link in links if is_broken(link, page)] == ["#three", "none.md"]
