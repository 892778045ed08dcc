"""The Venice API on loopback, for demos, tests and dry runs. Light to import: media libraries come later."""

from __future__ import annotations

from airflow_provider_venice.simulator.faults import Fault
from airflow_provider_venice.simulator.journal import Journal, JournalEntry
from airflow_provider_venice.simulator.server import VeniceSimulator

__all__ = ["Fault", "Journal", "JournalEntry", "VeniceSimulator"]
