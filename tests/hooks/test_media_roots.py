"""Only files below ``[venice] media_roots`` are sent to Venice, where that is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_venice.exceptions import VeniceRequestError
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.simulator import VeniceSimulator

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
IMAGE: dict[str, Any] = {"model": "wan-2-7-image-to-video", "prompt": "waves", "duration": 5}


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that may be read; beside it lies a secret."""
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "frame.png").write_bytes(PNG)
    (tmp_path / "media-secret").mkdir()
    (tmp_path / "media-secret" / "frame.png").write_bytes(PNG)
    monkeypatch.setenv("AIRFLOW__VENICE__MEDIA_ROOTS", f"/nonexistent, {folder}/")
    return folder


@pytest.fixture
def hook(venice_connection: str) -> VeniceHook:
    return VeniceHook(venice_connection)


def test_a_file_below_a_root_is_sent(media: Path, hook: VeniceHook, venice_simulator: VeniceSimulator) -> None:
    (media / "link.png").symlink_to(media / "frame.png")
    given = (media / "frame.png", f"file://{media}/frame.png", f"{media}/../media/frame.png", media / "link.png", PNG)
    for image in (*given, "https://example.com/frame.png"):
        hook.queue(IMAGE, image=image)
    assert len(venice_simulator.journal.charges) == 6


@pytest.mark.parametrize(
    "value",
    ["/etc/passwd", "{media}/../media-secret/frame.png", "{media}/out.png", "{media}-secret/frame.png", "/no/such.png"],
)
def test_a_file_elsewhere_is_refused_before_payment_whether_or_not_it_is_there(
    value: str, media: Path, hook: VeniceHook, venice_simulator: VeniceSimulator
) -> None:
    (media / "out.png").symlink_to(media.parent / "media-secret" / "frame.png")
    with pytest.raises(VeniceRequestError, match=r"image_url cannot be read: .* is not below a folder .*media_roots"):
        hook.queue(IMAGE, image=value.format(media=media))
    with pytest.raises(VeniceRequestError, match="media_roots"):
        hook.quote(model="topaz-video-upscale", video_url=value.format(media=media))
    assert not venice_simulator.journal.calls("queue")
    assert not venice_simulator.journal.calls("quote")


@pytest.mark.parametrize("field", ["reference_document_urls", "reference_image_urls", "end_image_url", "elements"])
def test_every_media_field_is_checked(field: str, media: Path, hook: VeniceHook) -> None:
    value: Any = [{"frontal_image_url": "/etc/passwd"}] if field == "elements" else "/etc/passwd"
    with pytest.raises(VeniceRequestError, match=f"{field}.*media_roots"):
        hook.queue(IMAGE, **{field: value})


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("memory://frames/a.png", True),
        ("memory://frames/deep/a.png", True),
        ("memory://frames-secret/a.png", False),
        ("memory://other@frames/a.png", False),
        ("memory://frames/../frames-secret/a.png", False),
        ("{media}/frame.png", False),
    ],
)
def test_an_object_is_checked_as_it_is_written(
    value: str, allowed: bool, media: Path, hook: VeniceHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    make: Any = MemoryFileSystem
    attach("memory").fs = make()
    attach("memory", conn_id="other", fs=make())
    for key in ("frames/a.png", "frames/deep/a.png", "frames-secret/a.png"):
        with ObjectStoragePath(f"memory://{key}").open("wb") as file:
            file.write(PNG)
    monkeypatch.setenv("AIRFLOW__VENICE__MEDIA_ROOTS", "memory://frames/")
    value = value.format(media=media)
    if allowed:
        assert hook.queue(IMAGE, image=value).queue_id
        return
    with pytest.raises(VeniceRequestError, match="media_roots"):
        hook.queue(IMAGE, image=value)


def test_without_the_option_every_file_is_sent(media: Path, hook: VeniceHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__VENICE__MEDIA_ROOTS")
    assert hook.queue(IMAGE, image=media.parent / "media-secret" / "frame.png").queue_id
