"""The commands and their options. Light to import: every ``airflow`` command loads this, and runs nothing of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, ARG_VERBOSE, ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_venice.simulator.options import OPTIONS

HELP = "Video with the Venice.ai API"

_EXIT_CODES = "exit code: 0 done, 1 an error, in one line on stderr, 2 wrong usage"

#: The exit code of ``doubts --exit-code`` where there are some.
HAS_DOUBTS = 3


def _requests(text: str) -> list[dict[str, Any]]:
    """Return the requests that ``--request`` has: JSON, or that of a file that is named after an ``@``."""
    try:
        given = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        value = json.loads(given)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is neither JSON nor @ and a file of it: {error}") from None
    requests = value if isinstance(value, list) else [value]
    if not requests or not all(isinstance(request, dict) for request in requests):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no request; give an object, or a list of them")
    return requests


ARG_CONN_ID = Arg(("--conn-id",), default="venice_default", help="The connection (default: %(default)s)")
ARG_DAG_ID = Arg(("-d", "--dag-id"), required=True, help="The DAG")
ARG_ONE_DAG_ID = Arg(("-d", "--dag-id"), help="Only this DAG (default: all)")
ARG_RUN_ID = Arg(("-r", "--run-id"), required=True, help="The DAG run")
ARG_TASK_ID = Arg(("-t", "--task-id"), help="Only this task (default: all)")
ARG_TYPE = Arg(("--type",), choices=("text-to-video", "image-to-video", "video"), help="Only models of this type")
ARG_SINCE = Arg(("--since",), metavar="DAY", help="The first day in UTC, such as 2026-11-28 (default: six days ago)")
ARG_UNTIL = Arg(("--until",), metavar="DAY", help="The last day in UTC (default: today)")
ARG_REQUEST = Arg(
    ("--request",),
    type=_requests,
    default=[{}],
    metavar="JSON|@FILE",
    help="Fields of a request, or a list of requests",
)
ARGS_REQUEST = (
    Arg(("--model",), help="The model"),
    Arg(("--duration",), help="Such as 5 or 5s"),
    Arg(("--resolution",), help="Such as 720p"),
    Arg(("--aspect-ratio",), help="Such as 16:9"),
    Arg(("--audio",), action=argparse.BooleanOptionalAction, help="Whether the clip gets a sound track"),
)
ARG_EXIT_CODE = Arg(("--exit-code",), action="store_true", help=f"Exit with {HAS_DOUBTS} where there are doubts")
ARG_CHARGES = Arg(
    ("--charges",),
    action="store_true",
    help="Add what each was charged and given back, from the usage history: the connection's admin_conn_id is needed",
)
ARG_OUTPUT_DIR = Arg(
    ("output_dir",), help="Where the clips go, as <queue id>.mp4: an absolute path, or the URL of an object storage"
)
ARGS_SIMULATOR = tuple(Arg((option,), **arguments) for option, arguments in OPTIONS.items())

#: What each command that prints rows takes.
_ROWS = (ARG_OUTPUT, ARG_VERBOSE)


def _command(name: str, summary: str, args: tuple[Arg, ...], description: str | None = None) -> ActionCommand:
    function = lazy_load_command(f"airflow_provider_venice.cli.commands.{name}")
    return ActionCommand(name, summary, function, args, description, _EXIT_CODES)


VENICE_COMMANDS = (
    _command(
        "models",
        "List the video models, and what each accepts",
        (ARG_CONN_ID, ARG_TYPE, *_ROWS),
        "List the video models, with what each accepts and the end of those that have one announced",
    ),
    _command(
        "quote",
        "Price clips; nothing is bought",
        (ARG_CONN_ID, *ARGS_REQUEST, ARG_REQUEST, *_ROWS),
        "Price a clip, or each of a list, in US dollars; nothing is bought. An option goes before the field of "
        "--request",
    ),
    _command("balance", "Show the account's balance and tier", (ARG_CONN_ID, *_ROWS)),
    _command(
        "spend",
        "Show what the account has spent, by day, model and key",
        (ARG_CONN_ID, ARG_SINCE, ARG_UNTIL, *_ROWS),
        "Show what the account has spent in US dollars, by day, model and key, as Venice sums it up every 10 minutes",
    ),
    _command(
        "jobs",
        "List the clips of a DAG run",
        (ARG_DAG_ID, ARG_RUN_ID, ARG_TASK_ID, ARG_CHARGES, ARG_CONN_ID, *_ROWS),
        "List the clips of a DAG run with state, price, file and Venice's queue id, from Airflow's database",
    ),
    _command(
        "doubts",
        "List submissions that may have been charged",
        (ARG_ONE_DAG_ID, ARG_EXIT_CODE, *_ROWS),
        "List the submissions that may have been accepted and charged, and that nobody has resolved, from Airflow's "
        "database. Where the task's connection names an admin_conn_id, the account's usage history is asked about each",
    ),
    _command(
        "recover",
        "Download paid clips of a DAG run that no task has stored",
        (ARG_OUTPUT_DIR, ARG_CONN_ID, ARG_DAG_ID, ARG_RUN_ID, *_ROWS),
        "Download the paid clips of a DAG run that no task has stored. Nothing is bought, and nothing is deleted at "
        "Venice",
    ),
    _command(
        "simulate",
        "Run the Venice API on loopback",
        ARGS_SIMULATOR,
        "Run a simulator of the Venice API on loopback until Ctrl-C; print the connection that leads to it",
    ),
)


def get_venice_cli_commands() -> list[GroupCommand]:
    """Return the commands; called by Airflow 3.2 and later, through provider info."""
    return [GroupCommand("venice", HELP, VENICE_COMMANDS)]
