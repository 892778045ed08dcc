"""
Asking the account's usage history about submissions in doubt, where the connection names an admin connection.

In this order:

1. The doubts are reported, as without an admin connection; the jobs that run are waited for, and what has finished is
   stored.
2. ``Doubts.settle`` waits, in the triggerer, until the history has a charge if there is one.
3. It reads the history, and stores what it says of each doubt with its intent.
4. The run begins again. Each doubt that was not charged is bought anew where ``on_ambiguous="check"``; any other fails
   the task, with the answer in its message.

A crash anywhere leaves the doubt, with or without its answer, and nothing was sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_venice.api.billing import KnownPurchase, utc
from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceAmbiguousSubmission, VeniceRequestError
from airflow_provider_venice.generation.clips import Clip
from airflow_provider_venice.generation.deferral import defer_for_usage_history
from airflow_provider_venice.generation.ledger import Entry
from airflow_provider_venice.generation.options import RunOptions
from airflow_provider_venice.generation.progress import Progress
from airflow_provider_venice.xcoms import JOB_KEY, RESULTS_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_venice.hooks.venice import VeniceHook


def require_admin_connection(options: RunOptions, hook: VeniceHook) -> None:
    """
    Refuse ``on_ambiguous="check"`` where nothing could be checked, before anything is bought.

    :raises VeniceRequestError: when the connection names no admin connection.
    """
    if options.on_ambiguous == "check" and hook.get_conn().settings.admin_conn_id is None:
        raise VeniceRequestError(
            "on_ambiguous='check' reads the account's usage history, which takes an ADMIN key: the extra of the "
            f"connection {options.venice_conn_id!r} has no admin_conn_id. Add a second Venice connection with an ADMIN "
            "key and set its id there, or leave on_ambiguous out",
            fields={"on_ambiguous": "needs admin_conn_id in the connection's extra"},
        )


class Doubts:
    """
    The submissions in doubt of a run.

    :param clips: all clips of the task.
    :param options: what the task's arguments say.
    :param hook: talks to Venice.
    :param context: the task's context.
    :param progress: what the try takes along through its waits.
    :param log: the task's log.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        options: RunOptions,
        hook: VeniceHook,
        context: Context,
        progress: Progress,
        log: Any,
    ) -> None:
        self._clips = clips
        self._options = options
        self._hook = hook
        self._context = context
        self._progress = progress
        self._log = log

    def settle(self, event: Mapping[str, Any] | None) -> bool:
        """
        Ask the usage history about each doubt that has no answer; whether there are answers now.

        Of each clip one doubt is asked about in a try: where its next submission is in doubt as well, that is for the
        next try.

        :param event: comes back with the trigger's: that of the jobs which the task has waited for.
        :raises TaskDeferred: to wait until the history is complete.
        """
        open_ = [(clip, entry) for clip in self._clips if (entry := self._open_doubt(clip)) is not None]
        if not open_ or self._options.on_ambiguous == "resubmit":
            return False
        if self._hook.get_conn().settings.admin_conn_id is None:
            return False
        due = max(self._complete_at(entry) for _, entry in open_)
        if time.time() < due and not self._wait(due, event):
            return False
        known, count = self._known_purchases(), self._count_doubts()
        for clip, entry in open_:
            self._ask(clip, entry, known, count.get(entry.model, 1))
        return True

    def _open_doubt(self, clip: Clip) -> Entry | None:
        """Return the intent of a clip that is in doubt, if it is to be asked about."""
        entry = clip.submission.entry
        if not isinstance(clip.error, VeniceAmbiguousSubmission) or entry is None or not entry.is_doubt:
            return None
        return entry if entry.finding is None and clip.position not in self._progress.checked else None

    def _ended_at(self, entry: Entry) -> float:
        """Return when a submission had ended on our side, at the latest, in epoch seconds."""
        # The try that was lost may have waited for the rate limit, again and again, before it sent anything.
        longest = entry.sent_at + self._hook.get_conn().settings.longest_submission
        return longest if entry.ended_at is None else entry.ended_at

    def _complete_at(self, entry: Entry) -> float:
        """Return from when on the history has the charge, if there is one, in epoch seconds."""
        return self._ended_at(entry) + self._hook.get_conn().settings.billing_delay

    def _wait(self, due: float, event: Mapping[str, Any] | None) -> bool:
        """Wait until the history is complete; ``False`` where that is not worth a worker's time."""
        if self._options.deferrable:
            defer_for_usage_history(due, {"progress": self._progress.to_dict(), "completed": event}, self._log)
        if self._options.on_ambiguous != "check":
            self._log.info(
                "The usage history of the account has the charge, if there is one, from %s on. That is not waited for "
                "in a worker (deferrable=False)",
                utc(due),
            )
            return False
        self._log.info("Waiting until %s for the usage history of the account", utc(due))
        time.sleep(max(0.0, due - time.time()))
        return True

    def _ask(self, clip: Clip, entry: Entry, known: Sequence[KnownPurchase], count: int) -> None:
        from airflow_provider_venice.hooks.billing import check_doubt

        finding = check_doubt(
            self._hook,
            model=entry.model,
            sent_at=entry.sent_at,
            ended_at=self._ended_at(entry),
            cost=None if entry.cost is None else Decimal(entry.cost),
            known=known,
            doubts=count,
        )
        self._log.info("%s, in doubt since %s: %s (%s)", clip.wanted, entry.sent, finding.answer, finding.reason)
        clip.submission.note_finding(finding)
        self._progress.checked.append(clip.position)

    def _known_purchases(self) -> list[KnownPurchase]:
        """Return what is known to be bought: by this task, from its ledger, and by others of the run, from XComs."""
        entries = [clip.submission.entry for clip in self._clips]
        own = [_purchase(entry.job, is_own=True) for entry in entries if entry is not None and entry.job is not None]
        jobs = [job for value in self._pull(JOB_KEY) for job in (value if isinstance(value, list) else [value])]
        # Another task may use another account, so that its purchases explain only what has their ids.
        others = [_purchase(job, is_own=False) for job in jobs if isinstance(job, Mapping)]
        return [purchase for purchase in (*own, *others) if purchase is not None]

    def _count_doubts(self) -> dict[str, int]:
        """Return how many submissions to each model are in doubt, as far as the tasks of the run have reported."""
        counts: dict[str, int] = {}
        for clip in self._clips:
            if clip.is_doubtful and clip.submission.entry is not None:
                model = clip.submission.entry.model
                counts[model] = counts.get(model, 0) + 1
        reported: dict[str, int] = {}
        for outcomes in self._pull(RESULTS_KEY):
            for outcome in outcomes if isinstance(outcomes, list) else []:
                if isinstance(outcome, Mapping) and outcome.get("status") == "doubt":
                    model = str((outcome.get("request") or {}).get("model"))
                    reported[model] = reported.get(model, 0) + 1
        # This task has reported its own as well.
        return {model: max(count, reported.get(model, 0)) for model, count in counts.items()}

    def _pull(self, key: str) -> list[Any]:
        """Return the XComs of that key of all tasks of the run; none where they cannot be read: that only says less."""
        try:
            values = self._context["ti"].xcom_pull(key=key, task_ids=sorted(self._context["dag"].task_ids))
        except Exception:
            self._log.warning("The XComs %s of the run could not be read; the task continues", key, exc_info=True)
            return []
        return list(values or [])


def _purchase(job: Mapping[str, Any], *, is_own: bool) -> KnownPurchase | None:
    """Return what is known of the purchase of a job; ``None`` for what is no job."""
    try:
        bought = VideoJob.of(job)
    except VeniceRequestError:
        return None
    cost = None if bought.estimated_cost is None else Decimal(str(bought.estimated_cost))
    return KnownPurchase(bought.queue_id, bought.model, bought.queued_at, cost, is_own=is_own)
