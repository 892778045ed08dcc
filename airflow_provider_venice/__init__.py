"""Apache Airflow provider for making video with the Venice.ai API."""

from __future__ import annotations

__version__ = "0.1.0"
