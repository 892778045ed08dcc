"""Waits in the triggerer: for the rate limit, until jobs have ended, and for the account's usage history."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.progress import Progress
from airflow_provider_venice.triggers.heartbeat import latest_event, wait_text
from airflow_provider_venice.version_compat import TaskDeferred

if TYPE_CHECKING:
    from airflow_provider_venice.triggers.rate_limit import Admission


def defer_until_completed(
    options: RunOptions,
    jobs: Sequence[VideoJob],
    deadline: float,
    progress: Progress,
    hand_over_after: float | None,
    log: Any,
) -> NoReturn:
    """
    Leave jobs to the triggerer; the task comes back by ``execute_complete``.

    :param deadline: epoch seconds at which the trigger gives up.
    :param progress: comes back with the event.
    :param hand_over_after: seconds after the first end at which the task comes back although others run.
    """
    from airflow_provider_venice.triggers.video import VeniceVideoTrigger

    trigger = VeniceVideoTrigger(
        # What was asked for, and of which models, is in the ledger; a trigger's row and event need not carry it.
        jobs=[dataclasses.replace(job, request=None, refused_models=None) for job in jobs],
        venice_conn_id=options.venice_conn_id,
        poll_interval=options.poll_interval,
        deadline=deadline,
        try_number=progress.try_number,
        hand_over_after=hand_over_after,
    )
    log.info(wait_text(str(jobs[0]) if len(jobs) == 1 else f"{len(jobs)} video jobs", deadline))
    raise TaskDeferred(
        trigger=trigger,
        method_name="execute_complete",
        kwargs={"progress": progress.to_dict()},
        timeout=latest_event(deadline),
    )


def defer_for_rate_limit(
    options: RunOptions, admission: Admission | None, refused_until: float | None, progress: Progress, log: Any
) -> NoReturn:
    """
    Leave the wait for the rate limit to the triggerer; the task comes back by ``execute_submission``.

    :param admission: the one before, where it has waited before.
    :param refused_until: epoch seconds until which Venice has refused submissions, where it has.
    :param progress: comes back with the event.
    """
    from airflow_provider_venice.triggers.rate_limit import Admission, VeniceRateLimitTrigger

    now = time.time()
    waited = admission or Admission(now, now + options.timeout)
    deadline = waited.deadline
    trigger = VeniceRateLimitTrigger(
        venice_conn_id=options.venice_conn_id,
        since=waited.since,
        deadline=deadline,
        refused_until=refused_until,
        missed=waited.missed,
    )
    log.info(wait_text("the rate limit to admit the submission; nothing was sent yet", deadline))
    raise TaskDeferred(
        trigger=trigger,
        method_name="execute_submission",
        kwargs={"progress": progress.to_dict()},
        timeout=latest_event(deadline),
    )


def defer_for_download(
    venice_conn_id: str, wait: Sequence[float], refused_for: float | None, kwargs: Mapping[str, Any], log: Any
) -> NoReturn:
    """
    Leave the wait of a download for the rate limit to the triggerer; the task comes back by ``execute_download``.

    :param wait: since when it waits, and until when it may, in epoch seconds.
    :param refused_for: seconds for which Venice refuses it.
    :param kwargs: come back with the event.
    """
    from airflow_provider_venice.triggers.rate_limit import VeniceRateLimitTrigger

    since, deadline = wait
    trigger = VeniceRateLimitTrigger(
        venice_conn_id=venice_conn_id,
        since=since,
        deadline=deadline,
        refused_until=time.time() + (refused_for or 0.0),
        budget="retrieve",
    )
    log.info(wait_text("the rate limit to admit the download", deadline))
    raise TaskDeferred(
        trigger=trigger, method_name="execute_download", kwargs=dict(kwargs), timeout=latest_event(deadline)
    )


def defer_for_usage_history(moment: float, kwargs: Mapping[str, Any], log: Any) -> NoReturn:
    """
    Leave the wait for the usage history to the triggerer; the task comes back by ``execute_doubt``.

    :param moment: epoch seconds from which the history is complete.
    :param kwargs: come back with the event.
    """
    from airflow_provider_venice.triggers.usage_history import VeniceUsageHistoryTrigger

    log.info(wait_text("the usage history of the account to show whether the submission in doubt was charged", moment))
    raise TaskDeferred(
        trigger=VeniceUsageHistoryTrigger(moment=moment),
        method_name="execute_doubt",
        kwargs=dict(kwargs),
        timeout=latest_event(moment),
    )
