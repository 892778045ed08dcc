"""Runs the drivers: every case of every client, the clients side by side."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.media import ClipSpec, encode, image_bytes
from tests.clients.cases import CASES, NOTHING, Case, Problem, Scene
from tests.clients.environments import Client
from tests.clients.internet import PUBLIC_LOCALHOST, vendors_host
from tests.compat.environments import ROOT

#: Seconds that a driver may take.
_PATIENCE = 60

#: A job takes so many seconds: long enough that a client sees it running.
_JOB_SECONDS = 0.6

#: How many times faster than Venice the simulator is; finished media is kept for an hour of that time.
_SPEED = 100


@dataclass(frozen=True)
class Result:
    """
    What came of a case.

    :param outcome: ``ok``, ``error``, or ``absent`` where the client has no function for it.
    :param problem: what is wrong with it; ``None`` where nothing is.
    :param said: the client's message, cut and without what differs from run to run.
    :param submissions: how many submissions arrived.
    :param paid: how many of them were charged.
    :param transfers: how often a whole clip was sent.
    """

    outcome: str
    problem: Problem
    said: str
    submissions: int
    paid: int
    transfers: int

    @property
    def works(self) -> bool:
        """Whether the client did what it should."""
        return self.outcome != "absent" and self.problem is None


Results = dict[str, dict[str, Result]]


def run_all(clients: Iterable[Client]) -> Results:
    """Run every case of the clients; return what came of it by the client's name and the case's."""
    with tempfile.TemporaryDirectory() as name, vendors_host(Path(name)) as proxy, ThreadPoolExecutor() as pool:
        folder = Path(name)
        _make_sources(folder)
        runs = {client.name: pool.submit(_run_client, client, folder, proxy) for client in clients}
        return {client: run.result() for client, run in runs.items()}


def _make_sources(folder: Path) -> None:
    (folder / "lion.png").write_bytes(image_bytes("A lion", 512, 512, "png"))
    (folder / "lion.jpg").write_bytes(image_bytes("A lion", 512, 512, "jpeg"))
    clip = ClipSpec("Source", seconds=5, width=320, height=180, fps=8, audio=False)
    (folder / "source.mp4").write_bytes(encode(clip, lambda: False))


def _run_client(client: Client, folder: Path, proxy: dict[str, str]) -> dict[str, Result]:
    settings: dict[str, Any] = {"https": True} if client.https else {}
    with VeniceSimulator(
        speed=_SPEED, job_seconds=_SPEED * _JOB_SECONDS, media="shared", fps=4, **settings
    ) as simulator:
        trusted, environment = _world(client, simulator, folder, proxy)
        results = {}
        for number, case in enumerate(CASES):
            simulator.reset()
            place = folder / client.name / str(number)
            place.mkdir(parents=True)
            scene = Scene(simulator, place, folder, trusted, simulator.api_key)
            results[case.name] = _run_case(client, case, scene, environment)
        return results


def _world(
    client: Client, simulator: VeniceSimulator, folder: Path, proxy: dict[str, str]
) -> tuple[str | bool, dict[str, str]]:
    """Return what has to be trusted, and the environment that points the client at the simulator."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "NO_UPDATE_NOTIFIER": "1",
        client.base_url: simulator.base_url,
    }
    if client.registry == "npm":
        environment |= proxy
    if not client.https:
        return True, environment
    certificate = folder / f"{client.name}.pem"
    certificate.write_bytes(simulator.certificate)
    return str(certificate), {
        **environment,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(PUBLIC_LOCALHOST))),
        "SSL_CERT_FILE": str(certificate),
        client.base_url: simulator.base_url.replace("127.0.0.1", "localhost"),
    }


def _run_case(client: Client, case: Case, scene: Scene, environment: dict[str, str]) -> Result:
    arguments = {**NOTHING, **case.prepare(scene), "output": str(scene.output)}
    scene.answer = _drive(client, case.action, arguments, scene, environment)
    outcome = scene.answer["outcome"]
    problem = None if outcome == "absent" else case.check(scene)
    journal = scene.simulator.journal
    return Result(
        outcome,
        problem,
        _shown(scene),
        submissions=len(journal.calls("queue")),
        paid=len(journal.charges),
        transfers=sum(entry.bytes_delivered == entry.size > 0 for entry in journal),
    )


def _drive(
    client: Client, action: str, arguments: dict[str, Any], scene: Scene, environment: dict[str, str]
) -> dict[str, Any]:
    home = str(scene.folder)
    try:
        result = subprocess.run(
            [client.python, "-m", f"tests.clients.drivers.{client.driver}", action, json.dumps(arguments)],
            env={**environment, "HOME": home, "TMPDIR": home, "VENICE_API_KEY": scene.api_key},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return {"outcome": "error", "said": f"no end within {_PATIENCE} s"}
    try:
        answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"the driver of {client.name} broke at {action}:\n{result.stderr}") from None
    return answer


def _shown(scene: Scene) -> str:
    """Return the client's message in one line, without what differs from run to run."""
    said = scene.answer.get("said", "")
    kind = scene.answer.get("type", "Failed")
    text = said if kind == "Failed" else f"{kind}: {said}"
    if "Traceback" in text:
        # The last lines: the error, and the exit code that the driver adds.
        text = text.strip().splitlines()[-1]
    port = scene.simulator.base_url.partition("//")[2].partition("/")[0].rpartition(":")[2]
    text = re.sub(rf"(127\.0\.0\.1|localhost):{port}", "venice.example", text.replace(str(scene.folder), "/data"))
    for pattern, new in _CHANGING.items():
        text = re.sub(pattern, new, text)
    return "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}" for character in " ".join(text.split())
    )


#: What differs from run to run.
_CHANGING = {
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b": "<queue id>",
    r"share/read/[\w-]+": "share/read/<secret>",
    r"0x[0-9a-f]{6,}": "<address>",
    r"(\[wall [^\]]*\] processing\.\.\.\s*)+": "processing... ",
    r"Status: PROCESSING \([^)]*\) - waiting\.\.\.\s*": "",
    r"\b\d+ bytes": "<n> bytes",
    r"\b\d+(\.\d+)? ?(s|seconds)\b": "<n> s",
}
