"""The page of the documentation that shows what each mistake leads to."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.mistakes.row import AFTER, PARSED, Mistake
from tests.mistakes.rows import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "messages.rst"

_INTRODUCTION = """\
.. Made by ``python -m tests.mistakes`` from the table of the tests; change that.

Messages
========

What goes wrong most often, when it is refused, and the whole message. Each row is run by the tests. ``/data`` stands
for a folder, ``venice.example`` for the host of the API, ``<queue id>`` for the id of a job. A message that follows a
payment says what was bought and how to get it. One from the parsing of a DAG also names the task and the line, such as
``(task 'generate', /dags/clips.py, line 12)``. :doc:`all-messages` has the others too, as the source has them;
:doc:`errors` has the classes behind them, and :doc:`troubleshooting` begins with what you see.
"""


def render() -> str:
    """Return the page."""
    sections = (_section(title, rows) for title, rows in ROWS.items())
    return "\n".join([_INTRODUCTION, *sections])


def _section(title: str, rows: tuple[Mistake, ...]) -> str:
    return "\n".join([title, "-" * len(title), "", *(_entry(row) for row in rows)])


def _entry(row: Mistake) -> str:
    lines = [*row.message.splitlines(), *(f"In the log: {line}" for line in row.log)]
    quoted = "\n".join(textwrap.fill(line, 100, break_on_hyphens=False, break_long_words=False) for line in lines)
    body = f"{_consequence(row)}\n\n.. code-block:: text\n\n{textwrap.indent(quoted, '   ')}\n"
    return f"{row.what}\n{textwrap.indent(body, '   ')}"


def _consequence(row: Mistake) -> str:
    refused = f"Refused {row.when}." if row.when != AFTER else "Fails after payment."
    bought = (
        "Nothing is bought."
        if not row.bought
        else f"{row.bought} {'clip is' if row.bought == 1 else 'clips are'} paid."
    )
    retried = "" if row.when == PARSED else " The task's ``retries`` apply." if row.is_retried else " No retry."
    return f"{refused} {bought}{retried}"
