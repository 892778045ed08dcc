"""One mistake of a user, and what becomes of it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

#: When a mistake is refused.
When = Literal["when the DAG is parsed", "before payment", "after payment"]

PARSED: When = "when the DAG is parsed"
BEFORE: When = "before payment"
AFTER: When = "after payment"

#: A request that has nothing wrong.
TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}


@dataclass
class Scene:
    """
    What a row has to make its mistake with.

    :param simulator: what the connection ``venice_default`` leads to.
    :param folder: an empty folder; messages show it as ``/data``.
    :param monkeypatch: for environment variables and the working directory.
    """

    simulator: VeniceSimulator
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    tries: Tries = field(default_factory=Tries)
    #: Texts that differ from run to run, and what messages show for each.
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def hook(self) -> VeniceHook:
        """The hook of the connection."""
        return VeniceHook()

    def connect(self, **fields: Any) -> None:
        """Set the connection ``venice_default``: ``conn_type``, ``host``, ``password``, ``extra``, …"""
        import json

        default = {"conn_type": "venice", "host": self.simulator.base_url, "password": self.simulator.api_key}
        self.monkeypatch.setenv("AIRFLOW_CONN_VENICE_DEFAULT", json.dumps({**default, **fields}))

    def generate(self, **arguments: Any) -> VeniceGenerateVideoOperator:
        """Return a task that makes a clip and stores it as ``/data/clip.mp4``, but for what ``arguments`` say."""
        given = {**TEXT, "output_path": f"{self.folder}/clip.mp4", **arguments}
        return VeniceGenerateVideoOperator(task_id="generate", **given)

    def rendered(self, **arguments: Any) -> VeniceGenerateVideoOperator:
        """Return :meth:`generate` with its templates rendered, as for a run."""
        task = self.generate(**arguments)
        task.render_template_fields({"params": {}})
        return task

    def queue(self, **arguments: Any) -> VeniceQueueVideoOperator:
        """Return a task that queues a clip."""
        return VeniceQueueVideoOperator(task_id="queue", **{**TEXT, **arguments})

    def download(self, **arguments: Any) -> VeniceDownloadVideoOperator:
        """Return a task that downloads a clip that is queued and paid right here."""
        job = run_task(self.queue(wait_for_completion=True))
        given = {"job": job, "output_path": f"{self.folder}/clip.mp4", **arguments}
        return VeniceDownloadVideoOperator(task_id="download", **given)

    def show(self, text: str) -> str:
        """Return a message with what differs from run to run replaced."""
        address = self.simulator.base_url.partition("//")[2].partition("/")[0]
        for old, new in {**self.shown, str(self.folder): "/data", address: "venice.example"}.items():
            text = text.replace(old, new)
        for pattern, new in _CHANGING.items():
            text = re.sub(pattern, new, text)
        return text


#: What differs from run to run.
_CHANGING = {
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b": "<queue id>",
    r"\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\b": "<time>",
    r"\.(?:[0-9a-f]{8}){1,2}\.part\b": ".<random>.part",
    r"0x[0-9a-f]{6,}": "<address>",
}

#: How a message ends that is raised when the DAG is parsed.
_POSITION = re.compile(r" \(task '\w+', /\S+\.py, line \d+\)$")


@dataclass(frozen=True)
class Mistake:
    """
    One mistake.

    :param what: what is wrong, as a user would say it, in reStructuredText.
    :param when: when it is refused.
    :param attempt: makes the mistake: returns the task to run, or a function to call; a mistake that is refused when
        the DAG is parsed is raised here.
    :param message: the whole message of the error, as :meth:`Scene.show` shows it. One that is raised when the DAG is
        parsed ends in the task and the line of the DAG file, which must be there and is not repeated here.
    :param bought: how many clips are charged.
    :param is_retried: whether the task's ``retries`` apply.
    :param log: what the task's log says at the level of an error beyond the message, line by line.
    """

    what: str
    when: When
    attempt: Callable[[Scene], Any]
    message: str
    bought: int = 0
    is_retried: bool = False
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a mistake, in the words of :class:`Mistake`."""

    when: When
    message: str
    bought: int
    is_retried: bool
    log: tuple[str, ...]


def make_mistake(mistake: Mistake, scene: Scene) -> Outcome | None:
    """Make a mistake and return what comes of it; ``None`` where nothing is refused."""
    at_parse = True
    failure: Exception | None = None
    with _logged_errors() as logged:
        try:
            attempt = mistake.attempt(scene)
            at_parse = False
            attempt() if callable(attempt) else run_task(attempt, scene.tries)
        except Exception as error:
            failure = error
    if failure is None:
        return None
    bought = len(scene.simulator.journal.charges)
    after = AFTER if bought else BEFORE
    text, is_placed = _POSITION.subn("", str(failure))
    assert is_placed == at_parse, failure
    message = scene.show(text)
    return Outcome(
        PARSED if at_parse else after,
        message,
        bought,
        not at_parse and not isinstance(failure, AirflowFailException),
        tuple(line for line in dict.fromkeys(map(scene.show, logged)) if not _repeats(line, message)),
    )


def _repeats(line: str, message: str) -> bool:
    """Whether a line of the log says what the error says, perhaps with the name of the clip before it."""
    return any(text in message for text in (line, line.partition(": ")[2] or line)) or message in line


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Collect what is logged at the level of an error."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Collector(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        # Operators and hooks log with structlog, beside the loggers of the standard library.
        with structlog.testing.capture_logs() as entries:
            yield lines
    finally:
        logging.getLogger().removeHandler(handler)
        lines.extend(str(entry["event"]) for entry in entries if entry["log_level"] in ("error", "critical"))
