"""
Who may store a clip under a name, decided before the clip is bought.

A reservation is a small JSON record beside the target. The first record of a target is created exclusively. Two
rules make it safe to take one over without a lock:

* A record that others may take over (expired, or stored by another run) is never changed or removed, only
  *superseded*: by a second record, named after the token of the first, which again is created exclusively. So one of
  many wins, and the last record of the chain is the one that counts.
* Whoever has superseded a record then moves its own to the first place and removes the rest. A crash in between
  leaves a longer chain, never a lock that nobody can open.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_venice.exceptions import VeniceRequestError, VideoTargetReserved
from airflow_provider_venice.storage.errors import file_exists, map_storage_errors
from airflow_provider_venice.storage.paths import resolve_path, resolve_target
from airflow_provider_venice.storage.records import LocalRecord, ObjectRecord, record_beside
from airflow_provider_venice.storage.targets import LocalTarget, ObjectTarget

log = logging.getLogger(__name__)

#: Seconds after which anyone may take a reservation over. Venice keeps no clip for more than 24 hours, so
#: after twice that time nothing can be stored any more that its owner has bought.
EXPIRES_AFTER = 48 * 3600

#: How often, and how many seconds apart, a record is read that cannot be parsed: a store without atomic writes
#: shows half of it while it is written.
_READS, _READ_PAUSE = 6, 0.2

#: How often a reservation is tried anew after another process has changed it in between.
_ROUNDS = 20


@dataclass(frozen=True)
class Owner:
    """
    The task instance that makes a clip. A retry or a clear of it is the same owner.

    :param dag_id: its DAG.
    :param run_id: its DAG run.
    :param task_id: its task.
    :param map_index: its index among the mapped task instances, -1 for a task that is not mapped.
    :param position: place of the clip in a list of requests, from 0; ``None`` where there is no list.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    position: int | None = None

    def __str__(self) -> str:
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        place = "" if self.position is None else f", request {self.position} of its list"
        return f"DAG {self.dag_id!r}, run {self.run_id!r}, task '{self.task_id}{index}'{place}"

    def is_same_run(self, other: Owner) -> bool:
        """Whether both belong to one DAG run."""
        return (self.dag_id, self.run_id) == (other.dag_id, other.run_id)


