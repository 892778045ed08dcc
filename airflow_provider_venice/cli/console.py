"""How a command runs: errors as one line on stderr, rows in the formats of Airflow's own commands."""

from __future__ import annotations

import functools
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from airflow.cli.simple_table import AirflowConsole
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_venice.api.money import dollars
from airflow_provider_venice.exceptions import VeniceError

Command = Callable[[Namespace], None]


def command(function: Command) -> Command:
    """
    Run a command as Airflow runs its own; end with 1 and one line on stderr where it fails.

    :param function: the command.
    """

    @suppress_logs_and_warning
    @providers_configuration_loaded
    @functools.wraps(function)
    def run(args: Namespace) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        # As Airflow's own `connections get` does: without it, connections of the database are not found.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            function(args)
        except VeniceError as error:
            raise fail(str(error)) from None
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            raise fail(f"Airflow's database cannot be read ({type(reason).__name__}): {reason}") from None

    return run


def fail(message: str) -> SystemExit:
    """
    Return what ends the process with 1, and a message as one line on stderr.

    :param message: of any number of lines.
    """
    return SystemExit(f"airflow venice: {' '.join(message.split())}")


def show(rows: Sequence[dict[str, Any]], args: Namespace) -> None:
    """
    Print rows in the format that ``--output`` names.

    :param rows: with the same keys.
    """
    if args.output == "plain":  # as Airflow does it in a table
        rows = [
            {name: ",".join(cell) if isinstance(cell, (list, tuple)) else cell for name, cell in row.items()}
            for row in rows
        ]
    AirflowConsole().print_as(list(rows), args.output)


def usd(amount: Decimal | float | None) -> str | None:
    """
    Return an amount such as ``0.35``, with two digits after the point, and more where it has them.

    :param amount: US dollars.
    """
    return None if amount is None else dollars(amount).replace("$", "")
