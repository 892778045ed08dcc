"""What the commands have in common that start an Airflow: ``make demo`` and ``make cluster``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable


def run_command(description: str | None, run: Callable[[bool], None], errors: tuple[type[Exception], ...]) -> int:
    """
    Run a command, and return its exit code.

    :param description: what it does, for ``--help``.
    :param run: does it; whether it is to be left running until Ctrl-C is its argument.
    :param errors: what it raises for people; only the message is printed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--keep", action="store_true", help="leave Airflow running until Ctrl-C")
    keep = parser.parse_args().keep
    # A closed terminal and a plain kill end it as Ctrl-C does, so that nothing is left behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        run(keep)
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0 if keep else 130
    except errors as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0
