"""All rows, by the title under which the documentation shows them."""

from __future__ import annotations

from tests.mistakes.row import Mistake
from tests.mistakes.rows import arguments, connection, files, lists, requests

ROWS: dict[str, tuple[Mistake, ...]] = {
    "The connection": connection.ROWS,
    "Arguments": arguments.ROWS,
    "The request": requests.ROWS,
    "Files": files.ROWS,
    "Lists and mapped tasks": lists.ROWS,
}
