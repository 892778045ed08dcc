"""
What the tasks of a DAG run have written of their clips -> the clips, each with its state.

A clip may be bought, waited for and stored by three tasks; each has an entry for it in its XCom ``venice_results``.
Entries of one run that name the same job are one clip.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, unquote

from airflow_provider_venice.plugin.entries import Place, TaskRecord
from airflow_provider_venice.xcoms import TaskKey

State = Literal["waiting", "rendering", "finished", "stored", "failed", "doubt", "left"]

#: All states, in the order in which a clip may pass through them.
STATES: tuple[State, ...] = ("waiting", "rendering", "finished", "stored", "failed", "doubt", "left")

#: Seconds for which Venice keeps a clip at most.
KEPT_FOR = 24 * 3600.0

#: Percent that an estimate never passes: the clip is not there before somebody has seen it.
_MOST_ESTIMATED = 95.0

#: Which entry of a clip counts where several tasks have one: the one that has come furthest.
_RANK = {"missing": 0, "queued": 1, "processing": 1, "doubt": 2, "completed": 3, "failed": 4, "stored": 5}

_PAID = "It is paid, and no task has stored it."
_LEFT = (
    f"{_PAID} Clear the failed task: it fetches the clip and pays nothing, unless it has on_clear='resubmit'. Venice "
    "keeps a clip for a day at most."
)
_TOO_OLD = f"{_PAID} Venice keeps a clip for a day at most, so that it is probably gone."
_DOUBT = (
    "Look at https://venice.ai/settings/api whether it was charged. The error says how to go on; until then nothing is "
    "bought again."
)


class Clip:
    """
    One clip.

    :param places: its entries, at least one.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places
        #: The entry of the task that has come furthest with it.
        self.last = max(places, key=lambda place: (_rank(place), not place.is_reused, place.record.written_at))
        #: The entry of the task that has bought it, as far as that is known.
        self.first = next((place for place in places if place.record.part == "buys"), places[0])
        self.entry = self.last.entry
        self.job: Mapping[str, Any] = self._job()
        self.request: Mapping[str, Any] = self._any("request", of_job=True) or {}
        self.state = self._state()
        self.queued_at = _number(self.job.get("queued_at"))
        #: Epoch seconds by which clips are sorted; they do not change as the clip goes on.
        self.time = (None if self.is_reused else self.queued_at) or min(place.record.written_at for place in places)

    @property
    def id(self) -> str:
        """A name that no other clip has."""
        return "/".join(quote(str(part), safe="") for part in (*self.first.record.key, self.first.position))

    @property
    def queue_id(self) -> str | None:
        """Venice's id of the job."""
        return _text(self.job.get("queue_id"))

    @property
    def model(self) -> str | None:
        """The model."""
        return _text(self.job.get("model")) or _text(self.request.get("model"))

    @property
    def prompt(self) -> str | None:
        """The prompt."""
        return _text(self.request.get("prompt"))

    @property
    def cost(self) -> float | None:
        """US dollars, where they are known; none for a clip that was reused."""
        if self.is_reused:
            return 0.0
        # That of a task which reuses what another one of the run has bought is 0.
        bought = [place.entry.get("estimated_cost") for place in (self.last, *self.places) if not place.is_reused]
        cost = _number(next((cost for cost in bought if cost is not None), None))
        return _number(self.job.get("estimated_cost")) if cost is None else cost

    @property
    def is_bought(self) -> bool:
        """Whether Venice has accepted it."""
        return self.queue_id is not None

    @property
    def is_reused(self) -> bool:
        """Whether it was there before the run, and the run has paid nothing for it."""
        return all(place.is_reused for place in self.places)

    @property
    def is_refunded(self) -> bool | None:
        """Whether Venice has given the money back; ``None`` where that is not known."""
        refunded = self.entry.get("refunded")
        return refunded if isinstance(refunded, bool) else None

    @property
    def file(self) -> Mapping[str, Any] | None:
        """The file, where one is stored."""
        if self.state != "stored":
            return None
        return {name: self.entry.get(name) for name in ("path", "size", "sha256", "metadata")}

    @property
    def seconds(self) -> float | None:
        """Seconds of video that are stored."""
        metadata = None if self.file is None else self.file["metadata"]
        return _number(metadata.get("duration")) if isinstance(metadata, Mapping) else None

    @property
    def detected_at(self) -> float | None:
        """Epoch seconds at which a task saw it completed."""
        return _number(self._any("completed_at", of_job=True))

    @property
    def stored_at(self) -> float | None:
        """Epoch seconds at which it was stored."""
        return _time(self.entry.get("stored_at"))

    @property
    def error(self) -> str | None:
        """Why it is not stored, or what is missing beside the file."""
        if (error := _text(self.entry.get("error"))) is not None:
            return error
        return "The task ended before it was bought; nothing is paid" if self._has_not_begun() else None

    @property
    def advice(self) -> str | None:
        """What a person may do."""
        if self.state == "doubt":
            return _DOUBT
        if self.state == "left":
            return _TOO_OLD if time.time() - self.time > KEPT_FOR else _LEFT
        return None

    def is_of(self, key: TaskKey) -> bool:
        """Whether a task instance has had a part in it."""
        return any(place.record.key == key for place in self.places)

    def progress(self, usual: Mapping[str, float]) -> dict[str, Any] | None:
        """
        Return how far Venice is with it, ``None`` unless it is being rendered.

        :param usual: seconds that a clip of each model usually takes.
        :return: ``percent``, ``remaining`` in seconds, ``seen_at`` in epoch seconds, and ``is_estimate``: whether it
            goes by the usual time only, as nobody has polled the job yet.
        """
        if self.state != "rendering":
            return None
        for place in self.places:
            seen = place.record.progress.get(self.queue_id or "")
            if isinstance(seen, Mapping) and (percent := _number(seen.get("percent"))) is not None:
                remaining, seen_at = _number(seen.get("remaining")), _number(seen.get("seen_at"))
                if remaining is not None and seen_at is not None:
                    remaining = max(0.0, remaining - max(0.0, time.time() - seen_at))
                return {"percent": percent, "remaining": remaining, "seen_at": seen_at, "is_estimate": False}
        takes = usual.get(self.model or "")
        if takes is None or self.queued_at is None:
            return {"percent": None, "remaining": None, "seen_at": None, "is_estimate": True}
        elapsed = max(0.0, time.time() - self.queued_at)
        return {
            "percent": min(_MOST_ESTIMATED, 100 * elapsed / takes),
            "remaining": max(0.0, takes - elapsed),
            "seen_at": None,
            "is_estimate": True,
        }

    def _state(self) -> State:
        status, ended = self.entry.get("status"), self._has_ended()
        if status == "stored":
            return "stored"
        if status == "doubt":
            return "doubt"
        if status == "failed":
            # A failure of the job, not of a task that had it: there the clip is paid, and may still be stored.
            return "failed" if self.job.get("status") == "failed" or not self.is_bought else "left"
        if not self.is_bought:
            return "failed" if ended else "waiting"
        if ended or time.time() - (_number(self.job.get("queued_at")) or time.time()) > KEPT_FOR:
            return "left"
        return "finished" if status == "completed" else "rendering"

    def _has_ended(self) -> bool:
        """Whether no task of the run is going to do more for it."""
        records = [place.record for place in self.places]
        if not all(record.has_ended for record in records):
            return False
        if any(record.run_state == "failed" or record.state != "success" for record in records):
            return True
        # All went well: that another task stores it, in this run or in one after it, can be.
        return not self.is_bought

    def _has_not_begun(self) -> bool:
        return self.state == "failed" and not self.is_bought

    def _job(self) -> Mapping[str, Any]:
        job: dict[str, Any] = {}
        for place in sorted(self.places, key=_rank):
            if isinstance(written := place.entry.get("job"), Mapping):
                job.update({name: value for name, value in written.items() if value is not None})
        return job

    def _any(self, name: str, *, of_job: bool = False) -> Any:
        """Return a field of the entry that has come furthest, or of another one that has it."""
        if of_job:
            return self.job.get(name) or self._any(name)
        values = (place.entry.get(name) for place in (self.last, *self.places))
        return next((value for value in values if value is not None), None)


