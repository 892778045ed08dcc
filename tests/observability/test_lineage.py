"""What the operators say to the OpenLineage provider, in its own classes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.openlineage.extractors.base import DefaultExtractor

from airflow_provider_venice.api.fingerprint import fingerprint
from airflow_provider_venice.api.request import VideoRequest
from airflow_provider_venice.generation.lineage import LineageClip, describe_lineage
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
    VeniceQuoteVideoOperator,
)
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}


def lineage(task: Any, *, failed: bool = False) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the clips of the facet, and the outputs, as the provider's extractor takes them."""
    extractor = DefaultExtractor(task)
    found = extractor.extract_on_failure(None) if failed else extractor.extract_on_complete(None)
    assert found is not None
    facet = found.run_facets.get("venice")
    return [] if facet is None else facet.clips, found.outputs


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "in the worker"])
def test_a_clip(venice_connection: str, tmp_path: Path, deferrable: bool) -> None:
    task = VeniceGenerateVideoOperator(
        task_id="generate", output_path=tmp_path / "clip.mp4", deferrable=deferrable, seed=7, **TEXT
    )
    result = run_task(task)
    clips, outputs = lineage(task)
    assert clips == [
        {
            "status": "stored",
            "model": TEXT["model"],
            "queueId": result["job"]["queue_id"],
            "requestFingerprint": fingerprint(VideoRequest(**TEXT, seed=7)),
            "seed": 7,
            "estimatedCostUsd": 0.35,
            "path": result["path"],
            "sha256": hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest(),
        }
    ]
    assert [(one.namespace, one.name) for one in outputs] == [("file", result["path"])]
    assert outputs[0].outputFacets["outputStatistics"].size == result["size"]


def test_a_list_of_which_one_fails(venice_connection: str, tmp_path: Path) -> None:
    rows = [{"prompt": "a"}, {"prompt": "[simulate: fail] b"}, {"prompt": "[simulate: policy] c"}]
    fields = {**TEXT, "prompt": None}
    task = VeniceGenerateVideoOperator(task_id="g", request=rows, output_path=tmp_path / "{index}.mp4", **fields)
    with pytest.raises(AirflowFailException):
        run_task(task)
    clips, outputs = lineage(task, failed=True)
    assert [clip["status"] for clip in clips] == ["stored", "failed"]  # the third was not bought
    assert len({clip["queueId"] for clip in clips} | {clip["requestFingerprint"] for clip in clips}) == 4
    assert [one.name for one in outputs] == [clips[0]["path"]]


def test_a_doubt(venice_connection: str) -> None:
    task = VeniceQueueVideoOperator(task_id="queue", **{**TEXT, "prompt": "[simulate: lost] a"})
    with pytest.raises(AirflowFailException, match="may have been accepted"):
        run_task(task)
    ((clip,), outputs) = lineage(task, failed=True)
    assert (clip["status"], clip["queueId"], clip["estimatedCostUsd"]) == ("doubt", None, 0.35)
    assert not outputs


def test_queue_and_download(venice_connection: str, tmp_path: Path) -> None:
    queue = VeniceQueueVideoOperator(task_id="queue", wait_for_completion=True, **TEXT)
    job = run_task(queue)
    download = VeniceDownloadVideoOperator(task_id="download", job=job, output_path=tmp_path / "clip.mp4")
    stored = run_task(download, Tries(run_id="another"))
    ((queued,), nothing), ((kept,), (output,)) = lineage(queue), lineage(download)
    assert not nothing
    assert queued["queueId"] == kept["queueId"] == job["queue_id"]
    assert (queued["status"], queued["path"]) == ("completed", None)
    assert (kept["status"], kept["sha256"], kept["requestFingerprint"]) == ("stored", stored["sha256"], None)
    assert output.name == stored["path"]


def test_recovered(venice_connection: str, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    hook = VeniceHook(venice_connection)
    refused, job = hook.queue(TEXT), hook.queue(TEXT)
    venice_simulator.finish()
    venice_simulator.fail("retrieve", match=refused.queue_id, status=401, times=2)
    recover = VeniceRecoverVideosOperator(task_id="recover", output_dir=str(tmp_path), jobs=[refused, job])
    with pytest.raises(AirflowFailException):
        run_task(recover)
    ((clip,), (output,)) = lineage(recover, failed=True)
    file = tmp_path / f"{job.queue_id}.mp4"
    assert (clip["status"], clip["queueId"], clip["estimatedCostUsd"]) == ("collected", job.queue_id, 0.35)
    assert (clip["path"], clip["sha256"]) == (str(file), hashlib.sha256(file.read_bytes()).hexdigest())
    assert output.name == str(file)


def test_what_buys_nothing_has_no_facet(venice_connection: str) -> None:
    quote = VeniceQuoteVideoOperator(task_id="quote", **TEXT)
    run_task(quote)
    assert lineage(quote) == ([], [])
    assert lineage(VeniceQueueVideoOperator(task_id="never", **TEXT), failed=True) == ([], [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/clip.mp4", ("file", "/data/clip.mp4")),
        ("file:///data/clip #1?.mp4", ("file", "/data/clip #1?.mp4")),
        ("s3://aws_default@bucket/a/clip #1?.mp4", ("s3://bucket", "a/clip #1?.mp4")),
        ("gs://bucket/clip.mp4", ("gs://bucket", "clip.mp4")),
    ],
)
def test_the_name_of_a_file(path: str, expected: tuple[str, str]) -> None:
    file = {"path": path, "size": 1, "sha256": "0"}
    (output,) = describe_lineage([LineageClip("stored", "a-model", file=file)]).outputs
    assert (output.namespace, output.name) == expected
