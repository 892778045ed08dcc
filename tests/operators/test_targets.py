"""No two tasks buy a clip for one path: the target is reserved before the first charge."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_provider_venice.exceptions import (
    VideoBatchError,
    VideoDownloadError,
    VideoTargetReserved,
    VideoTargetUnavailable,
    VideoTimeoutError,
)
from airflow_provider_venice.hooks.venice import VeniceHook
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import (
    VeniceDownloadVideoOperator,
    VeniceGenerateVideoOperator,
    VeniceQueueVideoOperator,
)
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
        run_task(generate(path, overwrite=overwrite, prompt="[simulate: stuck] x", timeout=0.001), waiting)
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
        run_task(generate(path, **task, timeout=0.001), monday)
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


@pytest.mark.slow
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


def disk(folder: Path, options: str) -> None:
    """Mount a file system in memory on a folder, or mount it anew."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A folder whose file system a test may fill, or make read-only."""
    folder = tmp_path / "mount"
    disk(folder, "size=200m")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    path = folder / "full"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    return path


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def collected(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of the log that say how to collect a clip."""
    return [line for line in capsys.readouterr().out.splitlines() if "VeniceDownloadVideoOperator, job=" in line]


def make_generate(path: Path, job: Any) -> Any:
    return generate(path, prompt="[simulate: stuck] x")


def make_download(path: Path, job: Any) -> Any:
    return VeniceDownloadVideoOperator(task_id="download", job=job, output_path=path)


def make_recover(path: Path, job: Any) -> Any:
    return VeniceRecoverVideosOperator(task_id="recover", output_dir=path.parent, jobs=[job])


DOWNLOADS = pytest.mark.parametrize("make", [make_generate, make_download, make_recover])


class TestDisks:
    """A clip that is paid for waits for the disk."""

    @pytest.fixture
    def paid(self, mount: Path, venice_simulator: VeniceSimulator) -> tuple[Tries, Any]:
        """A try that has bought a clip for ``clip.mp4``, which is finished now; and its job."""
        tries = Tries()
        with pytest.raises(VideoTimeoutError):
            run_task(generate(mount / "clip.mp4", prompt="[simulate: stuck] x", timeout=0.001), tries)
        venice_simulator.finish()
        return tries, tries.xcoms["venice_job"]

    @DOWNLOADS
    def test_a_disk_that_is_full(
        self,
        make: Callable[[Path, Any], Any],
        paid: tuple[Tries, Any],
        mount: Path,
        venice_simulator: VeniceSimulator,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        tries, job = paid if make is make_generate else (Tries(run_id="another"), paid[1])
        if make is not make_generate:
            (mount / ".clip.mp4.reserved").unlink()
        filling = fill(mount)
        capsys.readouterr()
        with pytest.raises(OSError, match=rf"No space left on device: '{mount}/\..*\.part'"):
            run_task(make(mount / "clip.mp4", job), tries)
        (said,) = collected(capsys)
        assert job["queue_id"] in said
        filling.unlink()
        assert run_task(make(mount / "clip.mp4", job), tries)
        assert [path.suffix for path in clips(mount)] == [".mp4"]
        assert len(venice_simulator.journal.charges) == 1

    @DOWNLOADS
    def test_a_mount_that_is_read_only(
        self,
        make: Callable[[Path, Any], Any],
        paid: tuple[Tries, Any],
        mount: Path,
        venice_simulator: VeniceSimulator,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        tries, job = paid if make is make_generate else (Tries(run_id="another"), paid[1])
        if make is not make_generate:
            (mount / ".clip.mp4.reserved").unlink()
        remount(mount, "ro")
        capsys.readouterr()
        with pytest.raises(VideoDownloadError, match=rf"cannot be used: Read-only file system: '{mount}'"):
            run_task(make(mount / "clip.mp4", job), tries)
        (said,) = collected(capsys)
        assert job["queue_id"] in said
        remount(mount, "rw")
        assert run_task(make(mount / "clip.mp4", job), tries)
        assert len(venice_simulator.journal.charges) == 1

    @pytest.mark.parametrize("fault", ["full", "nearly full", "read-only"])
    def test_nothing_is_bought_for_a_disk_that_takes_no_clip(
        self, fault: str, mount: Path, venice_simulator: VeniceSimulator
    ) -> None:
        if fault == "full":
            fill(mount)
        else:
            remount(mount, {"nearly full": "size=90m", "read-only": "ro"}[fault])
        # A full disk may be freed; a wrong path is one before the payment.
        refusal = AirflowFailException if fault == "read-only" else VideoTargetUnavailable
        said = r"MB free, and a clip may take 100 MB; free space there|Read-only file system"
        with pytest.raises(refusal, match=said):
            run_task(generate(mount / "clip.mp4"))
        with pytest.raises(VideoTargetUnavailable):
            VeniceHook().generate(**TEXT, path=mount / "clip.mp4")
        assert venice_simulator.journal.charges == []


class TestManifests:
    """A manifest is the record of a clip; the clip is worth more."""

    def test_a_list_goes_on_where_a_manifest_cannot_be_written(
        self, tmp_path: Path, venice_simulator: VeniceSimulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        requests = [{"prompt": f"[simulate: stuck] {name}"} for name in "abc"]
        path, tries = tmp_path / "{index}.mp4", Tries()
        task: dict[str, Any] = {"request": requests, "prompt": None, "manifest": True, "delete_media": True}
        with pytest.raises(VideoBatchError):
            run_task(generate(path, **task, timeout=0.001), tries)
        venice_simulator.finish()
        (tmp_path / "1.mp4.json").mkdir()
        capsys.readouterr()
        with pytest.raises(AirflowFailException, match=r"3 clips: 2 stored, 1 stored without its manifest") as failed:
            run_task(generate(path, **task), tries)
        assert f"is stored as '{tmp_path}/1.mp4', and only its manifest could not be written" in str(failed.value)
        assert collected(capsys) == []
        assert [result["status"] for result in tries.xcoms["venice_results"]] == ["stored"] * 3
        assert "1.mp4.json" in tries.xcoms["venice_results"][1]["error"]
        assert {path.name for path in tmp_path.glob("*.json")} == {"0.mp4.json", "1.mp4.json", "2.mp4.json"}
        (tmp_path / "1.mp4.json").rmdir()
        downloads = len(venice_simulator.journal.calls("retrieve"))
        assert len(run_task(generate(path, **task), tries)) == 3
        assert json.loads((tmp_path / "1.mp4.json").read_text())["status"] == "stored"
        assert len(venice_simulator.journal.calls("retrieve")) == downloads
        assert len(venice_simulator.journal.charges) == 3

    def test_a_download_whose_manifest_cannot_be_written_is_not_repeated(
        self, mount: Path, venice_simulator: VeniceSimulator
    ) -> None:
        job = run_task(generate(mount / "first.mp4"))["job"]
        blocked = mount / "clip.mp4.json"
        blocked.mkdir()
        task, tries = (
            VeniceDownloadVideoOperator(
                task_id="download", job=job, output_path=mount / "clip.mp4", manifest=True, delete_media=True
            ),
            Tries(),
        )
        with pytest.raises(AirflowFailException, match=r"is stored as '.*/clip\.mp4', and only its manifest"):
            run_task(task, tries)
        assert tries.xcoms["venice_job"]["delivery"]["is_stored"] is True
        blocked.rmdir()
        downloads = len(venice_simulator.journal.calls("retrieve"))
        assert run_task(task, tries)["path"] == str(mount / "clip.mp4")
        assert json.loads(blocked.read_text())["queue_id"] == job["queue_id"]
        # Deleting is a retrieve as well.
        assert len(venice_simulator.journal.calls("retrieve")) == downloads

    @pytest.mark.slow
    def test_the_manifest_of_an_earlier_try_is_replaced(
        self, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        tries = Tries()
        with pytest.raises(AirflowFailException):
            run_task(generate(tmp_path / "clip.mp4", prompt="[simulate: fail] x", manifest=True), tries)
        manifest = tmp_path / "clip.mp4.json"
        assert json.loads(manifest.read_text())["status"] == "failed"
        tries.clear()
        run_task(generate(tmp_path / "clip.mp4", manifest=True), tries)
        assert json.loads(manifest.read_text())["status"] == "stored"

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize(
        "content", ["mine", "{}", "[]", '{"dag_id": "dag", "run_id": "run", "task_id": "generate"}']
    )
    def test_what_somebody_else_has_written_is_replaced_only_where_that_was_asked_for(
        self, content: str, overwrite: bool, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        manifest = tmp_path / "clip.mp4.json"
        manifest.write_text(content)
        task = generate(tmp_path / "clip.mp4", manifest=True, overwrite=overwrite)
        if overwrite:
            run_task(task)
            assert json.loads(manifest.read_text())["status"] == "stored"
            return
        with pytest.raises(AirflowFailException, match=r"clip\.mp4\.json' exists already"):
            run_task(task)
        assert manifest.read_text() == content
        assert venice_simulator.journal.charges == []


def test_a_clip_that_was_stored_and_is_gone_is_named(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    path, tries = tmp_path / "clip.mp4", Tries()
    run_task(generate(path, delete_media=True), tries)
    path.unlink()  # as where a mount is missing
    # Within a minute of the submission, a job that is not known is asked for again.
    tries.store["venice_submission"]["job"]["queued_at"] -= 120
    with pytest.raises(AirflowFailException, match=rf"has stored it as '{path}', or was about to; it is not there now"):
        run_task(generate(path, delete_media=True), tries)
    assert len(venice_simulator.journal.charges) == 1


@pytest.mark.parametrize("is_upstream", [True, False])
def test_a_path_may_name_the_job_that_is_downloaded(is_upstream: bool) -> None:
    job = {"model": "wan-2-7-text-to-video", "queue_id": "abc"}
    with DAG("clips", schedule=None):
        given = VeniceQueueVideoOperator(task_id="queue", **TEXT).output if is_upstream else job
        task = VeniceDownloadVideoOperator(
            task_id="download", job=given, output_path="/data/clips/{{ task.job.queue_id }}.mp4"
        )
    ti: Any = SimpleNamespace(xcom_pull=lambda **_: job, get_relevant_upstream_map_indexes=lambda **_: None)
    context: Any = {"ti": ti, "task": task}
    task.render_template_fields(context)
    assert task.output_path == "/data/clips/abc.mp4"
