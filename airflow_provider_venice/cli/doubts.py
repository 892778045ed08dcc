"""The submissions in doubt that tasks have reported, and what the usage history of their account says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from airflow_provider_venice.api.billing import KnownPurchase, utc
from airflow_provider_venice.cli.console import usd
from airflow_provider_venice.exceptions import VeniceError
from airflow_provider_venice.hooks.billing import check_doubt
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.plugin.clips import Clip


class RecordedDoubts:
    """
    The doubts among all clips that Airflow's database has.

    :param clips: all of them: those that are bought explain entries of the usage history.
    """

    def __init__(self, clips: Iterable[Clip]) -> None:
        self.doubts: list[Clip] = []
        self._known: list[KnownPurchase] = []
        for clip in clips:
            if clip.state == "doubt":
                self.doubts.append(clip)
            elif clip.queue_id and clip.model:
                cost = None if clip.cost is None else Decimal(str(clip.cost))
                # Not known to be of the same account: it explains no entry but that of its own id.
                self._known.append(KnownPurchase(clip.queue_id, clip.model, clip.queued_at, cost))
        self.doubts.sort(key=lambda clip: (clip.time, clip.id))
        self._counts = Counter(clip.model for clip in self.doubts)

    def row(self, clip: Clip) -> dict[str, Any]:
        """Return what is shown of a doubt."""
        answer = self._recorded(clip) or self._ask(clip) or {}
        sent_at = clip.entry.get("sent_at")
        return {
            "dag_id": clip.first.record.key.dag_id,
            "run_id": clip.first.record.key.run_id,
            "task": clip.first.label,
            "sent_at": utc(sent_at) if isinstance(sent_at, (int, float)) else None,
            "model": clip.model,
            "cost_usd": usd(clip.cost),
            "usage_history": answer.get("answer"),
            "reason": answer.get("reason"),
        }

    def _recorded(self, clip: Clip) -> Mapping[str, Any] | None:
        """Return the answer that the task has recorded, as far as it is one: it knew more purchases than are here."""
        recorded = clip.entry.get("usage_history")
        is_answer = isinstance(recorded, Mapping) and recorded.get("answer") in ("charged", "not charged")
        return recorded if is_answer else None

    def _ask(self, clip: Clip) -> Mapping[str, Any] | None:
        """Ask the usage history; ``None`` where the task's connection names no admin connection."""
        sent_at, conn_id = clip.entry.get("sent_at"), clip.entry.get("venice_conn_id")
        if not isinstance(sent_at, (int, float)) or not isinstance(conn_id, str) or clip.model is None:
            return None
        hook = VeniceHook(conn_id)
        try:
            settings = hook.get_conn().settings
        except VeniceError as error:
            return {"answer": "cannot tell", "reason": str(error)}
        if settings.admin_conn_id is None:
            return None
        finding = check_doubt(
            hook,
            model=clip.model,
            sent_at=sent_at,
            # The time of the XCom: that of the task that has reported it, when its submission had ended, or a later
            # one. A try that was lost may have sent it after others had waited for the rate limit.
            ended_at=max(clip.last.record.written_at, sent_at + settings.longest_submission),
            cost=None if clip.cost is None else Decimal(str(clip.cost)),
            known=self._known,
            doubts=self._counts[clip.model],
        )
        return finding.to_dict()
