"""Rows of a table: columns of the user's own, what tables deliver, and what the log says of a list."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import Asset

from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, clips, run_task

MODEL: dict[str, Any] = {"model": "wan-2-7-text-to-video", "duration": 5}

pytestmark = pytest.mark.usefixtures("venice_connection")


def generate(folder: Path, request: Any, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(
        task_id="clips", request=request, **{"output_path": f"{folder}/{{index}}.mp4", **MODEL, **arguments}
    )


def test_columns_of_the_users_own_come_back_and_are_never_sent(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    rows = [
        {"id": 7, "notes": "for Ann", "shot": "x", "prompt": "a boat"},
        {"id": 8, "notes": "", "shot": "y", "prompt": "a port", "labels": {"take": 2, "id": "8b"}},
    ]
    for endpoint in ("quote", "queue"):
        for own in ("for Ann", "spring", "8b", '"id"', '"shot"'):
            venice_simulator.fail(endpoint, match=own, status=400, body={"error": f"{own} was sent"})
    asset, tries = Asset("clips"), Tries()
    task = generate(
        tmp_path,
        rows,
        label_fields=("id", "notes"),
        ignore_fields="shot",
        labels={"campaign": "spring"},
        manifest=True,
        outlets=[asset],
    )
    results = run_task(task, tries)
    expected = [
        {"campaign": "spring", "id": 7, "notes": "for Ann"},
        {"campaign": "spring", "id": "8b", "notes": "", "take": 2},
    ]
    assert [result["labels"] for result in results] == expected
    assert [result["job"]["labels"] for result in results] == expected
    assert [job["labels"] for job in tries.xcoms["venice_job"]] == expected
    assert [json.loads((tmp_path / f"{n}.mp4.json").read_text())["labels"] for n in (0, 1)] == expected
    assert [video["labels"] for video in tries.outlet_extras[asset]["videos"]] == expected
    # A retry has them from the job that was bought.
    assert [result["labels"] for result in run_task(task, tries)] == expected
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.slow
def test_what_became_of_a_clip_has_its_labels(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("queue", match="sinks", status=422, body={"error": "no"})
    rows = [{"id": 1, "prompt": "[simulate: fail] a boat"}, {"id": 2, "prompt": "it sinks"}, {"id": 3, "prompt": "b"}]
    tries = Tries()
    with pytest.raises(AirflowFailException):
        run_task(generate(tmp_path, rows, label_fields=["id"]), tries)
    found = [(result["status"], result["labels"]["id"]) for result in tries.xcoms["venice_results"]]
    assert found == [("failed", 1), ("failed", 2), ("stored", 3)]


def test_labels_cross_from_task_to_task(tmp_path: Path) -> None:
    queue = VeniceQueueVideoOperator(
        task_id="queue", request={"id": 7, "prompt": "a"}, label_fields=["id"], wait_for_completion=True, **MODEL
    )
    tries = Tries()
    job = run_task(queue, tries)
    assert job["labels"] == {"id": 7}
    download = VeniceDownloadVideoOperator(task_id="download", job=job, output_path=f"{tmp_path}/a.mp4", manifest=True)
    assert run_task(download)["labels"] == {"id": 7}
    assert json.loads((tmp_path / "a.mp4.json").read_text())["labels"] == {"id": 7}
    recover = VeniceRecoverVideosOperator(task_id="recover", jobs=job, output_dir=tmp_path)
    assert run_task(recover)[0]["labels"] == {"id": 7}


def test_a_changed_label_is_no_other_request(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    tries = Tries()
    first = run_task(generate(tmp_path, [{"id": 1, "prompt": "a"}], label_fields=["id"]), tries)
    tries.clear()
    again = run_task(generate(tmp_path, [{"id": 2, "prompt": "a"}], label_fields=["id"]), tries)
    assert [(clip["sha256"], clip["labels"]) for clip in again] == [(first[0]["sha256"], {"id": 1})]
    assert len(venice_simulator.journal.charges) == 1


def test_labels_are_what_json_can_hold(tmp_path: Path) -> None:
    class Scalar:
        """One of numpy."""

        dtype, ndim = "int64", 0

        def item(self) -> int:
            return 5

    name = uuid.uuid4()
    row = {"prompt": "a", "n": Scalar(), "day": date(2026, 11, 25), "id": name, "none": None, "nan": float("nan")}
    fields = [field for field in row if field != "prompt"]
    (result,) = run_task(generate(tmp_path, [row], label_fields=fields))
    assert result["labels"] == {"n": 5, "day": "2026-11-25", "id": str(name)}


def test_a_column_may_be_named_labels(tmp_path: Path) -> None:
    (result,) = run_task(generate(tmp_path, [{"prompt": "a", "labels": "sea, fog"}], label_fields=["labels"]))
    assert result["labels"] == {"labels": "sea, fog"}


def test_a_row_of_a_csv_file_is_a_clip(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    table = "id,prompt,duration,seed,negative_prompt,resolution\n1,a boat,5,,,720p\n2,a port,,12,people,\n"
    rows = list(csv.DictReader(io.StringIO(table)))
    results = run_task(generate(tmp_path, rows, label_fields=["id"]))
    assert [result["labels"]["id"] for result in results] == ["1", "2"]
    model = MODEL["model"]
    assert [result["job"]["request"] for result in results] == [
        {"model": model, "prompt": "a boat", "duration": "5s", "resolution": "720p"},
        {"model": model, "prompt": "a port", "duration": "5s", "negative_prompt": "people", "seed": 12},
    ]
    assert len(venice_simulator.journal.charges) == 2


def test_an_empty_list_makes_nothing(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_task(generate(tmp_path, [])) == []
    assert run_task(VeniceQueueVideoOperator(task_id="queue", request=[], **MODEL)) == []
    assert "The list has no request; nothing is made" in capsys.readouterr().out
    quote = run_task(VeniceQuoteVideoOperator(task_id="quote", request=[], max_cost=1))
    assert quote == {"quotes": [], "total_cost": 0.0, "currency": "USD"}
    assert len(venice_simulator.journal) == 0


def test_a_list_of_one_is_a_list(tmp_path: Path) -> None:
    assert [result["path"] for result in run_task(generate(tmp_path, [{"prompt": "a"}]))] == [f"{tmp_path}/0.mp4"]


def test_the_same_row_twice_is_two_clips_and_the_log_says_so(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"}, {"id": 3, "prompt": "a"}]
    run_task(generate(tmp_path, rows, label_fields=["id"]))
    assert len(venice_simulator.journal.charges) == 3
    twice = "The same request stands more than once, and each is bought: request[2] is that of request[0]"
    assert twice in capsys.readouterr().out


def test_the_place_of_a_mapped_task_is_in_its_path(tmp_path: Path) -> None:
    tries = Tries(map_index=12)
    path = f"{tmp_path}/{{index:03}}.mp4"
    assert run_task(generate(tmp_path, {"prompt": "a"}, output_path=path), tries)["path"] == f"{tmp_path}/012.mp4"
    job = run_task(VeniceQueueVideoOperator(task_id="queue", prompt="a", wait_for_completion=True, **MODEL))
    download = VeniceDownloadVideoOperator(task_id="download", job=job, output_path=f"{tmp_path}/d{{index}}.mp4")
    assert run_task(download, tries)["path"] == f"{tmp_path}/d12.mp4"


@pytest.mark.slow
def test_the_log_of_a_list_ends_in_what_it_has_cost(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = Tries()
    run_task(generate(tmp_path / "good", [{"prompt": "a"}, {"prompt": "b"}]), tries)
    log = capsys.readouterr().out
    assert "2 clips: 2 stored. Paid $0.70 in all" in log
    for position, prompt in enumerate("ab"):
        assert f'request[{position}] "{prompt}": Queued video job' in log
        assert f'request[{position}] "{prompt}": Stored video job' in log
    assert log.count("for $0.35, balance $99.65") == 1
    assert log.count("for $0.35, balance $99.30") == 1
    assert "0.mp4, 5.0 s, 1280x720, " in log
    assert " bytes, $0.35" in log

    body = {"error": {"message": "upstream failed", "credits_refunded": True}}
    venice_simulator.fail("retrieve", status=422, body=body, match="boat", times=2)
    with pytest.raises(Exception, match="upstream failed"):
        run_task(generate(tmp_path / "bad", [{"prompt": "a"}, {"prompt": "a boat"}]))
    summary = "2 clips: 1 stored, 1 failed. Paid $0.35 in all; refunded $0.35, as Venice says"
    assert summary in capsys.readouterr().out


def test_nothing_of_a_list_with_a_wrong_row_is_left(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    (tmp_path / "1.mp4").write_bytes(b"mine")
    with pytest.raises(AirflowFailException, match=r"1 of 2 requests is wrong.*\nrequest\[1\] \"b\": .*exists already"):
        run_task(generate(tmp_path, [{"prompt": "a"}, {"prompt": "b"}]))
    assert [path.name for path in tmp_path.iterdir()] == ["1.mp4"]
    assert clips(tmp_path) == [tmp_path / "1.mp4"]
    assert venice_simulator.journal.charges == []


def test_many_refused_quotes_do_not_bring_the_block(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    venice_simulator.fail("quote", status=400, body={"error": "no"}, times=None)
    rows = [{"prompt": "a", "seed": 1, "extra_body": {"n": n}} for n in range(30)]
    with pytest.raises(AirflowFailException, match="5 of 30 requests are wrong"):
        run_task(generate(tmp_path, rows, max_cost=100, validate=False))
    assert len(venice_simulator.journal.calls("quote")) == 5


def test_a_wrong_row_among_bought_ones_is_named_and_buys_nothing(
    tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = Tries()
    run_task(generate(tmp_path, [{"prompt": "a"}]), tries)
    capsys.readouterr()
    grown = generate(tmp_path, "{{ ti.xcom_pull('table') }}")
    grown.request = [{"prompt": "a"}, {"prompt": "b", "seed": "x"}, {"prompt": "c"}]
    with pytest.raises(
        AirflowFailException, match=r"not submitted, because 1 of 3 requests is wrong, and none is queued"
    ):
        run_task(grown, tries)
    assert 'request[1] "b": the video request is not valid: seed takes a number' in capsys.readouterr().out
    assert len(venice_simulator.journal.charges) == 1
