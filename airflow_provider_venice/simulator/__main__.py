"""``python -m airflow_provider_venice.simulator``: prints the base URL and serves until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

from airflow_provider_venice.simulator.options import OPTIONS
from airflow_provider_venice.simulator.server import base_url, serve
from airflow_provider_venice.simulator.settings import Settings
from airflow_provider_venice.simulator.tls import Authority
from airflow_provider_venice.simulator.vendor import Vendor

log = logging.getLogger("airflow_provider_venice.simulator")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; return the process's exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        settings = settings_of(given)
    except ValueError as error:
        parser.error(str(error))
    return run(settings, given, show=lambda url: url)


def settings_of(given: argparse.Namespace) -> Settings:
    """
    Return what the options say of the vendor.

    :raises ValueError: when one has a value that it does not take.
    """
    named = {field.name: getattr(given, field.name) for field in fields(Settings) if field.name != "limits"}
    return Settings(limits=not given.no_limits, **named)


def run(settings: Settings, given: argparse.Namespace, show: Callable[[str], str]) -> int:
    """
    Serve until SIGINT or SIGTERM; return the process's exit code.

    :param given: the options.
    :param show: returns the line to print once it listens, for a base URL.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        authority = Authority(given.host) if given.https or given.ca_file else None
        if authority is not None and given.ca_file is not None:
            given.ca_file.write_bytes(authority.certificate)
        asyncio.run(_serve(Vendor(settings, given.journal), given, authority, show))
    except (ModuleNotFoundError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


async def _serve(
    vendor: Vendor, given: argparse.Namespace, authority: Authority | None, show: Callable[[str], str]
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))

    def ready(bound: int) -> None:
        if given.port_file is not None:
            # Renamed into place, so that whoever waits for the file never reads half a number.
            draft = given.port_file.with_name(f"{given.port_file.name}.part")
            draft.write_text(f"{bound}\n", encoding="utf-8")
            draft.replace(given.port_file)
        print(show(base_url(given.host, bound, https=authority is not None)), flush=True)
        log.info("the Venice simulator listens at %s times real speed", f"{vendor.settings.speed:g}")

    await serve(vendor, given.host, given.port, ready=ready, stop=stop, authority=authority)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_venice.simulator", description="The Venice API on loopback."
    )
    for option, arguments in OPTIONS.items():
        parser.add_argument(option, **arguments)
    return parser


if __name__ == "__main__":
    sys.exit(main())
