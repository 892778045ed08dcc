"""What the API server answers to whom: nothing without a login, nothing of a DAG that a user may not read."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from airflow_provider_venice.simulator.media import ClipSpec, encode
from airflow_provider_venice.storage import existing_video
from tests.ui.airflow import AirflowUI

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return encode(ClipSpec("a clip", seconds=1, width=64, height=64, fps=12, audio=False), lambda: False)


def stored(path: Path, queue_id: str = "q1", **fields: Any) -> dict[str, Any]:
    """Return what a task writes of a clip that it has stored."""
    file = existing_video(path)
    assert file is not None
    job = {"model": "wan", "queue_id": queue_id, "queued_at": time.time(), "download_url": "fernet:c2VjcmV0"}
    return {
        "status": "stored",
        "job": job,
        "request": {"prompt": "Waves"},
        "labels": {},
        "stored_at": "2026-11-25T10:00:00Z",
        **file.to_dict(),
        **fields,
    }


@pytest.fixture(scope="module")
def written(airflow_ui: AirflowUI, mp4: bytes) -> dict[str, Any]:
    """The address of a clip that everybody may see."""
    path = airflow_ui.folder / "seen.mp4"
    path.write_bytes(mp4)
    return {"dag_id": "written", "run_id": airflow_ui.write([stored(path)]), "task_id": "write"}


@pytest.fixture(scope="module")
def hidden(airflow_ui: AirflowUI) -> dict[str, Any]:
    """The address of a clip that not everybody may see."""
    path = airflow_ui.folder / "hidden.mp4"
    path.write_bytes(encode(ClipSpec("hidden", seconds=1, width=64, height=64, fps=12, audio=False), lambda: False))
    return {"dag_id": "hidden", "run_id": airflow_ui.write([stored(path)], "hidden"), "task_id": "write"}


def test_a_visitor_gets_nothing(airflow_ui: AirflowUI, written: dict[str, Any]) -> None:
    paths = [
        "clips",
        "run",
        "clip",
        "assets/venice.css",
        "api/clips",
        "api/updates?id=a",
        f"stream?{urlencode(written)}",
    ]
    for path in paths:
        assert airflow_ui.get(path).status_code == 200, path
        answer = airflow_ui.get(path, user=None)
        assert answer.status_code == 401, path
        assert "Waves" not in answer.text
        forged = requests.get(
            f"{airflow_ui.stack.ui_url}/venice/{path}", cookies={"_token": "eyJhbGciOiJub25lIn0.e30."}, timeout=30
        )
        assert forged.status_code in (401, 403), path


def test_a_clip_is_only_for_those_who_may_read_its_dag(airflow_ui: AirflowUI, hidden: dict[str, Any]) -> None:
    (shown,) = airflow_ui.get(f"api/clips?{urlencode(hidden)}").json()["clips"]
    assert airflow_ui.get(shown["stream"]).status_code == 200

    assert airflow_ui.get(shown["stream"], user="viewer").status_code == 403
    twice = f"stream?{urlencode({**hidden, 'dag_id': 'written'})}&dag_id=hidden"
    assert airflow_ui.get(twice, user="viewer").status_code == 403
    assert not airflow_ui.get("api/updates", "viewer", params={"id": shown["id"]}).json()["clips"]
    for query in ({}, hidden, {"dag_id": "hidden"}, {"search": "Waves"}, {"dag_id": "~"}, {"run_id": hidden["run_id"]}):
        answer = airflow_ui.get(f"api/clips?{urlencode(query)}", user="viewer")
        assert answer.status_code == 200
        assert "hidden" not in answer.text, query
        assert not any(clip["dag_id"] == "hidden" for clip in answer.json()["clips"])


def test_a_clip_comes_whole_and_in_parts(airflow_ui: AirflowUI, written: dict[str, Any], mp4: bytes) -> None:
    (shown,) = airflow_ui.get(f"api/clips?{urlencode(written)}", user="viewer").json()["clips"]
    assert "c2VjcmV0" not in str(shown), "private links stay where they are"
    whole = airflow_ui.get(shown["stream"], user="viewer")
    assert hashlib.sha256(whole.content).hexdigest() == shown["file"]["sha256"]
    assert whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in whole.headers["Content-Security-Policy"]
    saved = airflow_ui.get(f"{shown['stream']}&download=1")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="seen.mp4"'
    size, tag = len(mp4), whole.headers["ETag"]
    for header, status, content in [
        ({"Range": "bytes=0-0"}, 206, mp4[:1]),
        ({"Range": "bytes=-4"}, 206, mp4[-4:]),
        ({"Range": f"bytes={size}-"}, 416, b""),
        ({"Range": "bytes=0-1,3-4"}, 200, mp4),
        ({"Range": "bytes=9-2"}, 200, mp4),
        ({"Range": "lines=1-2"}, 200, mp4),
        ({"Range": "bytes=0-3", "If-Range": tag}, 206, mp4[:4]),
        ({"Range": "bytes=0-3", "If-Range": '"other"'}, 200, mp4),
        ({"If-None-Match": tag}, 304, b""),
    ]:
        answer = airflow_ui.get(shown["stream"], headers=header)
        assert (answer.status_code, answer.content) == (status, content), header
    session = airflow_ui.session("admin")
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for path in ("clips", "api/clips", shown["stream"]):
            assert session.request(method, f"{airflow_ui.stack.ui_url}/venice/{path}", timeout=30).status_code == 405


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/etc/passwd"},
        {"dag_id": "../hidden"},
        {"dag_id": "~"},
        {"dag_id": ""},
        {"run_id": "~"},
        {"run_id": "../../etc/passwd"},
        {"task_id": "write/../write"},
        {"task_id": "%"},
        {"map_index": "0"},
        {"map_index": "-2"},
        {"position": "1"},
        {"position": "999999999999999999999"},
        {"run_id": "a\0b"},
        {"task_id": "' OR 1=1 --"},
    ],
    ids=str,
)
def test_an_address_leads_to_the_clip_of_its_task_or_nowhere(
    changed: dict[str, str], airflow_ui: AirflowUI, written: dict[str, Any], mp4: bytes
) -> None:
    answer = airflow_ui.get(f"stream?{urlencode({**written, **changed})}")
    if "path" in changed:
        assert answer.content == mp4, "a path is not looked at"
    else:
        assert answer.status_code in (403, 404, 422)
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("position", ["-1", "a", "1.5", "", "0x0"])
def test_a_position_is_a_number(position: str, airflow_ui: AirflowUI, written: dict[str, Any]) -> None:
    assert airflow_ui.get(f"stream?{urlencode({**written, 'position': position})}").status_code == 422


@pytest.mark.parametrize(
    "path", ["assets/../app.py", "assets/..%2fapp.py", "assets/%2e%2e/%2e%2e/app.py", "assets/", "assets/a/b", "app.py"]
)
def test_nothing_but_the_pages_is_served(path: str, airflow_ui: AirflowUI) -> None:
    answer = airflow_ui.session("admin").send(
        requests.Request(
            "GET", f"{airflow_ui.stack.ui_url}/venice/{path}", cookies=airflow_ui.session("admin").cookies
        ).prepare(),
        timeout=30,
    )
    assert "FastAPI" not in answer.text
    assert answer.status_code == 404


def test_what_a_task_forges_shows_nothing_of_others(
    airflow_ui: AirflowUI, written: dict[str, Any], hidden: dict[str, Any], mp4: bytes, tmp_path: Path
) -> None:
    outside, text = tmp_path / "outside.mp4", airflow_ui.folder / "text.mp4"
    outside.write_bytes(mp4)
    (airflow_ui.folder / "link.mp4").symlink_to(outside)
    text.write_bytes(b"AIRFLOW__CORE__FERNET_KEY=secret")
    entry = stored(outside)
    (theirs,) = airflow_ui.get(f"api/clips?{urlencode(hidden)}").json()["clips"]
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    forged: list[dict[str, Any]] = [
        entry,
        {**entry, "path": "/etc/passwd", "size": Path("/etc/passwd").stat().st_size},
        {**entry, "path": str(airflow_ui.folder / "link.mp4")},
        {**entry, "path": f"{airflow_ui.folder}/../../{outside.parent.name}/outside.mp4"},
        {**entry, "path": theirs["file"]["path"]},
        {**entry, "path": theirs["file"]["path"], "size": theirs["file"]["size"]},
        {**entry, "path": str(text), "size": 32, "sha256": digest},
        {**entry, "path": f"{airflow_ui.stack.ui_url}/api/v2/connections"},
        {**entry, "path": "s3://no_such_connection@bucket/clip.mp4"},
        {**entry, "path": "s3:///clip.mp4"},
        {**entry, "path": f"file://{outside}"},
        {**entry, "path": ["/etc/passwd"]},
        {"status": "stored"},
        # What is there, and what the task does not say that it has stored.
        {**stored(airflow_ui.folder / "seen.mp4"), "status": "completed"},
    ]
    run_id = airflow_ui.write(forged)
    for position in range(len(forged)):
        address = {"dag_id": "written", "run_id": run_id, "task_id": "write", "position": position}
        answer = airflow_ui.get(f"stream?{urlencode(address)}")
        assert answer.status_code == 404, forged[position]
        assert answer.headers["Content-Type"] == "application/json"
    answer = airflow_ui.get(f"api/clips?{urlencode({'dag_id': 'written', 'run_id': run_id})}")
    assert answer.status_code == 200, "and the page shows the others"
    # A job of the same name in another run keeps its face.
    (again,) = airflow_ui.get(f"api/clips?{urlencode(hidden)}").json()["clips"]
    assert again == theirs


@pytest.mark.parametrize(
    "value", ["text", 7, None, {"a": 1}, [1, None, "x"], [[{}]], [{"job": {"queue_id": {}}, "status": []}]]
)
def test_whatever_a_task_writes_the_pages_are_there(value: Any, airflow_ui: AirflowUI) -> None:
    airflow_ui.write(value)
    assert airflow_ui.get("api/clips").status_code == 200


@pytest.mark.parametrize(
    "query", ["after=yesterday", "limit=0", "limit=201", "offset=-1", "map_index=x", "before=2026-13-01"]
)
def test_a_wrong_query_is_refused(query: str, airflow_ui: AirflowUI) -> None:
    assert airflow_ui.get(f"api/clips?{query}").status_code == 422
