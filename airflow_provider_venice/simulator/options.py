"""The options of the simulator's command lines. Light to import: every command of Airflow's loads them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_args

from airflow_provider_venice.simulator.settings import Edition, Resets, Settings, UsageIds, WindowKind


def _money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of US dollars") from None


#: What ``ArgumentParser.add_argument`` takes, by the option.
OPTIONS: dict[str, Mapping[str, Any]] = {
    "--host": {"default": "127.0.0.1", "help": "address to listen on (default: %(default)s)"},
    "--port": {"type": int, "default": 0, "help": "port to listen on; 0 takes a free one (default)"},
    "--speed": {"type": float, "default": 1.0, "help": "run the whole vendor this many times faster (default: 1)"},
    "--seed": {"type": int, "default": 0, "help": "seed of the job times (default: 0)"},
    "--api-key": {"default": "simulator-key", "help": "the key that is accepted (default: %(default)s)"},
    "--admin-key": {"default": "simulator-admin-key", "help": "the ADMIN key of the account (default: %(default)s)"},
    "--key-limit": {"type": _money, "metavar": "USD", "help": "spending limit of the API key (default: none)"},
    "--balance": {"type": _money, "default": Decimal(100), "help": "US dollars on the account (default: 100)"},
    "--no-limits": {"action": "store_true", "help": "neither rate limits nor the failure block"},
    "--media": {
        "choices": ("each", "shared"),
        "default": "each",
        "help": "draw every clip, or share one encoding",
    },
    "--padding": {
        "type": int,
        "default": Settings.padding,
        "metavar": "BYTES",
        "help": "grow every clip to this size",
    },
    "--median": {"type": float, "default": 120.0, "metavar": "SECONDS", "help": "median job time (default: 120)"},
    "--job-seconds": {
        "type": float,
        "metavar": "SECONDS",
        "help": "a fixed job time in place of the distribution",
    },
    "--fps": {"type": int, "default": 24, "help": "frames per second (default: 24)"},
    "--window": {
        "choices": get_args(WindowKind),
        "default": "fixed",
        "help": "how the rate limits count (default: fixed)",
    },
    "--resets": {
        "choices": get_args(Resets),
        "default": Settings.resets,
        "help": "how the rate-limit reset header is written (default: %(default)s)",
    },
    "--usage-delay": {
        "type": float,
        "default": 0.0,
        "metavar": "SECONDS",
        "help": "when a charge appears in the ledger",
    },
    "--usage-ids": {
        "choices": get_args(UsageIds),
        "default": "queue_id",
        "help": "what the ledger's requestId is",
    },
    "--usage-sku": {
        "default": Settings.usage_sku,
        "metavar": "NAME",
        "help": "a video's product in the ledger; {model} stands for the model's id (default: %(default)s)",
    },
    "--edition": {
        "choices": get_args(Edition),
        "default": Settings.edition,
        "help": "the vendor's documents that count",
    },
    "--https": {"action": "store_true", "help": "serve https with a certificate made at start"},
    "--ca-file": {
        "type": Path,
        "metavar": "FILE",
        "help": "write what clients have to trust here; implies --https",
    },
    "--journal": {"type": Path, "metavar": "FILE", "help": "write one line of JSON per request"},
    "--port-file": {"type": Path, "metavar": "FILE", "help": "write the port here once listening"},
}