def task_of(clip_id: str) -> TaskKey | None:
    """
    Return the task instance that a clip's id names, ``None`` where it is no such id.

    :param clip_id: as :attr:`Clip.id` has it.
    """
    parts = [unquote(part) for part in clip_id.split("/")]
    if len(parts) != 5 or not re.fullmatch(r"-?\d{1,9}", parts[3]):
        return None
    return TaskKey(parts[0], parts[1], parts[2], int(parts[3]))


def find_clips(records: Iterable[TaskRecord]) -> list[Clip]:
    """
    Return the clips that tasks have written of, newest first.

    :param records: what the tasks have written; all of a run.
    """
    clips: dict[tuple[Any, ...], list[Place]] = defaultdict(list)
    for record in records:
        for position, entry in enumerate(record.entries):
            job = entry.get("job")
            queue_id = _text(job.get("queue_id")) if isinstance(job, Mapping) else None
            # Of one run only: whoever may write into another run could give its clips another face.
            name = (record.key, position) if queue_id is None else (*record.key[:2], queue_id)
            clips[name].append(Place(record, position))
    return sorted(map(Clip, clips.values()), key=lambda clip: (-clip.time, clip.id))


def usual_times(clips: Iterable[Clip]) -> dict[str, float]:
    """
    Return the seconds that a clip of each model usually takes: the median of those that were seen to end.

    :param clips: clips of any state.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for clip in clips:
        if clip.model and clip.queued_at and clip.detected_at and clip.detected_at > clip.queued_at:
            times[clip.model].append(clip.detected_at - clip.queued_at)
    return {model: statistics.median(seconds) for model, seconds in times.items()}


def _rank(place: Place) -> int:
    return _RANK.get(place.entry.get("status", ""), 0)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e15 else None


def _time(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
