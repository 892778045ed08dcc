"""What the XCom ``venice_results`` has of a clip: the one place that makes its entries, for all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceAPIError, VideoGenerationError
from airflow_provider_venice.links import push_link
from airflow_provider_venice.xcoms import RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.storage import StoredVideo

#: What Venice says of a failure beside its message.
REASONS = ("error_type", "error_code", "suggested_prompt", "recommended_model")


def describe_outcome(
    job: VideoJob | None,
    *,
    error: BaseException | None = None,
    status: str | None = None,
    stored: StoredVideo | None = None,
    stored_at: str | None = None,
    request: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    cost: float | None = None,
    reasons: Mapping[str, Any] | None = None,
    venice_conn_id: str | None = None,
    usage_history: Mapping[str, Any] | None = None,
    is_reused: bool = False,
    refused_models: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Return the entry of a clip, as plain JSON: what has become of it so far.

    It is for people, and for tasks that continue with what is stored. What a retry needs is elsewhere.

    :param job: what was bought, if anything was.
    :param error: why there is no video, no file, or no manifest.
    :param status: in place of the one that follows from the other arguments.
    :param stored: its file.
    :param stored_at: when it was stored, as ISO 8601 text.
    :param request: what was asked for, media by name or size only, where there is no job to say it.
    :param labels: those of the request, where there is no job.
    :param cost: its price in US dollars, where there is no job.
    :param reasons: what Venice has said of the failure to an earlier try, see :func:`describe_reasons`.
    :param venice_conn_id: the connection of a submission in doubt, for whoever asks its account's usage history.
    :param usage_history: what the account's usage history says of a doubt, where it was asked.
    :param is_reused: whether it was there already: then its ``estimated_cost`` is 0, and that of its job stays.
    :param refused_models: which models have refused the clip, and why, where there is no job.
    """
    if job is not None:
        request, labels = job.request or request, job.labels or labels
        cost = job.estimated_cost if job.estimated_cost is not None else cost
        refused_models = job.refused_models
    entry: dict[str, Any] = {
        "status": status or _status(job, error, stored),
        "job": None if job is None else _job(job, error),
        "request": None if request is None else dict(request),
        "labels": dict(labels or {}),
        "estimated_cost": cost,
        "error": None if error is None else str(error),
    }
    if refused_models:
        entry["refused_models"] = dict(refused_models)
    if stored is not None:
        reused = {"estimated_cost": 0.0, "reused": True} if is_reused else {}
        return {**entry, **stored.to_dict(), "stored_at": stored_at, **reused}
    if usage_history is not None:
        entry["usage_history"] = dict(usage_history)
    if isinstance(error, VeniceAmbiguousSubmission):
        return {**entry, "sent_at": error.sent_at, "venice_conn_id": venice_conn_id}
    said = describe_reasons(error) or reasons
    return {**entry, **said} if said else entry


def describe_reasons(error: BaseException | None) -> dict[str, Any] | None:
    """
    Return what Venice has said of a failure beside its message; ``None`` for any other failure.

    :param error: the failure.
    """
    if not isinstance(error, VeniceAPIError):
        return None
    return {**{name: getattr(error, name) for name in REASONS}, "refunded": error.credits_refunded}


def push_outcomes(context: Context, entries: Sequence[Mapping[str, Any]], *, is_first: bool) -> None:
    """
    Push the entries of all clips of a task.

    :param context: the task's context.
    :param entries: see :func:`describe_outcome`.
    :param is_first: whether this process has pushed none before; then the link to their page is pushed as well.
    """
    context["ti"].xcom_push(key=RESULTS_KEY, value=list(entries))
    if is_first:
        push_link(context)


def show_outcomes(context: Context, entries: Sequence[Mapping[str, Any]], log: Any, *, is_first: bool = False) -> None:
    """
    Do what :func:`push_outcomes` does; a failure is logged: the entries are for people, and clips may be paid.

    :param log: the task's log.
    """
    try:
        push_outcomes(context, entries, is_first=is_first)
    except Exception:
        log.warning("The XCom %s could not be pushed; the task continues", RESULTS_KEY, exc_info=True)


def _status(job: VideoJob | None, error: BaseException | None, stored: StoredVideo | None) -> str:
    if stored is not None:
        return "stored"  # its manifest may be missing
    if error is not None:
        return "doubt" if isinstance(error, VeniceAmbiguousSubmission) else "failed"
    return "missing" if job is None else job.status


def _job(job: VideoJob, error: BaseException | None) -> dict[str, Any]:
    from airflow_provider_venice.hooks.private_links import with_encrypted_link

    # As a dictionary it has no readable link, also where there is no key to encrypt it with.
    shown = dict(with_encrypted_link(job))
    return {**shown, "status": "failed"} if isinstance(error, VideoGenerationError) else shown
