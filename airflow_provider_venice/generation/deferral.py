"""Waits in the triggerer: until a submission is admitted, and until jobs have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NoReturn

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.generation.terms import Terms


def defer_until_completed(terms: Terms, jobs: Sequence[VideoJob], deadline: float, try_number: int | None) -> NoReturn:
    """
    Leave jobs to the triggerer; the task comes back by ``execute_complete`` when all have ended.

    :param deadline: epoch seconds at which the trigger gives up.
    :param try_number: the try that waits.
    """
    from airflow_provider_venice.triggers.video import VeniceVideoTrigger

    trigger = VeniceVideoTrigger(
        jobs=jobs,
        venice_conn_id=terms.venice_conn_id,
        poll_interval=terms.poll_interval,
        deadline=deadline,
        try_number=try_number,
    )
    raise TaskDeferred(trigger=trigger, method_name="execute_complete")


def defer_for_rate_limit(terms: Terms, admission: tuple[float, float] | None, refused_until: float | None) -> NoReturn:
    """
    Leave the wait for the rate limit to the triggerer; the task comes back by ``execute_in_turn``.

    :param admission: where it has waited before: since when, and until when it may, in epoch seconds.
    :param refused_until: epoch seconds until which Venice has refused submissions, where it has.
    """
    from airflow_provider_venice.triggers.rate_limit import VeniceRateLimitTrigger

    now = time.time()
    since, deadline = admission or (now, now + terms.timeout)
    trigger = VeniceRateLimitTrigger(
        venice_conn_id=terms.venice_conn_id, since=since, deadline=deadline, refused_until=refused_until
    )
    raise TaskDeferred(trigger=trigger, method_name="execute_in_turn")
