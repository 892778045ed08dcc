"""What the API server shows of clips in a real object store."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_venice.plugin.files import ClipUnavailable, open_clip, presigned_url
from airflow_provider_venice.simulator.media import ClipSpec, encode
from airflow_provider_venice.storage import store_video
from airflow_provider_venice.storage.partial import PartialFile
from tests.object_store.tasks import CONN_ID, WRONG_SECRET
from tests.system.object_store import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.serial]

MP4 = encode(ClipSpec("a clip", seconds=1, width=64, height=64, fps=12, audio=False), lambda: False)


@pytest.fixture
def announced(object_store: ObjectStore, bucket: str) -> dict[str, Any]:
    """What a task says of a clip that it has stored."""

    def receive(partial: PartialFile) -> None:
        partial.expected_size = len(MP4)
        partial.write(MP4)

    return store_video(f"s3://{CONN_ID}@{bucket}/clips/clip.mp4", receive).to_dict()


def test_the_digest_is_kept_with_the_object(announced: dict[str, Any], object_store: ObjectStore, bucket: str) -> None:
    kept = object_store.client().head_object(Bucket=bucket, Key="clips/clip.mp4")["Metadata"]
    assert kept == {"sha256": announced["sha256"]}


def test_a_clip_is_passed_on_in_parts(announced: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(presigned_url(announced, as_attachment=False)).startswith("http")
    monkeypatch.setenv("AIRFLOW__VENICE__UI_PRESIGNED_URLS", "False")
    assert presigned_url(announced, as_attachment=False) is None
    for start, stop in ((0, len(MP4)), (10, 20), (len(MP4) - 1, len(MP4))):
        assert b"".join(open_clip(announced).chunks(start, stop)) == MP4[start:stop]


def test_what_is_not_what_was_announced_is_not_shown(
    announced: dict[str, Any], object_store: ObjectStore, bucket: str
) -> None:
    other = MP4[:-1] + bytes([MP4[-1] ^ 1])
    object_store.write(bucket, "clips/other.mp4", other)
    object_store.write(bucket, "clips/text.mp4", b"secret".ljust(len(MP4)))
    place = f"s3://{CONN_ID}@{bucket}/clips"
    for path in (
        f"{place}/other.mp4",
        f"{place}/text.mp4",
        f"{place}/none.mp4",
        f"{place}/",
        f"s3://{WRONG_SECRET}@{bucket}/clips/clip.mp4",
        f"s3://no_such_connection@{bucket}/clips/clip.mp4",
        f"s3://{CONN_ID}@no-such-bucket/clip.mp4",
    ):
        with pytest.raises(ClipUnavailable):
            open_clip({**announced, "path": path})
    # The same bytes under another name, with no digest beside them: they are read.
    object_store.write(bucket, "clips/copy.mp4", MP4)
    open_clip({**announced, "path": f"{place}/copy.mp4"}).file.close()
