"""The Venice API on loopback, for demos, tests and dry runs. Light to import: what serves it comes at its first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_venice.simulator.faults import Fault
    from airflow_provider_venice.simulator.journal import Journal, JournalEntry
    from airflow_provider_venice.simulator.server import VeniceSimulator

__all__ = ["Fault", "Journal", "JournalEntry", "VeniceSimulator"]

#: Where each name is; Airflow's command line needs the options alone.
_MODULES = {"Fault": "faults", "Journal": "journal", "JournalEntry": "journal", "VeniceSimulator": "server"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
