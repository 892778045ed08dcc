"""The commands, through both command lines, against the simulator and a real Airflow's database."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_venice.__main__ import main
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator
from tests.cli.page import columns
from tests.conftest import PATIENT

# Airflow's own task runner imports a test client that asks for another HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

AIRFLOW_VENICE = (f"{sysconfig.get_path('scripts')}/airflow", "venice")
MODULE = (sys.executable, "-m", "airflow_provider_venice")


class Ended(NamedTuple):
    code: Any
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows


Run = Callable[..., Ended]


@pytest.fixture
def run(venice_connection: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")  # the command sets it, which ends with the test

    def run(*arguments: str) -> Ended:
        code: Any = 0
        capsys.readouterr()
        try:
            main(arguments)
        except SystemExit as exit:
            code = exit.code
        out, err = capsys.readouterr()
        # What Python does with a text, where it ends a process.
        return Ended(1, out, f"{err}{code}\n") if isinstance(code, str) else Ended(code, out, err)

    return run


def run_process(*command: str) -> Ended:
    result = subprocess.run(command, capture_output=True, text=True, timeout=90)
    return Ended(result.returncode, result.stdout, result.stderr)


def test_models_are_listed_by_type(run: Run) -> None:
    everything = run("models", "-o", "json").rows
    assert list(everything[0]) == columns("models")
    assert {row["type"] for row in everything} == {"text-to-video", "image-to-video", "video"}
    rows = {row["id"]: row for row in run("models", "--type", "text-to-video", "-o", "json").rows}
    assert {row["type"] for row in rows.values()} == {"text-to-video"}
    assert rows["wan-2-7-text-to-video"]["durations"][:1] == ["5s"]
    assert rows["ltx-2-19b-full-text-to-video"]["offline"] == "True"
    assert rows["sora-2-text-to-video"]["deprecation"] == "2026-09-24"
    assert rows["wan-2.5-preview-text-to-video"]["deprecation"].endswith(", use wan-2-7-text-to-video")


def test_each_output_shows_the_same(run: Run) -> None:
    arguments = ("quote", "--model", TEXT["model"], "--duration", "5", "--no-audio")
    price = {
        "model": TEXT["model"],
        "duration": "5",
        "resolution": None,
        "aspect_ratio": None,
        "audio": "False",
        "cost_usd": "0.35",
    }
    assert run(*arguments, "-o", "json").rows == [price]
    assert list(price) == columns("quote")
    assert "5s,10s" in run("models", "--type", "text-to-video", "-o", "plain").out
    for output in ("table", "yaml", "plain"):
        shown = run(*arguments, "--output", output)
        assert (shown.code, shown.err) == (0, "")
        assert all(word in shown.out for word in ("cost_usd", "0.35", TEXT["model"]))


def test_a_list_is_priced_and_options_go_first(run: Run, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    table = tmp_path / "requests.json"
    table.write_text(json.dumps([TEXT, {**TEXT, "duration": 10}]))
    rows = run("quote", "--request", f"@{table}", "-o", "json").rows
    assert [row["cost_usd"] for row in rows] == ["0.35", "0.70"]
    rows = run("quote", "--request", json.dumps(TEXT), "--duration", "10", "-o", "json").rows
    assert [(row["duration"], row["cost_usd"]) for row in rows] == [("10", "0.70")]
    assert not venice_simulator.journal.charges


@pytest.mark.parametrize("value", ["[]", "7", '["x"]', "{", "@/does/not/exist.json"])
def test_what_is_no_request_is_wrong_usage(value: str, run: Run) -> None:
    assert run("quote", "--request", value).code == 2


def test_what_was_spent(run: Run, venice_simulator: VeniceSimulator) -> None:
    for _ in range(2):
        VeniceHook().queue(TEXT)
    today = datetime.now(timezone.utc).date()
    rows = {(row["by"], row["name"]): row["usd"] for row in run("spend", "-o", "json").rows}
    assert rows["total", f"{today - timedelta(days=6)} to {today}"] == "0.70"
    assert rows["day", str(today)] == "0.70"
    assert [usd for (by, _), usd in rows.items() if by in ("model", "key")] == ["0.70", "0.70"]
    day = str(today - timedelta(days=1))
    rows = {
        (row["by"], row["name"]): row["usd"] for row in run("spend", "--since", day, "--until", day, "-o", "json").rows
    }
    assert rows["total", f"{day} to {day}"] == "0.00"
    assert list(run("spend", "-o", "json").rows[0]) == columns("spend")
    wrong = run("spend", "--since", "yesterday")
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err.startswith("airflow venice: since is 'yesterday'; give a date")


def test_an_error_is_one_line_without_the_key(
    run: Run, venice_simulator: VeniceSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = run("quote", "--duration", "5")
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err.startswith("airflow venice: the video request is not valid: model is missing")
    key = "a-key-that-is-not-accepted"
    refused = {"conn_type": "venice", "host": venice_simulator.base_url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_REFUSED", json.dumps(refused))
    denied = run("balance", "--conn-id", "refused")
    assert denied.code == 1
    assert "check the API key" in denied.err
    assert key not in denied.err
    assert wrong.err.count("\n") == denied.err.count("\n") == 1


@pytest.fixture
def run_id(
    airflow_database: None,
    venice_connection: str,
    venice_simulator: VeniceSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A DAG run with clips of every kind; those that no task has stored are finished at Venice."""
    bundle = {
        "name": "cli",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(Path(__file__).parent / "dags")},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    from tests.cli.dags.nightly import dag

    venice_simulator.fail("queue", match="doubtful", drop_after=True)
    made: str = dag.test(run_conf={"output_dir": str(tmp_path)}).run_id
    venice_simulator.finish()
    return made


