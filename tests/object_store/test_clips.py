"""Clips in a real S3 server: whole, under exactly their keys, paid once."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.object_store.tasks import CONN_ID, TEXT, WRONG_SECRET, generate
from tests.running import Tries, run_task
from tests.system.object_store import ObjectStore

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

#: Keys that a URL, a shell or a glob would read as something else.
KEYS = [
    "café/日本 🎬.mp4",
    "cafe\u0301.mp4",
    "two words+plus#hash.mp4",
    "a?b=c&d.mp4",
    "a%20b%2Fc 100%.mp4",
    "a*b[c]{d}.mp4",
    'it\'s "so"\\n@c:d;e,f.mp4',
    "deep/er/deep.er/a..b.mp4",
    "a//b.mp4",
    "x" * 300 + ".mp4",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("venice_connection"),
]


def test_a_clip_and_its_manifest(object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator) -> None:
    path, tries = f"s3://{CONN_ID}@{bucket}/films/clip.mp4", Tries()
    stored = run_task(generate(path, manifest=True), tries)
    data = object_store.read(bucket, "films/clip.mp4")
    assert (stored["path"], stored["size"]) == (path, len(data))
    assert stored["sha256"] == hashlib.sha256(data).hexdigest()
    # The reservation is gone.
    assert set(object_store.sizes(bucket)) == {"films/clip.mp4", "films/clip.mp4.json"}
    record = json.loads(object_store.read(bucket, "films/clip.mp4.json"))
    assert (record["status"], record["path"], record["sha256"]) == ("stored", path, stored["sha256"])

    url = object_store.client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "films/clip.mp4"})
    served = requests.get(url, timeout=10)
    assert served.content == data
    assert served.headers["Content-Type"] == "video/mp4"
    part = requests.get(url, headers={"Range": "bytes=4-7"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"ftyp")

    assert run_task(generate(path, manifest=True), tries)["sha256"] == stored["sha256"]
    assert len(venice_simulator.journal.charges) == 1


def test_a_key_is_taken_as_it_is(object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator) -> None:
    paths = [f"s3://{CONN_ID}@{bucket}/{key}" for key in KEYS]
    task = generate(paths, request=[{"prompt": key} for key in KEYS], prompt=None, manifest=True)
    tries = Tries()
    stored = run_task(task, tries)
    sizes = object_store.sizes(bucket)
    assert set(sizes) == {*KEYS, *(f"{key}.json" for key in KEYS)}
    assert [clip["path"] for clip in stored] == paths
    assert [clip["size"] for clip in stored] == [sizes[key] for key in KEYS]
    # Read back under the same names, and refused to others.
    assert [clip["sha256"] for clip in run_task(task, tries)] == [clip["sha256"] for clip in stored]
    for path in paths:
        with pytest.raises(AirflowFailException, match="exists already"):
            run_task(generate(path), Tries(run_id="another"))
    assert len(venice_simulator.journal.charges) == len(KEYS)


def test_overwrite(object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator) -> None:
    path = f"s3://{CONN_ID}@{bucket}/latest.mp4"
    first = run_task(generate(path), Tries(run_id="one"))
    download = {"task_id": "download", "job": first["job"], "output_path": path}
    for refused in (generate(path), VeniceDownloadVideoOperator(**download)):
        with pytest.raises(AirflowFailException, match="exists already"):
            run_task(refused, Tries(run_id="two"))
    assert len(venice_simulator.journal.charges) == 1

    def digest() -> str:
        return hashlib.sha256(object_store.read(bucket, "latest.mp4")).hexdigest()

    second = run_task(generate(path, overwrite=True), Tries(run_id="three"))
    assert digest() == second["sha256"] != first["sha256"]
    run_task(VeniceDownloadVideoOperator(**download, overwrite=True), Tries(run_id="four"))
    assert digest() == first["sha256"]
    assert len(venice_simulator.journal.charges) == 2


def test_a_clip_that_is_there_is_reused(
    object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    def make(run_id: str, *prompts: str) -> Any:
        requests = [{"prompt": prompt} for prompt in prompts]
        path = f"s3://{CONN_ID}@{bucket}/{{index}}.mp4"
        return run_task(generate(path, request=requests, prompt=None, existing="reuse"), Tries(run_id=run_id))

    first = make("one", "a", "b")
    second = make("two", "a", "b", "c")
    assert [clip.get("reused") for clip in second] == [True, True, None]
    assert [clip["sha256"] for clip in second[:2]] == [clip["sha256"] for clip in first]
    with pytest.raises(AirflowFailException, match=r"request\[1\] \"d\": .* prompt 'b' → 'd'"):
        make("three", "a", "d", "c", "e")
    assert len(venice_simulator.journal.charges) == 3
    # One that somebody has put into its place is read, as it does not carry the digest of the clip.
    object_store.write(bucket, "0.mp4", object_store.read(bucket, "1.mp4"))
    with pytest.raises(AirflowFailException, match=r"0\.mp4' is not the clip that its manifest .* describes"):
        make("four", "a")
    assert len(venice_simulator.journal.charges) == 3
    # Nobody holds a name.
    assert set(object_store.sizes(bucket)) == {f"{n}.mp4{end}" for n in range(3) for end in ("", ".json")}


@pytest.mark.parametrize(
    ("conn_id", "name", "words"),
    [
        (WRONG_SECRET, "{bucket}", "not permitted|Forbidden"),
        (CONN_ID, "no-bucket", "there is no such bucket.*no-bucket"),
    ],
    ids=["wrong secret", "missing bucket"],
)
def test_a_store_that_takes_nothing_stops_the_task_before_payment(
    conn_id: str, name: str, words: str, object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    path = f"s3://{conn_id}@{name.format(bucket=bucket)}/clip.mp4"
    with pytest.raises(AirflowFailException, match=words):
        run_task(generate(path))
    assert venice_simulator.journal.charges == []
    assert object_store.sizes(bucket) == {}


def test_a_reference_image_is_read_from_the_store(
    object_store: ObjectStore, bucket: str, venice_simulator: VeniceSimulator
) -> None:
    object_store.write(bucket, "first frame #1.png", PIXEL)
    image = {**TEXT, "model": "wan-2-7-image-to-video", "image_url": f"s3://{CONN_ID}@{bucket}/first frame #1.png"}
    run_task(generate(f"s3://{CONN_ID}@{bucket}/clip.mp4", **image))
    sent = venice_simulator.jobs[-1].body["image_url"]
    assert sent == f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    with pytest.raises(AirflowFailException, match=r"no such file .*first frame #1\.pngx"):
        run_task(
            generate(f"s3://{CONN_ID}@{bucket}/other.mp4", **{**image, "image_url": f"{image['image_url']}x"}),
        )
    assert len(venice_simulator.journal.charges) == 1
