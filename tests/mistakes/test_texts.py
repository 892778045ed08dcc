"""Whatever a user may read as an error can be found in the documentation."""

from __future__ import annotations

import ast
import re

import pytest

from tests.mistakes.rows import ROWS
from tests.mistakes.texts import PACKAGE, read_texts
from tests.mistakes.texts_page import PAGE, render

#: What stands for a value in a text, and what may be missing.
_DIFFERS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")

#: Words of Airflow; and a message whose words, but for the first two, are the system's.
_OF_OTHERS = ("Failed to deserialize extra property", "GET /models: no connection to")


def test_the_page_is_made_from_the_source() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m tests.mistakes"


def test_every_raise_with_a_text_is_on_the_page() -> None:
    """Found here by another way than the page's: whatever literal of four words stands in a ``raise``."""
    page = PAGE.read_text(encoding="utf-8")
    raised = [
        " ".join(literal.value.split()).strip(";,. ")
        for path in PACKAGE.rglob("*.py")
        if "simulator" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        for argument in node.exc.args
        for literal in ast.walk(argument)
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str) and len(literal.value.split()) > 3
    ]
    assert len(raised) > 100
    assert [text for text in raised if text not in page] == []


@pytest.mark.parametrize("title", ROWS)
def test_what_users_get_is_found_by_its_words(title: str) -> None:
    patterns = [
        re.compile(".*?".join(map(re.escape, _DIFFERS.split(text.said))))
        for text in read_texts()
        if len(text.said.split()) > 3
    ]
    said = (message for row in ROWS[title] for message in (row.message, *row.log))
    messages = [message for message in said if not message.startswith(_OF_OTHERS)]
    assert [message for message in messages if not any(pattern.search(message) for pattern in patterns)] == []
