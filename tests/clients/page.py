"""The page of the documentation that shows what the clients do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.clients.cases import CASES
from tests.clients.deviations import DEVIATIONS, HABITS, Deviation, deviation_of
from tests.clients.environments import CLIENTS, RESOLVED, Client
from tests.clients.runs import Result, Results

PAGE = Path(__file__).parents[2] / "docs" / "clients.rst"

#: Characters of a client's message that are shown.
_SHOWN = 240

_INTRODUCTION = f"""\
.. Made by ``make clients`` from what the clients did; change tests/clients.

Other clients
=============

Clients of the Venice API that others wrote, run against the :doc:`simulator <simulator>`. They were written for Venice
and know nothing of this package, so what they expect of the API tests the simulator; where one fails, the page says
whose fault that is. Each runs unchanged in an environment of its own, with the packages of {RESOLVED}. Its own settings
point it at the simulator.

None of it was run against Venice itself.

"""

_LEGEND = """\
*yes*: it did what it should; at most one clip was paid, and the file is that clip. *says*: it failed and said why, and
nothing was paid but what the API accepted. *paid twice*: one clip was asked for, and two were charged. *no*: it failed;
the number is that of the reason below. *none*: it has no function for it.

Behind the rows: a *lost answer* is a connection that breaks after the API has accepted and charged the submission; the
*504* comes from a gateway at the same moment. A submission that is sent again then buys a second clip.

Without npm at hand, the tests leave out what comes from there.
"""


def render(results: Results) -> str:
    """Return the page."""
    sections = (_section(client, results[client.name]) for client in CLIENTS)
    return "\n".join([_INTRODUCTION + _clients(), _table(results), _LEGEND, *sections])


def _clients() -> str:
    rows = [("Client", "Version", "What it is")]
    rows += [(f"`{client.name} <{client.url}>`__", client.version, client.about) for client in CLIENTS]
    return _list_table(rows, "30 15 55")


def _table(results: Results) -> str:
    rows = [("", *(client.name for client in CLIENTS))]
    for case in CASES:
        rows.append((case.name, *(_cell(client, case.name, results[client.name][case.name]) for client in CLIENTS)))
    return _list_table(rows, "30 14 14 14 14 14")


def _list_table(rows: Sequence[tuple[str, ...]], widths: str) -> str:
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in rows:
        lines += [f"   {'*' if number == 0 else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def _cell(client: Client, case: str, result: Result) -> str:
    if result.works:
        return "yes" if result.outcome == "ok" else "says"
    known = deviation_of(client.name, case)
    number = f" ({DEVIATIONS[client.name].index(known) + 1})" if known else ""
    if result.outcome == "absent":
        return f"none{number}"
    return f"{'paid twice' if result.paid > 1 else 'no'}{number}"


def _section(client: Client, results: dict[str, Result]) -> str:
    title = client.name
    reasons = [_reason(number, known, results) for number, known in enumerate(DEVIATIONS[client.name], 1)]
    habits = [_filled(f"- {habit}", "  ") for habit in HABITS[client.name]]
    beside = ["What the run does not show, from its source:", "", *habits, ""]
    return "\n".join([title, "-" * len(title), "", *(reasons or ["All cases pass.", ""]), *beside])


def _reason(number: int, known: Deviation, results: dict[str, Result]) -> str:
    fault = "Open" if known.fault == "open" else f"Fault: {known.fault}"
    text = _filled(f"{number}. *{'; '.join(known.cases)}.* {fault}. {known.evidence}", "   ")
    said = [result for case in known.cases if (result := results[case]).outcome != "absent"]
    if not said:
        return f"{text}\n"
    first = said[0]
    message = first.said if len(first.said) <= _SHOWN else f"{first.said[:_SHOWN].rstrip()} …"
    quoted = textwrap.fill(message or "(reports success)", 100, break_on_hyphens=False, break_long_words=False)
    counted = f"{_times(first.submissions, 'submission')}, {_times(first.paid, 'clip')} paid"
    counted += f", {first.transfers} transfers of the whole clip." if first.transfers > 1 else "."
    return f"{text}\n\n   {counted}\n\n   .. code-block:: text\n\n{textwrap.indent(quoted, '      ')}\n"


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(text, 118, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
