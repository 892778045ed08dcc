"""What happened: one readable entry per request, and the questions a test wants to ask of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass
class JournalEntry:
    """
    One request and its answer.

    :param time: when it arrived, in epoch seconds.
    :param endpoint: ``queue``, ``retrieve``, ``download``, …
    :param status: HTTP status; ``None`` when no answer was sent.
    :param key: a fingerprint of the API key that came along, never the key; ``None`` without one.
    :param charged: US dollars taken from the balance.
    :param refunded: US dollars given back.
    :param size: bytes of media that this answer offers.
    :param bytes_delivered: bytes of media that were sent before the client left.
    :param reply_lost: the request was acted upon, but its answer did not get through.
    :param refused: refused by a rate limit or by the block.
    :param blocked: refused by the block.
    :param fault: what was made to go wrong, if anything was.
    :param delete_media_on_completion: the request asked for the media's deletion.
    :param deleted: the id of a job whose media this request removed.
    """

    time: float
    endpoint: str
    method: str
    status: int | None = None
    model: str | None = None
    queue_id: str | None = None
    key: str | None = None
    charged: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    size: int = 0
    bytes_delivered: int = 0
    reply_lost: bool = False
    refused: bool = False
    blocked: bool = False
    fault: str | None = None
    delete_media_on_completion: bool = False
    deleted: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain JSON; money as text, so that no cent is lost."""
        values = asdict(self)
        return {name: str(v) if isinstance(v, Decimal) else v for name, v in values.items()}


@dataclass
class Journal:
    """
    All entries in the order of their arrival.

    :param path: a file that gets each finished entry as one line of JSON.
    """

    path: Path | None = None
    _entries: list[JournalEntry] = field(default_factory=list)
    _unread: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: JournalEntry) -> None:
        """Open an entry; its fields may still change until :meth:`close`."""
        self._entries.append(entry)

    def close(self, entry: JournalEntry) -> None:
        """Write the finished entry to the file, if there is one."""
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(entry.to_dict()) + "\n")

    def note_unread_deletion(self, queue_id: str) -> None:
        """Remember that media was deleted before anyone had received all of it."""
        self._unread.append(queue_id)

    def clear(self) -> None:
        """Forget everything; the file keeps its lines."""
        self._entries.clear()
        self._unread.clear()

    def calls(self, endpoint: str, queue_id: str | None = None) -> list[JournalEntry]:
        """Return the requests to one endpoint, of one job if an id is given."""
        return [e for e in self if e.endpoint == endpoint and queue_id in (None, e.queue_id)]

    def polls(self, queue_id: str | None = None) -> list[JournalEntry]:
        """Return the retrieves, of one job if an id is given."""
        return self.calls("retrieve", queue_id)

    @property
    def charges(self) -> list[JournalEntry]:
        """Requests that cost money."""
        return [entry for entry in self if entry.charged]

    @property
    def charged(self) -> Decimal:
        """US dollars charged in all; refunds are not taken off."""
        return sum((entry.charged for entry in self), Decimal(0))

    @property
    def refunded(self) -> Decimal:
        """US dollars given back in all."""
        return sum((entry.refunded for entry in self), Decimal(0))

    @property
    def refusals(self) -> list[JournalEntry]:
        """Requests that a rate limit or the block refused."""
        return [entry for entry in self if entry.refused]

    @property
    def blocks(self) -> list[JournalEntry]:
        """Requests that the block refused."""
        return [entry for entry in self if entry.blocked]

    @property
    def deletion_requests(self) -> list[JournalEntry]:
        """Retrieves that carried ``delete_media_on_completion``."""
        return [entry for entry in self if entry.delete_media_on_completion]

    @property
    def unread_deletions(self) -> list[str]:
        """Ids of jobs whose media was deleted before anyone had received all of its bytes."""
        return list(self._unread)

    @property
    def bytes_delivered(self) -> int:
        """Bytes of media sent in all."""
        return sum(entry.bytes_delivered for entry in self)

    def summary(self) -> dict[str, Any]:
        """Return the answers to the usual questions as plain JSON."""
        return {
            "requests": len(self),
            "charges": len(self.charges),
            "charged": str(self.charged),
            "refunded": str(self.refunded),
            "refusals": len(self.refusals),
            "blocks": len(self.blocks),
            "deletion_requests": len(self.deletion_requests),
            "unread_deletions": self.unread_deletions,
            "bytes_delivered": self.bytes_delivered,
        }
