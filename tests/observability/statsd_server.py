"""A StatsD server on loopback: a real UDP socket that keeps what it is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Sent:
    """
    One metric, as it was sent.

    :param kind: ``c`` for a counter, ``ms`` for a timing.
    """

    name: str
    value: float
    kind: str
    tags: Mapping[str, str]


class StatsdServer:
    """Receives metrics in the length of a ``with``, tags as Airflow writes them for InfluxDB."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sent: list[Sent] = []

    @property
    def environment(self) -> dict[str, str]:
        """What has an Airflow send its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                packet = self._socket.recv(65536)
            except TimeoutError:
                continue
            self._sent.extend(_read(line) for line in packet.decode().splitlines())

    def ours(self) -> list[Sent]:
        """Return what this package has sent so far."""
        return [sent for sent in list(self._sent) if sent.name.startswith("venice.")]

    def counts(self) -> Counter[str]:
        """Return the sum of each counter of this package."""
        sums: Counter[str] = Counter()
        for sent in self.ours():
            if sent.kind == "c":
                sums[sent.name] += int(sent.value)
        return sums

    def timings(self, name: str) -> list[float]:
        """Return what was sent of a timing, in seconds."""
        return [sent.value / 1000 for sent in self.ours() if sent.kind == "ms" and sent.name == name]

    def wait_for(self, name: str, seconds: float = 5.0) -> Sent:
        """
        Return the first metric of that name.

        :raises AssertionError: when none has come in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = [sent for sent in self.ours() if sent.name == name]
            if found:
                return found[0]
            assert time.monotonic() < deadline, f"no {name} among {sorted(self.counts())}"
            time.sleep(0.02)


def _read(line: str) -> Sent:
    head, value = line.rsplit(":", 1)
    number, kind = value.split("|")[:2]
    name, *tags = head.split(",")
    return Sent(name.removeprefix("airflow."), float(number), kind, dict(tag.split("=", 1) for tag in tags))
