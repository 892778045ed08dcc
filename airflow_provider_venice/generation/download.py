"""From a finished clip that another task has bought to a file in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError, VeniceRateLimitError
from airflow_provider_venice.generation.delivery import (
    Delivery,
    DownloadWait,
    add_asset_events,
    describe_stored,
    job_entry,
    owner_of,
    read_cost,
)
from airflow_provider_venice.generation.ledger import Ledger
from airflow_provider_venice.generation.outcomes import describe_outcome, show_outcomes
from airflow_provider_venice.generation.reuse import find_clip, of_job
from airflow_provider_venice.xcoms import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook


def deliver(
    job: VideoJob | Mapping[str, Any],
    delivery: Delivery,
    hook: VeniceHook,
    context: Context,
    *,
    log: Any,
    outlets: Iterable[Any],
    patience: DownloadWait,
    wait_for_rate_limit: Callable[[VeniceRateLimitError], None],
) -> dict[str, Any]:
    """
    Bring home a finished clip that another task has bought.

    :param job: the job, or its dictionary.
    :param delivery: what becomes of it.
    :param patience: how long to wait for the rate limit here.
    :param wait_for_rate_limit: leaves a longer wait to the triggerer; returns where nobody may wait.
    :return: see :func:`describe_stored`.
    :raises VeniceRateLimitError: when the rate limit asks for a longer wait.
    :raises VeniceError: when no whole file could be stored.
    """
    from airflow_provider_venice.hooks.billing import CostReader
    from airflow_provider_venice.hooks.failures import log_recovery_hint
    from airflow_provider_venice.hooks.private_links import decrypt_link

    finished = decrypt_link(job)
    owner, ledger = owner_of(context, None), Ledger(context)

    def show(*, is_first: bool = False, **fate: Any) -> None:
        show_outcomes(context, [describe_outcome(finished, **fate)], log, is_first=is_first)

    try:
        (target,) = delivery.targets(1, is_list=False, map_index=owner.map_index)
    except VeniceError as error:
        show(error=error)
        raise
    show(is_first=True)
    try:
        with log_recovery_hint(finished, log):
            try:
                # What an earlier try of this task has stored may have no manifest yet.
                is_new = delivery.existing == "reuse" and ledger.delivery(finished) is None
                found = find_clip(target, owner, of_job(finished)) if is_new else None
                stored = found.stored if found else delivery.store(hook, finished, target, owner, ledger, log, patience)
            except VeniceRateLimitError as error:
                wait_for_rate_limit(error)
                raise
    except Exception as error:
        delivery.release(target, owner)
        show(error=error)
        raise
    # Invariant: what is deleted at Venice is stored, checked, and shown as stored. A crash right here leaves a file,
    # and a clip at Venice that the next try deletes.
    is_reused = found is not None
    context["ti"].xcom_push(key=JOB_KEY, value=job_entry(finished, stored, None, is_reused=is_reused))
    try:
        if found is None:
            cost = read_cost(CostReader(hook, log), finished)
            record = delivery.record(context, finished, stored, target, owner, log, cost=cost)
        else:
            log.info("%s is stored already, whole, by another task: %s", finished, stored.path)
            record = found.record(finished.labels)
    except VeniceError as error:
        show(stored=stored, error=error)
        raise
    show(stored=stored, stored_at=record["stored_at"], is_reused=is_reused)
    delivery.clean_up(hook, finished, log)
    add_asset_events(context, outlets, record)
    return describe_stored(stored, finished, is_reused=is_reused)
