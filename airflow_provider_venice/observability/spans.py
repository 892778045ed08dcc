"""Adds spans to that of the running task, where Airflow's tracing is on (Airflow 3.2 and later)."""

from __future__ import annotations

from collections.abc import Mapping


def record_span(name: str, begun_at: float, ended_at: float, attributes: Mapping[str, str]) -> None:
    """
    Record what has ended, as a child of the running task's span; nothing where that is not recorded.

    It is made when all is over, not opened and closed around it: a tracer that fails must not come between the answer
    to a submission and the note of the job.

    :param name: what was done.
    :param begun_at: epoch seconds.
    :param ended_at: epoch seconds.
    :param attributes: those of the span.
    """
    from opentelemetry import trace

    # Up to Airflow 3.1, a task's process has no span and no exporter.
    if trace.get_current_span().is_recording():
        span = trace.get_tracer(__name__).start_span(name, attributes=attributes, start_time=_nanoseconds(begun_at))
        span.end(end_time=_nanoseconds(max(begun_at, ended_at)))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
