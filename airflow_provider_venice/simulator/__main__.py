"""``python -m airflow_provider_venice.simulator``: prints the base URL and serves until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import get_args

from airflow_provider_venice.simulator.server import base_url, serve
from airflow_provider_venice.simulator.settings import Edition, Resets, Settings, UsageIds, WindowKind
from airflow_provider_venice.simulator.tls import Authority
from airflow_provider_venice.simulator.vendor import Vendor

log = logging.getLogger("airflow_provider_venice.simulator")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; return the process's exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        named = {field.name: getattr(given, field.name) for field in fields(Settings) if field.name != "limits"}
        settings = Settings(limits=not given.no_limits, **named)
    except ValueError as error:
        parser.error(str(error))
    try:
        authority = Authority(given.host) if given.https or given.ca_file else None
        if authority is not None and given.ca_file is not None:
            given.ca_file.write_bytes(authority.certificate)
        asyncio.run(_serve(Vendor(settings, given.journal), given.host, given.port, given.port_file, authority))
    except (ModuleNotFoundError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


async def _serve(vendor: Vendor, host: str, port: int, port_file: Path | None, authority: Authority | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))

    def ready(bound: int) -> None:
        if port_file is not None:
            # Renamed into place, so that whoever waits for the file never reads half a number.
            draft = port_file.with_name(f"{port_file.name}.part")
            draft.write_text(f"{bound}\n", encoding="utf-8")
            draft.replace(port_file)
        print(base_url(host, bound, https=authority is not None), flush=True)
        log.info("the Venice simulator listens at %s times real speed", f"{vendor.settings.speed:g}")

    await serve(vendor, host, port, ready=ready, stop=stop, authority=authority)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_venice.simulator", description="The Venice API on loopback."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    add("--speed", type=float, default=1.0, help="run the whole vendor this many times faster (default: 1)")
    add("--seed", type=int, default=0, help="seed of the job times (default: 0)")
    add("--api-key", default="simulator-key", help="the key that is accepted (default: %(default)s)")
    add("--admin-key", default="simulator-admin-key", help="the ADMIN key of the account (default: %(default)s)")
    add("--balance", type=_money, default=Decimal(100), help="US dollars on the account (default: 100)")
    add("--no-limits", action="store_true", help="neither rate limits nor the failure block")
    add("--media", choices=("each", "shared"), default="each", help="draw every clip, or share one encoding")
    add("--padding", type=int, default=Settings.padding, metavar="BYTES", help="grow every clip to this size")
    add("--median", type=float, default=120.0, metavar="SECONDS", help="median job time (default: 120)")
    add("--job-seconds", type=float, metavar="SECONDS", help="a fixed job time in place of the distribution")
    add("--fps", type=int, default=24, help="frames per second (default: 24)")
    add("--window", choices=get_args(WindowKind), default="fixed", help="how the rate limits count (default: fixed)")
    add(
        "--resets",
        choices=get_args(Resets),
        default=Settings.resets,
        help="how the rate-limit reset header is written (default: %(default)s)",
    )
    add("--usage-delay", type=float, default=0.0, metavar="SECONDS", help="when a charge appears in the ledger")
    add("--usage-ids", choices=get_args(UsageIds), default="queue_id", help="what the ledger's requestId is")
    add(
        "--usage-sku",
        default=Settings.usage_sku,
        metavar="NAME",
        help="a video's product in the ledger; {model} stands for the model's id (default: %(default)s)",
    )
    add(
        "--edition",
        choices=get_args(Edition),
        default=Settings.edition,
        help="the vendor's documents that count",
    )
    add("--https", action="store_true", help="serve https with a certificate made at start")
    add("--ca-file", type=Path, metavar="FILE", help="write what clients have to trust here; implies --https")
    add("--journal", type=Path, metavar="FILE", help="write one line of JSON per request")
    add("--port-file", type=Path, metavar="FILE", help="write the port here once listening")
    return parser


def _money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of US dollars") from None


if __name__ == "__main__":
    sys.exit(main())
