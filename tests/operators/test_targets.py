"""No two tasks buy a clip for one path: the target is reserved before the first charge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_venice.exceptions import VideoTargetReserved, VideoTimeoutError
from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from tests.running import Tries, clips, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5}

pytestmark = pytest.mark.usefixtures("venice_connection")


def generate(path: Path, **arguments: Any) -> VeniceGenerateVideoOperator:
    return VeniceGenerateVideoOperator(task_id="generate", **{**TEXT, "output_path": path, **arguments})


@pytest.mark.parametrize("overwrite", [False, True])
def test_mapped_tasks_with_one_path_buy_one_clip(
    overwrite: bool, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    path = tmp_path / "clip.mp4"
    waiting = Tries(map_index=0)
    with pytest.raises(VideoTimeoutError):
        run_task(generate(path, overwrite=overwrite, prompt="[simulate: stuck] x", timeout=0), waiting)
    for index in range(1, 6):
        with pytest.raises(AirflowFailException, match=r"is reserved by .*generate\[0\].*ti\.map_index"):
            run_task(generate(path, overwrite=overwrite), Tries(map_index=index))
    assert len(venice_simulator.journal.charges) == 1
    venice_simulator.finish()
    first = run_task(generate(path, overwrite=overwrite, prompt="[simulate: stuck] x"), waiting)
    for index in range(1, 6):
        with pytest.raises(AirflowFailException, match=r"was stored by .*generate\[0\]|exists already"):
            run_task(generate(path, overwrite=overwrite), Tries(map_index=index))
    assert len(venice_simulator.journal.charges) == 1
    assert path.stat().st_size == first["size"]


def test_the_next_run_replaces_the_clip_where_it_may(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    path = tmp_path / "latest.mp4"
    digests = {run_task(generate(path, overwrite=True), Tries(run_id=run))["sha256"] for run in ("one", "two", "three")}
    assert len(digests) == len(venice_simulator.journal.charges) == 3


def test_another_run_that_is_making_its_clip_is_waited_for_by_a_retry(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    path, monday = tmp_path / "latest.mp4", Tries(run_id="monday")
    task: dict[str, Any] = {"overwrite": True, "prompt": "[simulate: stuck] x"}
    with pytest.raises(VideoTimeoutError):
        run_task(generate(path, **task, timeout=0), monday)
    with pytest.raises(VideoTargetReserved, match="run 'monday'") as reserved:  # which Airflow retries
        run_task(generate(path, **task), Tries(run_id="tuesday"))
    assert reserved.value.can_heal
    assert len(venice_simulator.journal.charges) == 1


def test_a_killed_try_leaves_its_reservation_to_the_next(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    class Killed(BaseException):
        """The worker is gone."""

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    path, tries = tmp_path / "clip.mp4", Tries()
    tries.store.set = kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_task(generate(path), tries)
    del tries.store.set
    with pytest.raises(AirflowFailException, match="is reserved by"):
        run_task(generate(path), Tries(map_index=1))
    assert run_task(generate(path), tries)["path"] == str(path)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize(
    ("fault", "prompt"),
    [({"status": 402}, "x"), ({"status": 422}, "x"), (None, "[simulate: fail] x"), (None, "[simulate: refund] x")],
    ids=["no balance", "policy", "failed", "refunded"],
)
def test_what_comes_to_nothing_reserves_nothing(
    fault: dict[str, Any] | None, prompt: str, tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    if fault is not None:
        venice_simulator.fail("queue", **fault)
    with pytest.raises(AirflowFailException):
        run_task(generate(tmp_path / "clip.mp4", prompt=prompt))
    assert list(tmp_path.iterdir()) == []


def test_a_list_reserves_all_of_its_paths_or_none(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    request = [{"prompt": "a"}, {"prompt": "b"}]
    (tmp_path / "1.mp4").write_bytes(b"mine")
    task = generate(tmp_path / "{index}.mp4", request=request, prompt=None)
    with pytest.raises(AirflowFailException, match=r"1\.mp4"):
        run_task(task)
    assert [path.name for path in tmp_path.iterdir()] == ["1.mp4"]
    assert venice_simulator.journal.charges == []


def test_two_downloads_to_one_path_do_not_replace_each_other(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    jobs = [run_task(generate(tmp_path / name))["job"] for name in ("a.mp4", "b.mp4")]
    path = tmp_path / "clip.mp4"
    tasks = [VeniceDownloadVideoOperator(task_id="download", job=job, output_path=path, overwrite=True) for job in jobs]
    stored = run_task(tasks[0], Tries(map_index=0))
    with pytest.raises(AirflowFailException, match=r"was stored by .*download\[0\]"):
        run_task(tasks[1], Tries(map_index=1))
    assert run_task(tasks[0], Tries(map_index=0))["sha256"] == stored["sha256"]
    assert {path.name for path in clips(tmp_path)} == {"a.mp4", "b.mp4", "clip.mp4"}
