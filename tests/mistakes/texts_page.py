"""The page of the documentation that lists every text of :mod:`tests.mistakes.texts`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from airflow_provider_venice import exceptions
from tests.mistakes.texts import Text, read_texts

PAGE = Path(__file__).parents[2] / "docs" / "all-messages.rst"

#: The modules whose texts stand under each title, as paths below the package or folders of it.
SECTIONS = {
    "The connection to Venice": ("airflow_connections", "transport/settings", "hooks/connections", "version_compat"),
    "Arguments of tasks": ("generation/arguments", "generation/target_paths", "operators/", "sensors/", "api/polling"),
    "The request": ("api/request", "api/values", "api/constraints", "generation/request_errors", "generation/checks"),
    "Media": ("api/media", "hooks/media_roots", "storage/files"),
    "Prices and budgets": ("api/budget", "generation/pricing", "api/spending"),
    "The network": ("transport/errors", "transport/policy", "transport/blocking", "transport/asynchronous"),
    "Answers of Venice": ("api/responses", "api/calls", "api/billing", "api/costs"),
    "The submission": (
        *("generation/purchase", "generation/submission", "generation/ledger", "generation/fallbacks"),
        *("generation/clip_request", "hooks/prepared", "hooks/task_store", "hooks/venice", "triggers/rate_limit"),
        "transport/limiter",
    ),
    "A submission in doubt": ("generation/doubts", "hooks/billing", "api/charges"),
    "Jobs, waits and private links": (
        *("api/model", "api/fields", "api/plain", "triggers/video", "triggers/events", "triggers/heartbeat"),
        *("generation/run", "generation/options", "hooks/failures", "hooks/private_links"),
    ),
    "Files": (
        *("storage/path_text", "storage/paths", "storage/errors", "storage/targets", "storage/reservations"),
        *("storage/video", "storage/partial", "generation/delivery", "generation/manifest"),
    ),
    "Clips that exist": ("generation/reuse", "generation/request_differences"),
    "Downloads, and whether a video is whole": ("transport/download", "api/mp4"),
    "Results": ("generation/clips", "generation/reports", "generation/outcomes", "generation/recovery"),
    "Airflow's UI": ("plugin/", "links", "observability/"),
    "The command line": ("cli/",),
}

#: Modules whose other texts are descriptions of options and fields: of these, the errors only.
_DESCRIPTIONS = ("__init__", "get_provider_info", "cli/definition", "hooks/form", "plugin/app")

_INTRODUCTION = """\
.. Made by ``python -m tests.mistakes`` from the source of the package; change that.

All messages
============

Each message of an error, and each warning and error of the log, as the source has it. To find one that you have got,
search this page for some of its words that are no name, number or path of yours. :doc:`messages` shows whole messages
of what goes wrong most often, :doc:`troubleshooting` begins with what you see.

What differs stands in angle brackets, ``<queue id>``, and may have quotes around it; what may be missing stands in
square ones, ``[s]``. A *part* is joined to another text of its section, such as what is wrong with a field to the name
of that field.

The second column has the class of the error; :doc:`errors` says what each means, whether it is charged, and what to do.
Where no retry helps, a task's log shows it as an ``AirflowFailException`` with the same text. A ``TypeError``,
``ValueError`` or ``OSError`` about an argument, a field or a path reaches a task as a ``VeniceRequestError`` or a
``VideoTargetUnavailable`` that names it.
"""

_TABLE = """\
.. list-table::
   :header-rows: 1
   :widths: 70 30

   * - Text
     - What it is"""


def render() -> str:
    """Return the page."""
    texts = read_texts()
    placed = {title: [text for text in texts if _is_of(text, modules)] for title, modules in SECTIONS.items()}
    missing = {text.module for text in texts if _counts(text)} - {text.module for text in chain(*placed.values())}
    if missing:
        raise LookupError(f"SECTIONS has no title for the texts of {sorted(missing)}")
    return "\n".join([_INTRODUCTION, *(_section(title, rows) for title, rows in placed.items())])


def _is_of(text: Text, modules: tuple[str, ...]) -> bool:
    is_named = any(text.module.startswith(name) if name.endswith("/") else text.module == name for name in modules)
    return is_named and _counts(text)


def _counts(text: Text) -> bool:
    return text.kind == "error" or text.module not in _DESCRIPTIONS


def _section(title: str, texts: list[Text]) -> str:
    order = {"error": 0, "part": 1, "log": 2}
    texts = sorted(texts, key=lambda text: order[text.kind])
    rows = dict.fromkeys(f"   * - ``{text.said}``\n     - {_kind(text)}" for text in texts)
    return "\n".join([title, "-" * len(title), "", _TABLE, *rows, ""])


def _kind(text: Text) -> str:
    if text.kind == "part":
        return "a part"
    if text.kind == "log":
        return f"the log, {text.by}"
    return " or ".join(", a ".join(map(_class, one.split())) for one in text.by.split(" or "))


def _class(name: str) -> str:
    return f":class:`~{exceptions.__name__}.{name}`" if hasattr(exceptions, name) else f"``{name}``"
