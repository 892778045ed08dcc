"""
Every fault at every step of a generate task: what is charged, what lies there, what a retry and a clear do.

What is expected stands in the table of ``docs/reliability.md``, so that it says what happens and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.api.mp4 import read_metadata
from airflow_provider_venice.generation.delivery import Delivery
from airflow_provider_venice.generation.run import GenerationRun
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage import StoredVideo
from tests.running import Tries, clips, run_task

# The first cell waits for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.serial, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

#: Cells under way at once; most of them wait most of the time.
WORKERS = 12

#: Times of a job, in the simulator's seconds, of which 60 pass in one of ours: soon done, and not before the cell ends.
SPEED, SOON, LATER = 60.0, 15.0, 3600.0

STATUSES = (400, 401, 402, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504)

#: What may go wrong, by its name on the page.
FAULTS: dict[str, dict[str, Any]] = {
    # A 429 that names no reset would mean thirty seconds of silence.
    **{str(status): {"status": status, "headers": {"retry-after": "0"}} for status in STATUSES},
    "503 MODEL_OFFLINE": {"status": 503, "body": {"error": {"code": "MODEL_OFFLINE", "message": "offline"}}},
    "html 404": {"html": True, "status": 404},
    "503 after the act": {"status": 503, "act": True},
    "drop_before": {"drop_before": True},
    "drop_after": {"drop_after": True},
    "hang": {"hang": 3.0},
    "bad_json": {"bad_json": True},
    "html": {"html": True},
    "truncate": {"truncate": 2000},
    "truncate, no length": {"truncate": 2000, "length": False},
    "stub": {"stub": True},
    "expire": {"expire": True},
    "policy": {"policy": True},
    "consent": {"consent": True},
}

INLINE, PRIVATE = "wan-2-7-text-to-video", "grok-imagine-text-to-video-private"


@dataclass(frozen=True)
class Way:
    """One way of a task through a step: the endpoint that fails, the kind of model, and where it waits."""

    endpoint: str
    model: str = INLINE
    deferrable: bool = True

    def __str__(self) -> str:
        return (
            f"{'private' if self.model == PRIVATE else 'inline'} {'deferred' if self.deferrable else 'in the worker'}"
        )


#: The steps of a task, by their names on the page.
STEPS: dict[str, list[Way]] = {
    "check": [Way("models")],
    "price": [Way("quote")],
    "submit": [Way("queue"), Way("queue", PRIVATE)],
    "poll": [Way("retrieve", model, deferrable) for model in (INLINE, PRIVATE) for deferrable in (True, False)],
    "download": [Way("retrieve"), Way("retrieve", deferrable=False)],
    "link": [Way("download", PRIVATE)],
    "delete": [Way("complete"), Way("revoke", PRIVATE)],
}
UNPAID = ("check", "price", "submit")


@dataclass(frozen=True)
class Outcome:
    """
    What a word of the page stands for.

    :param delivers: whether one of three tries delivers.
    :param final: whether the failure is one after which Airflow does not try again.
    :param cleared: charges in all when the fault is over, the task was cleared, and has delivered; ``None``: it fails.
    """

    delivers: bool = False
    final: bool = False
    cleared: int | None = 1


OUTCOMES = {
    "delivers": Outcome(delivers=True),
    "retries": Outcome(),
    "stops": Outcome(final=True),
    "doubt": Outcome(final=True),
    "ended": Outcome(final=True, cleared=2),
    "gone": Outcome(cleared=None),
}


@dataclass(frozen=True)
class Cell:
    """One fault at one step, once or for ever."""

    step: str
    way: Way
    fault: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.step}, {self.fault} {'for ever' if self.lasting else 'once'}, {self.way}"


@dataclass
class Seen:
    """What became of a cell. ``errors`` has ``None`` for a try that delivered."""

    errors: list[Exception | None] = field(default_factory=list)
    charges: int = 0
    after_retry: Exception | None = None
    after_clear: Exception | None = None
    charges_after: int = 0


def expected() -> dict[str, dict[str, tuple[str, str]]]:
    """Return the page's table: per fault and step, the word for once and the word for ever."""
    rows = [
        [text.strip() for text in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    start = next(number for number, row in enumerate(rows) if row[0] == "Fault")
    table: dict[str, dict[str, tuple[str, str]]] = {}
    for row in rows[start + 2 :]:
        words = {}
        for step, text in zip(rows[start][1:], row[1:], strict=True):
            once, _, ever = text.partition(" / ")
            if once != "–":
                words[step] = (once, ever or once)
        for name in re.findall(r"`(.+?)`", row[0]):
            assert name not in table, f"{name} has two rows"
            table[name] = words
    return table


def cells() -> list[Cell]:
    return [
        Cell(step, way, fault, lasting)
        for fault, words in expected().items()
        for step in words
        for way in STEPS[step]
        for lasting in (False, True)
        # Only the answer that is the clip itself can tell that it has expired.
        if not (fault == "expire" and step == "poll" and way.model == PRIVATE)
    ]


class Venue:
    """A simulator of its own, and the connection to it."""

    def __init__(self, number: int, stack: ExitStack, patch: pytest.MonkeyPatch) -> None:
        self.venice = stack.enter_context(VeniceSimulator(speed=SPEED, media="shared", limits=False))
        self.conn_id = f"venice_{number}"
        self._patch = patch

    def connect(self, read_timeout: float = 30) -> None:
        """Set how long the connection waits for an answer; a busy machine is not a fault."""
        connection = {
            "conn_type": "venice",
            "host": self.venice.base_url,
            "password": self.venice.api_key,
            "extra": {"retry_attempts": 2, "retry_max_wait": 0.05, "read_timeout": read_timeout},
        }
        self._patch.setenv(f"AIRFLOW_CONN_{self.conn_id.upper()}", json.dumps(connection))

    def prepare(self) -> None:
        """Have the clips drawn that all jobs share, so that nobody has to wait for them later."""
        self.connect()
        self.venice.job_seconds = 0
        hook = VeniceHook(self.conn_id)
        for model in (INLINE, PRIVATE):
            job = hook.queue(model=model, prompt="first", duration=5)
            hook.wait_for_completion(job, max_wait_time=60)
            hook.get_video_data(job)

    def heal(self) -> None:
        """Let nothing more go wrong."""
        requests.delete(f"{self.venice.control_url}/faults", timeout=10).raise_for_status()


@dataclass(frozen=True)
class Interrupted(Delivery):
    """A delivery, with something that happens between the wait and the download."""

    between: Callable[[], object] = bool

    def store(self, *arguments: Any) -> StoredVideo:
        self.between()
        return super().store(*arguments)


class MinutesLater(GenerationRun):
    """A run whose clips were submitted some time ago: within a minute, a 404 is no end."""

    def _await_rest(self) -> None:
        for clip in self._clips:
            if clip.job is not None and clip.job.queued_at is not None:
                clip.job = dataclasses.replace(clip.job, queued_at=clip.job.queued_at - 100)
        super()._await_rest()


class Generate(VeniceGenerateVideoOperator):
    """The operator, with such a run and such a delivery."""

    generation_class = MinutesLater

    def __init__(self, *, between: Callable[[], object], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.between = between

    @property
    def delivery(self) -> Delivery:
        return Interrupted(**dataclasses.asdict(super().delivery), between=self.between)


class Trial:
    """One cell, played on one venue."""

    def __init__(self, cell: Cell, venue: Venue, folder: Path) -> None:
        self.cell, self.venue, self.venice = cell, venue, venue.venice
        self.path = folder / "clip.mp4"
        self.tries = Tries()
        self.seen = Seen()

    def play(self) -> Seen:
        """Try up to three times, as Airflow does; then without the fault, cleared where nothing was delivered."""
        venice, seen = self.venice, self.seen
        venice.reset()
        self.venue.connect(read_timeout=2 if self.cell.fault == "hang" else 30)
        # A download that is refused for the rate limit waits for all of the time that the task has.
        refused = (self.cell.step, self.cell.fault, self.cell.lasting) == ("download", "429", True)
        # A job that is done answers with its clip, which is not what most faults of a poll are about.
        stuck = self.cell.step == "poll" and self.cell.lasting and self.cell.fault != "expire"
        venice.job_seconds = LATER if stuck else SOON
        if self.cell.step != "download":
            self._break()
        for _ in range(3):
            seen.errors.append(self._try(patience=0.5 if stuck else 2 if refused else 20))
            if seen.errors[-1] is None or isinstance(seen.errors[-1], AirflowFailException):
                break
        seen.charges = len(venice.journal.charges)
        assert any(entry.fault for entry in venice.journal), "the fault has never happened"
        self.venue.heal()
        venice.job_seconds = SOON
        venice.finish()
        if self.cell.step == "submit" and seen.errors[-1] is not None:
            # A try that begins by itself, as after a lost worker.
            seen.after_retry = self._try(patience=20, faulty=False)
        if seen.errors[-1] is not None:
            self._let_minutes_pass()
            self.tries.clear()
            seen.after_clear = self._try(patience=20, faulty=False)
        seen.charges_after = len(venice.journal.charges)
        return seen

    def _let_minutes_pass(self) -> None:
        entry = self.tries.store.get("venice_submission") or {}
        if entry.get("job"):
            entry["job"]["queued_at"] -= 100

    def _break(self) -> None:
        times = None if self.cell.lasting else 1
        self.venice.fail(self.cell.way.endpoint, times=times, **FAULTS[self.cell.fault])

    def _try(self, *, patience: float, faulty: bool = True) -> Exception | None:
        """Run one try; the fault of a download begins when the wait is over."""
        download = faulty and self.cell.step == "download"
        late = download and (self.cell.lasting or not self.seen.errors)
        if download:
            self.venue.heal()  # or the polls of this try would meet what the last one's download met
        task = Generate(
            task_id="generate",
            venice_conn_id=self.venue.conn_id,
            model=self.cell.way.model,
            deferrable=self.cell.way.deferrable,
            prompt="a lighthouse in fog",
            duration=5,
            max_cost=1,
            delete_media=True,
            output_path=self.path,
            timeout=patience,
            between=self._break if late else bool,
        )
        error = None
        try:
            run_task(task, self.tries)
        except Exception as failure:
            error = failure
        self._check(delivered=error is None)
        return error

    def _check(self, *, delivered: bool) -> None:
        """The file is whole and the right one, or nothing is there; nothing was deleted unread."""
        journal = self.venice.journal
        assert journal.unread_deletions == []
        assert journal.deletion_requests == []
        files = clips(self.path.parent)
        assert files == ([self.path] if delivered else [])
        if delivered:
            with self.path.open("rb") as file:
                read_metadata(file, expected_size=self.path.stat().st_size)
            assert self.venice.jobs[-1].queue_id.encode() in self.path.read_bytes()


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Cell, Future[Seen]]]:
    """All cells that are asked for, played side by side."""
    asked = [
        item.callspec.params.get("cell")
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__) and hasattr(item, "callspec")
    ]
    wanted = [cell for cell in asked if isinstance(cell, Cell)]
    folder = tmp_path_factory.mktemp("cells")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        venues: queue.SimpleQueue[Venue] = queue.SimpleQueue()
        pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
        every = [Venue(number, stack, patch) for number in range(min(WORKERS, len(wanted)))]
        list(pool.map(Venue.prepare, every))
        for venue in every:
            venues.put(venue)

        def play(cell: Cell, place: Path) -> Seen:
            venue = venues.get()
            try:
                place.mkdir()
                return Trial(cell, venue, place).play()
            finally:
                venues.put(venue)

        playing = {cell: pool.submit(play, cell, folder / str(number)) for number, cell in enumerate(wanted)}
        stack.callback(pool.shutdown, cancel_futures=True)
        wait(playing.values())
        yield playing


