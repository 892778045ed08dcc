"""``python -m airflow_provider_venice``: the commands of ``airflow venice``, on every version of Airflow."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from airflow.cli.cli_config import DefaultHelpParser

from airflow_provider_venice.cli.definition import HELP, VENICE_COMMANDS


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = DefaultHelpParser(prog="python -m airflow_provider_venice", description=HELP)
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in sorted(VENICE_COMMANDS, key=lambda command: command.name):
        described = command.description or command.help
        subparser = commands.add_parser(command.name, help=command.help, description=described, epilog=command.epilog)
        for argument in command.args:
            argument.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command."""
    args = get_parser().parse_args(argv)
    if hasattr(args, "output"):
        with contextlib.suppress(ImportError):  # Airflow before 3.3
            from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

            redirect_stdout_log_handlers_to_stderr()
    args.func(args)


if __name__ == "__main__":
    main()
