"""The page of the documentation about the commands."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "cli.rst").read_text(encoding="utf-8")

_parts = re.split(r"^(.+)\n-{3,}\n", TEXT, flags=re.MULTILINE)

#: What stands under each title.
SECTIONS = dict(zip(_parts[1::2], _parts[2::2], strict=True))


def columns(command: str) -> list[str]:
    """Return the columns of the first table that the page shows of a command."""
    head = re.search(r"^ +(.+)\n +=[=+]+$", SECTIONS[command], re.MULTILINE)
    assert head is not None
    return [name.strip() for name in head[1].split("|")]