def test_the_page_has_every_fault_and_every_step() -> None:
    table = expected()
    assert set(table) == set(FAULTS)
    assert {step for words in table.values() for step in words} == set(STEPS)
    assert {word for words in table.values() for both in words.values() for word in both} == set(OUTCOMES)
    # Whatever may happen at every endpoint is tried at every one.
    assert [name for name in map(str, STATUSES) if set(table[name]) != set(STEPS)] == []


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_a_cell(cell: Cell, played: dict[Cell, Future[Seen]]) -> None:
    seen = played[cell].result()
    word = expected()[cell.fault][cell.step][cell.lasting]
    outcome = OUTCOMES[word]
    last = seen.errors[-1]
    told = f"{word}: {seen}"
    if outcome.delivers:
        assert last is None, told
        assert seen.charges == 1, told
        return
    assert last is not None, told
    if word == "doubt":
        assert isinstance(seen.after_retry, AirflowFailException), told
        assert seen.charges <= 1, told
        assert (seen.after_clear, seen.charges_after) == (None, seen.charges + 1), told
        return
    assert seen.charges == (cell.step not in UNPAID), told
    if outcome.cleared is None:
        assert seen.after_clear is not None, told
        assert seen.charges_after == 1, told
        return
    assert isinstance(last, AirflowFailException) is outcome.final, told
    assert len(seen.errors) == (1 if outcome.final else 3), told
    assert (seen.after_clear, seen.charges_after) == (None, outcome.cleared), told