@dataclass(frozen=True)
class _Record:
    """What a reservation holds; ``reserved_at`` in epoch seconds, ``token`` names this record alone."""

    owner: Owner
    reserved_at: float
    host: str
    token: str
    overwrite: bool
    stored: bool = False

    @classmethod
    def make(cls, owner: Owner, *, overwrite: bool, stored: bool = False) -> _Record:
        return cls(owner, time.time(), socket.gethostname(), secrets.token_hex(8), overwrite, stored)

    @classmethod
    def parse(cls, data: bytes) -> _Record | None:
        """Return the record, ``None`` for what is none, or not the whole of one."""
        try:
            fields: dict[str, Any] = json.loads(data)
            owner = Owner(**fields["owner"])
            record = cls(owner, *(fields[name] for name in ("reserved_at", "host", "token", "overwrite", "stored")))
        except (ValueError, TypeError, KeyError):
            return None
        # The token becomes part of a file name.
        is_whole = isinstance(record.reserved_at, (int, float)) and str(record.token).isalnum()
        return record if is_whole else None

    def to_bytes(self) -> bytes:
        return json.dumps({"reservation_of": "airflow-provider-venice", **dataclasses.asdict(self)}, indent=1).encode()

    @property
    def is_expired(self) -> bool:
        return not self.stored and time.time() - self.reserved_at > EXPIRES_AFTER

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody but the owner may take it over, so that the owner may change it in its place."""
        return not self.stored and not self.is_expired

    def yields_to(self, owner: Owner) -> bool:
        """Whether ``owner`` may take it over."""
        if owner == self.owner or self.is_expired:
            return True
        return self.stored and not owner.is_same_run(self.owner)


def reserve(target: object, owner: Owner, *, overwrite: bool) -> None:
    """
    Reserve a target for one clip, before the clip is bought. To be repeated before its download.

    Makes the folders, and proves that the place can be written to.

    :param target: local path or ``ObjectStoragePath``, as an object or a string.
    :param owner: who is going to store the clip; what a dead try of it has reserved is taken over.
    :param overwrite: whether a file that exists may be replaced.
    :raises VideoTargetReserved: when another owner has the name.
    :raises VeniceRequestError: when the target exists already or cannot be used, or a reservation cannot be read.
    """
    place = resolve_target(target)
    with map_storage_errors(place, writes=True):
        place.check_folder()
        _refuse_existing(place, owner, overwrite=overwrite)
        # Makes the folders of a local target.
        place.make_staging()
        # From here on nobody else buys for this name. A crash leaves the record, which the next try takes over.
        _Chain(place).hold(_Record.make(owner, overwrite=overwrite))
        # Again, as the holder before this one may have stored its clip since the first check.
        _refuse_existing(place, owner, overwrite=overwrite)


def check_unreserved(target: object, owner: Owner) -> None:
    """
    Refuse a target under which another owner is about to store a clip; nothing is reserved.

    :param target: as it is given to :func:`reserve`.
    :param owner: who wants to use what is there.
    :raises VideoTargetReserved: which heals: the clip may be there later.
    """
    place = resolve_path(target)
    with map_storage_errors(place):
        records = _Chain(place).records()
    if records and records[-1][1].is_exclusive and records[-1][1].owner != owner:
        raise _reserved(place, *records[-1], can_heal=True)


def _refuse_existing(place: LocalTarget | ObjectTarget, owner: Owner, *, overwrite: bool) -> None:
    if place.size() is not None and not overwrite:
        release(place.path, owner)
        raise file_exists(place)


def release(target: object, owner: Owner) -> None:
    """
    Remove the reservation of a target, if ``owner`` has it and has stored nothing. A failure is logged, not raised.

    :param target: as it was given to :func:`reserve`.
    :param owner: as it was given to :func:`reserve`.
    """
    try:
        chain = _Chain(resolve_path(target))
        record = chain.current()
        if record is not None and record.owner == owner and not record.stored:
            chain.remove(record)
    except Exception as error:
        log.warning("The reservation of %s by %s could not be removed: %s", target, owner, error)


def mark_stored(target: object, owner: Owner) -> None:
    """
    End the reservation of a target after its clip was published. A failure is logged, not raised.

    Without ``overwrite`` the file itself refuses everybody else, and the reservation is removed. With ``overwrite``
    the record stays, so that no other task instance of the same run replaces this clip.

    :param target: as it was given to :func:`reserve`.
    :param owner: as it was given to :func:`reserve`.
    """
    try:
        chain = _Chain(resolve_path(target))
        record = chain.current()
        if record is None:
            return  # ended by an earlier try
        if record.owner != owner:
            log.warning("%s was stored by %s, while %s had it reserved", target, owner, record.owner)
        elif record.overwrite:
            # A crash before this leaves a reservation that is not marked: other runs have to wait until it expires.
            chain.hold(_Record.make(owner, overwrite=True, stored=True))
        else:
            # A crash before this leaves a reservation beside the file; either refuses others.
            chain.remove(record)
    except Exception as error:
        log.warning("The reservation of %s by %s could not be ended: %s", target, owner, error)


class _Chain:
    """The records of one target: each but the last is superseded by the next."""

    def __init__(self, place: LocalTarget | ObjectTarget) -> None:
        self.place = place
        self.head = record_beside(place)

    def current(self) -> _Record | None:
        """Return the record that counts."""
        records = self.records()
        return records[-1][1] if records else None

    def hold(self, mine: _Record) -> None:
        """
        Make ``mine`` the record that counts.

        :raises VideoTargetReserved: when another owner has the name and does not have to yield.
        """
        for _ in range(_ROUNDS):
            records = self.records()
            if not records:
                if self.head.create(mine.to_bytes()):
                    return
            else:
                file, held = records[-1]
                if not held.yields_to(mine.owner):
                    is_same_run = mine.owner.is_same_run(held.owner)
                    raise _reserved(self.place, file, held, can_heal=mine.overwrite and not is_same_run)
                if held.is_exclusive or self._supersede(held, mine):
                    self._shorten(mine, records)
                    return
            # Another process was faster, or has just released the name.
            time.sleep(random.uniform(0, 0.1))
        raise OSError(f"the reservation {self.head} changes all the time; try again")

    def remove(self, record: _Record) -> None:
        """Remove ``record``, which is the one that counts and belongs to the caller, and those before it."""
        if not record.is_exclusive:
            # Once it is renewed, nobody can supersede it while it is removed.
            self.hold(_Record.make(record.owner, overwrite=record.overwrite))
        # The first one first: without it, the others are not read.
        for file, _ in self.records():
            file.remove()

    def _supersede(self, held: _Record, mine: _Record) -> bool:
        """Put ``mine`` after ``held``, and return whether that has made it the one that counts."""
        claim = self._successor(held)
        if not claim.create(mine.to_bytes()):
            return False
        # ``held`` may have been superseded and removed since it was read; then ``mine`` follows nothing.
        if self.current() == mine:
            return True
        claim.remove()
        return False

    def _shorten(self, mine: _Record, records: list[tuple[LocalRecord | ObjectRecord, _Record]]) -> None:
        """Move ``mine`` to the first place, and remove what it has superseded."""
        self.head.replace(mine.to_bytes())
        # Not before: as long as the superseded records are read, so must be the one that supersedes them.
        for _, record in records:
            if not record.is_exclusive:
                self._successor(record).remove()

    def _successor(self, record: _Record) -> LocalRecord | ObjectRecord:
        return record_beside(self.place, f"-{record.token}")

    def records(self) -> list[tuple[LocalRecord | ObjectRecord, _Record]]:
        """Return all records, each with its file; the last one counts."""
        records: list[tuple[LocalRecord | ObjectRecord, _Record]] = []
        file = self.head
        while (record := _load_record(file)) is not None:
            records.append((file, record))
            file = self._successor(record)
        return records


def _load_record(file: LocalRecord | ObjectRecord) -> _Record | None:
    for _ in range(_READS):
        data = file.read()
        if data is None:
            return None
        record = _Record.parse(data)
        if record is not None:
            return record
        time.sleep(_READ_PAUSE)
    # Whose it was is unknown, and it may stand for a clip that is paid: a person has to decide.
    raise VeniceRequestError(f"the reservation {str(file)!r} cannot be read; delete it if no task is making this clip")


def _reserved(
    place: LocalTarget | ObjectTarget, file: LocalRecord | ObjectRecord, held: _Record, *, can_heal: bool
) -> VideoTargetReserved:
    since = datetime.fromtimestamp(held.reserved_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    if held.stored:
        happened = f"was stored by {held.owner}, of this run, at {since}; two clips cannot have one name"
        gone = "if that clip may be replaced"
    else:
        happened = f"is reserved by {held.owner} since {since}, on {held.host}"
        gone = "if that task will never run again"
    return VideoTargetReserved(
        f"{str(place)!r} {happened}. Give each clip its own path, e.g. with {{{{ ti.map_index }}}}; {gone}, "
        f"delete {str(file)!r}",
        owner=held.owner,
        can_heal=can_heal,
    )