@PATIENT
def test_the_clips_of_a_run(
    run_id: str, run: Run, venice_simulator: VeniceSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ("--dag-id", "nightly", "--run-id", run_id)
    listed = run_process(*MODULE, "jobs", *here, "-o", "json")
    assert (listed.code, listed.err) == (0, "")
    clips = {row["task"]: row for row in listed.rows}
    assert {task: (row["state"], row["cost_usd"]) for task, row in clips.items()} == {
        "stored #0": ("stored", "0.35"),
        "stored #1": ("stored", "0.35"),
        "queued": ("left", "0.35"),
        "private": ("left", "0.44"),
        "doubtful": ("doubt", "0.35"),
    }
    assert list(listed.rows[0]) == columns("jobs")
    assert clips["stored #1"]["path"] == str(tmp_path / "1.mp4")
    bought = {job.queue_id for job in venice_simulator.jobs if "doubtful" not in job.prompt}
    assert {row["queue_id"] for row in clips.values() if row["queue_id"]} == bought
    assert [row["task"] for row in run("jobs", *here, "--task-id", "queued", "-o", "json").rows] == ["queued"]

    doubts = run("doubts", "-o", "json")
    (doubt,) = (row for row in doubts.rows if row["run_id"] == run_id)
    assert (doubt["dag_id"], doubt["task"], doubt["cost_usd"]) == ("nightly", "doubtful", "0.35")
    # The connection names no admin connection.
    assert (doubt["usage_history"], doubt["reason"]) == (None, None)
    assert doubt["sent_at"].endswith(" UTC")
    assert list(doubt) == columns("doubts")
    assert (doubts.code, run("doubts", "--exit-code").code) == (0, 3)
    assert run("doubts", "--dag-id", "another", "--exit-code") == (0, "No data found\n", "")

    refused = run("jobs", *here, "--charges")
    assert (refused.code, refused.out) == (1, "")
    assert "names no admin_conn_id" in refused.err
    for name, key, extra in (
        ("priced", venice_simulator.api_key, {"admin_conn_id": "admin"}),
        ("admin", venice_simulator.admin_key, {}),
    ):
        fields = {"conn_type": "venice", "host": venice_simulator.base_url, "password": key, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
    charged = run("jobs", *here, "--charges", "--conn-id", "priced", "-o", "json").rows
    assert {row["task"]: (row["charge_usd"], row["refund_usd"]) for row in charged} == {
        **{task: (row["cost_usd"], "0.00") for task, row in clips.items()},
        "doubtful": (None, None),
    }

    charges = len(venice_simulator.journal.charges)
    target = tmp_path / "recovered"
    lost = clips["queued"]["queue_id"]
    venice_simulator.fail("retrieve", match=lost, status=500)
    partly = run("recover", str(target), *here, "-o", "json")
    assert partly.code == 1
    assert f"video job {lost}" in partly.err.splitlines()[-1]
    assert {row["status"] for row in partly.rows if row["queue_id"] != lost} == {"delivered", "collected"}
    fates = run("recover", str(target), *here, "-o", "json")
    assert fates.code == 0
    assert "1 of the run's tasks have begun and show no job" in fates.err
    assert list(fates.rows[0]) == columns("recover")
    by_id = {row["queue_id"]: row for row in fates.rows}
    for task, status in (("stored #0", "delivered"), ("queued", "collected"), ("private", "collected")):
        assert by_id[clips[task]["queue_id"]]["status"] == status
    assert sorted(target.iterdir()) == sorted(Path(r["path"]) for r in by_id.values() if r["status"] == "collected")
    assert len(venice_simulator.journal.charges) == charges
    assert not venice_simulator.journal.deletion_requests

    shown = "".join(text for ended in (listed, doubts, fates) for text in ended[1:])
    tokens = [job.token for job in venice_simulator.jobs if job.token]
    assert tokens
    assert not [secret for secret in (*tokens, "fernet:", venice_simulator.api_key) if secret in shown]


def test_what_is_not_in_the_database(airflow_database: None, run: Run) -> None:
    for command in (("jobs",), ("recover", "/data/clips")):
        missing = run(*command, "--dag-id", "nightly", "--run-id", "r")
        assert (missing.code, missing.out) == (1, "")
        assert missing.err == "airflow venice: there is no run 'r' of the DAG 'nightly' in Airflow's database\n"
    unknown = run("balance", "--conn-id", "nowhere")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("airflow venice: the connection 'nowhere' is not defined in Airflow; add it")


def test_a_database_that_cannot_be_read_is_one_line(run: Run) -> None:
    # Each process of the parallel tests has an Airflow of its own, without a database.
    result = run_process("env", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:////tmp/none/airflow.db", *MODULE, "doubts")
    assert (result.code, result.out) == (1, "")
    assert (
        result.err
        == "airflow venice: Airflow's database cannot be read (OperationalError): unable to open database file\n"
    )


@PATIENT
def test_airflow_knows_the_commands_and_their_connection_is_in_its_database(
    airflow_database: None, venice_simulator: VeniceSimulator
) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(
            Connection(
                conn_id="of_the_database",
                conn_type="venice",
                host=venice_simulator.base_url,
                password=venice_simulator.api_key,
            )
        )
    shown = run_process(*AIRFLOW_VENICE, "balance", "--conn-id", "of_the_database", "-o", "json")
    assert (shown.code, shown.err) == (0, "")
    assert list(shown.rows[0]) == columns("balance")
    assert shown.rows == [{"tier": "paid", "access_permitted": "True", "usd": "100.00", "diem": "0"}]


def test_simulate_prints_a_connection_that_works(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen(
        [*MODULE, "simulate", "--api-key", "a-key-of-mine"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        export, assignment = shlex.split(started.stdout.readline())
        assert export == "export"
        name, _, connection = assignment.partition("=")
        monkeypatch.setenv(name, connection)
        assert run("balance", "-o", "json").rows[0]["tier"] == "paid"
    finally:
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (0, "")
    assert err == "airflow venice: the Venice simulator listens at 1 times real speed\n"
    assert run("simulate", "--speed", "0").err == "airflow venice: speed must be above zero, not 0.0\n"
    assert run("simulate", "--speed", "fast").code == 2
