"""What a try knows of its clips already, and takes along through its waits in the triggerer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_venice.api.model import VideoJob
from airflow_provider_venice.exceptions import VeniceError


@dataclass
class Progress:
    """
    Plain JSON that comes back with the trigger's event, so that a list need not be read again each time.

    It saves reading. Whether a clip is to be bought is read from the ledger; of a clip that is known here to be paid,
    nothing is bought. It holds for one try; the next one reads everything.

    :param try_number: the try.
    :param waiting: position of each clip whose job a trigger waits for, by queue id.
    :param paid: positions of the clips that a trigger has waited for.
    :param stored: by position, as text: when its job was found completed and when its file was stored.
    :param failed: by position, as text: the ``job`` and its ``failure``, as the trigger's event has them.
    :param reused: by position, as text: the SHA-256 of the clip that was there and is reused.
    :param replaced: queue ids of the jobs that were refunded, and that another model follows.
    :param download_wait: since when, and until when, a download may wait for the rate limit, in epoch seconds.
    :param checked: positions of the clips about whose doubt the usage history was asked.
    """

    try_number: int | None = None
    waiting: dict[str, int] = field(default_factory=dict)
    paid: list[int] = field(default_factory=list)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    reused: dict[str, str] = field(default_factory=dict)
    download_wait: list[float] | None = None
    checked: list[int] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, travelled: Mapping[str, Any] | None, try_number: int | None) -> Progress:
        """
        Return what has come back with an event; nothing, where it is that of another try.

        :param travelled: what :meth:`to_dict` has returned.
        :param try_number: the try that runs.
        """
        if travelled is None or travelled["try_number"] != try_number:
            return cls(try_number)
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in travelled.items() if name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return dataclasses.asdict(self)

    def has(self, position: int) -> bool:
        """Whether this try has stored the clip of that position, or knows why its job has failed."""
        return str(position) in self.stored or str(position) in self.failed

    def note_stored(self, position: int, job: VideoJob, stored_at: str, cost: Mapping[str, Any] | None = None) -> None:
        """Remember a clip that is stored, and what it has really cost."""
        self.download_wait = None
        self.stored[str(position)] = {"completed_at": job.completed_at, "stored_at": stored_at, "cost": cost}

    def note_replaced(self, position: int, job: VideoJob) -> None:
        """Remember a job that was refunded, and in whose place a job of another model is to be bought."""
        self.paid = [paid for paid in self.paid if paid != position]
        self.replaced.append(job.queue_id)

    def note_failed(self, position: int, job: VideoJob, failure: Mapping[str, Any], error: Exception) -> None:
        """Remember what the trigger's event says of a job that has failed, in the words that the log has."""
        slim = dataclasses.replace(job, request=None, download_url=None)
        self.failed[str(position)] = {"job": slim.to_dict(), "failure": {**failure, "message": str(error)}}

    def error_of(self, position: int) -> VeniceError | None:
        """Return why a job has failed that an earlier event has brought, ``None`` where none has."""
        from airflow_provider_venice.triggers.events import read_failure

        failed = self.failed.get(str(position))
        return None if failed is None else read_failure(VideoJob.of(failed["job"]), failed["failure"])
