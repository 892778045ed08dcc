"""Which files the API server serves: whole MP4s below a root, which are what their task has announced."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.plugin.files import (
    ClipUnavailable,
    download_name,
    open_clip,
    presigned_url,
    why_not_served,
)
from airflow_provider_venice.simulator.media import ClipSpec, encode
from airflow_provider_venice.storage import existing_video


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return encode(ClipSpec("a clip", seconds=1, width=64, height=64, fps=12, audio=False), lambda: False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that may be shown; beside it lies another."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (tmp_path / "clips-private").mkdir()
    monkeypatch.setenv("AIRFLOW__VENICE__UI_ROOTS", f"/nonexistent, {folder}/")
    return folder


@pytest.fixture
def announced(root: Path, mp4: bytes) -> dict[str, Any]:
    path = root / "clip.mp4"
    path.write_bytes(mp4)
    stored = existing_video(path)
    assert stored is not None
    return stored.to_dict()


def refused(file: dict[str, Any]) -> str:
    with pytest.raises(ClipUnavailable) as error:
        open_clip(file)
    return str(error.value)


def test_a_clip_is_served_whole_and_in_parts(announced: dict[str, Any], mp4: bytes) -> None:
    for start, stop in ((0, len(mp4)), (5, 6), (len(mp4) - 3, len(mp4))):
        served = open_clip(announced)
        assert b"".join(served.chunks(start, stop)) == mp4[start:stop]
        assert served.file.closed
    assert (served.size, served.sha256, served.name) == (len(mp4), announced["sha256"], "clip.mp4")
    assert presigned_url(announced, as_attachment=True) is None
    served = open_clip({**announced, "path": f"file://{announced['path']}"})
    served.file.close()


def test_nothing_local_is_shown_where_no_root_is_configured(
    announced: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW__VENICE__UI_ROOTS")
    assert "ui_roots" in refused(announced)
    assert "ui_roots" in str(why_not_served(announced))


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../clips-private/clip.mp4",
        "{root}-private/clip.mp4",
        "{root}/out.mp4",
        "{root}/folder/clip.mp4",
        "file://{root}/../clips-private/clip.mp4",
        "/proc/self/root{root}-private/clip.mp4",
        "/etc/passwd",
        "clip.mp4",
        "~/clip.mp4",
    ],
)
def test_a_file_elsewhere_is_not_shown_by_whatever_path(
    path: str, root: Path, announced: dict[str, Any], mp4: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = root.parent / "clips-private"
    (private / "clip.mp4").write_bytes(mp4)
    (root / "out.mp4").symlink_to(private / "clip.mp4")
    (root / "folder").symlink_to(private)
    monkeypatch.setenv("HOME", str(private))
    monkeypatch.chdir(private)
    assert "ui_roots" in refused({**announced, "path": path.format(root=root)})


@pytest.mark.parametrize("name", ["", ".", "clip.mp4/", "none.mp4", "pipe", "clip.mp4/..", "a\0b", "folder"])
def test_what_is_no_file_is_not_shown(name: str, root: Path, announced: dict[str, Any]) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    ended = threading.Event()

    def ask() -> None:
        refused({**announced, "path": f"{root}/{name}"})
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    assert ended.wait(10), "a pipe is not waited for"


@pytest.mark.parametrize(
    "change",
    [
        lambda path, mp4: path.write_bytes(mp4[:-1]),
        lambda path, mp4: path.write_bytes(mp4 + b"\0"),
        lambda path, mp4: path.write_bytes(mp4[:-1] + bytes([mp4[-1] ^ 1])),
        lambda path, mp4: path.write_bytes(b"root:x:0:0".ljust(len(mp4))),
        lambda path, mp4: path.unlink(),
        lambda path, mp4: (path.unlink(), path.symlink_to("/etc/passwd")),
    ],
    ids=["cut", "longer", "changed", "text", "gone", "a link"],
)
def test_a_file_that_has_changed_is_not_shown(
    change: Callable[[Path, bytes], object], announced: dict[str, Any], mp4: bytes
) -> None:
    open_clip(announced).file.close()
    change(Path(announced["path"]), mp4)
    refused(announced)


def test_a_file_that_is_no_mp4_is_not_shown_although_its_digest_is_right(root: Path) -> None:
    text = b"root:x:0:0:root:/root:/bin/bash\n"
    (root / "passwd").write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    refused({"path": str(root / "passwd"), "size": len(text), "sha256": digest})


def test_a_clip_of_somebody_else_is_not_shown_without_its_digest(root: Path, announced: dict[str, Any]) -> None:
    shutil.copy(announced["path"], root / "other.mp4")
    for wrong in ("", "0" * 64, announced["sha256"].upper(), None, 7, ["x"]):
        refused({**announced, "path": str(root / "other.mp4"), "sha256": wrong})
    for size in (None, "9", announced["size"] + 1, float(announced["size"]) + 0.5):
        refused({**announced, "size": size})


@pytest.mark.parametrize(
    "path", [None, 7, ["/clips/a.mp4"], {"a": 1}, "http://127.0.0.1:1/a.mp4", "ftp://h/a.mp4", "memory://a", "s3://"]
)
def test_what_is_no_path_is_not_shown(path: Any, announced: dict[str, Any]) -> None:
    refused({**announced, "path": path})


@pytest.mark.parametrize(
    ("name", "header"),
    [("a.mp4", "a.mp4"), ('a"b\r\nX: y.mp4', "a_b__X_ y.mp4"), ("a/b", "a_b.mp4"), ("Ümlaut.MP4", "_mlaut.MP4")],
)
def test_a_name_fits_into_a_header(name: str, header: str) -> None:
    assert download_name(name) == header
