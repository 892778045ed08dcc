"""Control from Python and over HTTP, the command line, and the fixtures for other people's tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.pytest_plugin import venice_connection, venice_simulator
from tests.simulator.client import T2V, Client, eventually

__all__ = ["venice_connection", "venice_simulator"]

pytest_plugins = ["pytester"]


@contextmanager
def command_line(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the simulator as a process; give it and the URL that it prints."""
    command = [sys.executable, "-m", "airflow_provider_venice.simulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_line_serves_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    port_file, journal = tmp_path / "port", tmp_path / "journal.jsonl"
    arguments = ["--speed", "1000", "--balance", "2.5", "--api-key", "k", "--port-file", str(port_file)]
    with command_line(*arguments, "--journal", str(journal), "--median", "1") as (process, url):
        assert url == f"http://127.0.0.1:{port_file.read_text().strip()}/api/v1"
        headers = {"Authorization": "Bearer k"}
        job = requests.post(f"{url}/video/queue", json={**T2V, "duration": "15s"}, headers=headers, timeout=10)
        assert job.headers["x-venice-balance-usd"] == "2.50"
        hanging = {"endpoint": "models", "hang": 60}
        requests.post(url.replace("api/v1", "simulator/faults"), json=hanging, timeout=10)
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{url}/models", timeout=0.2)
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - started < 2
        output, log = process.communicate(timeout=10)
    assert output == ""
    assert "Traceback" not in log
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert (lines[0]["endpoint"], lines[0]["status"], lines[0]["charged"]) == ("queue", 200, "1.05")
    assert lines[0]["queue_id"] == job.json()["queue_id"]


@pytest.mark.parametrize("arguments", [["--speed", "0"], ["--balance", "much"], ["--media", "none"]])
def test_wrong_arguments_are_told(arguments: list[str]) -> None:
    with command_line(*arguments) as (process, url):
        assert url == ""
        assert process.wait(timeout=20) == 2
        assert "usage" in process.communicate(timeout=10)[1]


def test_a_taken_port_is_told(venice: VeniceSimulator) -> None:
    port = int(venice.base_url.split(":")[2].split("/")[0])
    with command_line("--port", str(port)) as (process, url):
        assert url == ""
        assert process.wait(timeout=20) == 1
    with pytest.raises(OSError, match="address already in use"), VeniceSimulator(port=port):
        pytest.fail("two simulators on one port")


def test_control_over_http(client: Client) -> None:
    fault = client.control("POST", "faults", {"endpoint": "queue", "status": 503, "times": 2})
    assert fault.json() == {"endpoint": "queue", "status": 503, "times": 2}
    assert client.queue().status_code == 503
    assert client.control("DELETE", "faults").status_code == 200
    assert client.control("POST", "settings", {"job_seconds": 50}).json()["job_seconds"] == 50
    job = client.job(prompt="over HTTP")
    jobs = client.control("GET", "jobs").json()["jobs"]
    assert [(j["queue_id"], j["due"], j["prompt"]) for j in jobs] == [(job["queue_id"], False, "over HTTP")]
    assert jobs[0]["ready_at"] - jobs[0]["queued_at"] == pytest.approx(5)
    assert client.control("POST", "finish", {"queue_id": "another"}).json() == {"finished": 0}
    assert client.control("POST", "finish").json() == {"finished": 1}
    assert client.retrieve(job).headers["Content-Type"] == "video/mp4"
    journal = client.control("GET", "journal").json()
    assert [entry["endpoint"] for entry in journal["entries"]] == ["queue", "queue", "retrieve"]
    assert journal["summary"]["charged"] == "0.35"
    assert journal["summary"]["bytes_delivered"] == client.venice.journal.bytes_delivered > 0
    assert client.control("POST", "reset").status_code == 200
    assert client.control("GET", "jobs").json() == {"jobs": []}
    assert len(client.venice.journal) == 0
    assert client.control("POST", "settings", {"colour": 1}).status_code == 400


def test_the_ledger_is_controlled_over_http(client: Client) -> None:
    assert client.control("POST", "settings", {"usage_delay": 5}).json()["usage_delay"] == 5
    assert client.venice.usage_delay == 5
    charged = client.control("POST", "charges", {"sku": "another-model-video-unit", "amount": 0.35})
    assert charged.json() == {"balance": "99.65"}
    assert client.venice.journal.charges == []
    for wrong in ({"sku": "x"}, {"amount": 1}, {"sku": "x", "amount": "much"}, {"sku": "x", "amount": 1, "at": 5}):
        assert client.control("POST", "charges", wrong).status_code == 400


def test_reset_starts_anew(client: Client) -> None:
    job = client.job()
    client.venice.fail("retrieve", status=500)
    client.venice.reset()
    assert client.venice.balance == 100
    assert not client.venice.jobs
    assert len(client.venice.journal) == 0
    assert client.retrieve(job).status_code == 404


def test_finish_chooses_one_job(client: Client) -> None:
    one, two = client.job(), client.job()
    assert client.venice.finish(one["queue_id"]) == 1
    assert client.retrieve(one).headers["Content-Type"] == "video/mp4"
    assert client.retrieve(two).json()["status"] == "PROCESSING"


def test_the_simulator_stops_at_once_while_it_draws() -> None:
    venice = VeniceSimulator()
    with venice:
        client = Client(venice)
        with client.session:
            for _ in range(6):
                client.job(duration="15s", resolution="1080p")
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{venice.base_url}/models", timeout=5)


def test_the_fixtures_make_a_connection(venice_simulator: VeniceSimulator, venice_connection: str) -> None:
    connection = json.loads(os.environ[f"AIRFLOW_CONN_{venice_connection.upper()}"])
    assert connection["conn_type"] == "venice"
    headers = {"Authorization": f"Bearer {connection['password']}"}
    answer = requests.post(f"{connection['host']}/video/queue", json=T2V, headers=headers, timeout=10).json()
    assert [job.queue_id for job in venice_simulator.jobs] == [answer["queue_id"]]
    assert eventually(lambda: venice_simulator.jobs[0].due), "half a second should do"


@pytest.mark.slow
def test_the_fixtures_are_fresh_for_each_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from airflow_provider_venice.simulator.pytest_plugin import venice_connection, venice_simulator"
    )
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_fresh(venice_simulator, venice_connection, number):
            assert len(venice_simulator.journal) == 0
            venice_simulator.fail("queue", status=500)
            assert venice_simulator.base_url in os.environ["AIRFLOW_CONN_VENICE_DEFAULT"]

        def test_gone():
            assert "AIRFLOW_CONN_VENICE_DEFAULT" not in os.environ
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=60).assert_outcomes(passed=3)
