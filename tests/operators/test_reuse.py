"""A clip that is there already, of the same request, is not bought again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import Asset
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_venice.exceptions import VeniceRequestError, VideoTargetReserved, VideoTimeoutError
from airflow_provider_venice.generation.delivery import Delivery
from airflow_provider_venice.operators.recover import VeniceRecoverVideosOperator
from airflow_provider_venice.operators.video import VeniceDownloadVideoOperator, VeniceGenerateVideoOperator
from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.storage.reservations import Owner, release, reserve
from tests.running import Steps, Tries, clips, run_task

TEXT: dict[str, Any] = {"model": "wan-2-7-text-to-video", "prompt": "a lighthouse in fog", "duration": 5, "seed": 7}
IMAGE: dict[str, Any] = {**TEXT, "model": "wan-2-7-image-to-video"}
PIXELS = [bytes.fromhex("89504e470d0a1a0a") + bytes([number]) * 64 for number in (1, 2)]

pytestmark = [pytest.mark.usefixtures("venice_connection"), pytest.mark.simulator(job_seconds=30)]


def generate(path: Any, **arguments: Any) -> VeniceGenerateVideoOperator:
    given = {**TEXT, "output_path": path, "existing": "reuse", **arguments}
    return VeniceGenerateVideoOperator(task_id="generate", **given)


def batch(folder: Path, *prompts: str, **arguments: Any) -> VeniceGenerateVideoOperator:
    requests = [{"prompt": prompt} for prompt in prompts]
    return generate(f"{folder}/{{index}}.mp4", **{"request": requests, "prompt": None, **arguments})


def calls(venice: VeniceSimulator) -> int:
    return len(venice.journal)


@pytest.fixture
def made(tmp_path: Path, venice_simulator: VeniceSimulator) -> dict[str, Any]:
    """What another run has made as ``clip.mp4``."""
    result: dict[str, Any] = run_task(generate(tmp_path / "clip.mp4", labels={"id": 1}), Tries(run_id="monday"))
    return result


class TestTheSameRequest:
    """Nothing is paid, and downstream tasks get what they would get of a clip that was bought."""

    def test_it_is_the_result_and_venice_is_not_asked(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        before, asset, tries = calls(venice_simulator), Asset("clip"), Tries(run_id="tuesday")
        task = generate(tmp_path / "clip.mp4", labels={"id": 2}, max_cost=0, min_balance=10**6, outlets=[asset])
        result = run_task(task, tries)
        assert calls(venice_simulator) == before
        assert "reused" not in made
        job = {**made["job"], "labels": {"id": 2}}
        assert {name: result["job"][name] for name in ("queue_id", "model", "status", "estimated_cost", "request")} == {
            name: job[name] for name in ("queue_id", "model", "status", "estimated_cost", "request")
        }
        assert {**result, "job": None} == {**made, "labels": {"id": 2}, "reused": True, "job": None}
        (entry,) = tries.xcoms["venice_results"]
        assert (entry["status"], entry["reused"], entry["estimated_cost"]) == ("stored", True, 0)
        assert (entry["sha256"], entry["labels"], entry["error"]) == (made["sha256"], {"id": 2}, None)
        assert entry["job"]["estimated_cost"] == made["job"]["estimated_cost"] > 0
        shown = tries.xcoms["venice_job"]
        assert (shown["queue_id"], shown["reused"]) == (made["job"]["queue_id"], True)
        assert shown["delivery"]["is_stored"] is True
        record = tries.outlet_extras[asset]
        assert (record["reused"], record["estimated_cost"], record["run_id"]) == (True, 0, "monday")
        assert (record["sha256"], record["path"]) == (made["sha256"], made["path"])
        # The clip and its manifest stay as they were, and nobody holds their name.
        assert json.loads((tmp_path / "clip.mp4.json").read_text())["labels"] == {"id": 1}
        assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "clip.mp4.json"}

    def test_a_retry_and_a_clear_are_given_it_as_well(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        task, tries = generate(tmp_path / "clip.mp4"), Tries(run_id="tuesday")
        first = run_task(task, tries)
        assert run_task(task, tries) == first
        tries.clear()
        assert run_task(task, tries) == first
        assert tries.store == {}
        assert len(venice_simulator.journal.charges) == 1

    def test_its_own_purchase_goes_first(self, tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
        task, tries = generate(tmp_path / "clip.mp4"), Tries()
        first = run_task(task, tries)
        again = run_task(task, tries)
        assert {**again, "job": None} == {**first, "job": None}
        assert "reused" not in again
        assert len(venice_simulator.journal.charges) == 1

    def test_a_copy_elsewhere_counts_with_its_manifest(self, made: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "archive").mkdir()
        for name in ("clip.mp4", "clip.mp4.json"):
            shutil.copy(tmp_path / name, tmp_path / "archive")
        result = run_task(generate(tmp_path / "archive" / "clip.mp4"), Tries(run_id="tuesday"))
        assert result["path"] == f"{tmp_path}/archive/clip.mp4"
        assert result["reused"] is True

    def test_nothing_is_deleted_at_venice(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        run_task(generate(tmp_path / "clip.mp4", delete_media=True), Tries(run_id="tuesday"))
        assert venice_simulator.journal.deletion_requests == []

    def test_recover_counts_it_as_delivered(self, made: dict[str, Any], tmp_path: Path) -> None:
        tries = Tries(run_id="tuesday")
        run_task(generate(tmp_path / "clip.mp4"), tries)
        collecting = Tries(upstream={"venice_job": [tries.xcoms["venice_job"]]})
        task = VeniceRecoverVideosOperator(
            task_id="recover", output_dir=tmp_path / "recovered", external_task_ids=["generate"]
        )
        (report,) = run_task(task, collecting)
        assert (report["status"], report["path"]) == ("delivered", made["path"])

    def test_the_manifest_of_an_earlier_release_counts_where_it_says_everything(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        age(tmp_path / "clip.mp4.json")
        assert run_task(generate(tmp_path / "clip.mp4"), Tries(run_id="tuesday"))["reused"] is True
        with pytest.raises(AirflowFailException, match="seed 7 → 8"):
            run_task(generate(tmp_path / "clip.mp4", seed=8), Tries(run_id="tuesday"))
        assert len(venice_simulator.journal.charges) == 1


def test_in_an_object_storage(tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
    make: Any = MemoryFileSystem
    store = make(skip_instance_cache=True)
    store.store, store.pseudo_dirs = {}, ["", "/bucket"]
    attach("memory", conn_id=tmp_path.name, fs=store)
    path = f"memory://{tmp_path.name}@bucket/clip.mp4"
    made = run_task(generate(path), Tries(run_id="monday"))
    again = run_task(generate(path), Tries(run_id="tuesday"))
    assert (again["path"], again["sha256"], again["reused"]) == (made["path"], made["sha256"], True)
    with pytest.raises(AirflowFailException, match="seed 7 → 8"):
        run_task(generate(path, seed=8), Tries(run_id="tuesday"))
    store.rm_file("/bucket/clip.mp4.json")
    with pytest.raises(AirflowFailException, match="has no manifest that says"):
        run_task(generate(path), Tries(run_id="tuesday"))
    assert len(venice_simulator.journal.charges) == 1


def test_a_manifest_that_lacks_what_is_only_shown(made: dict[str, Any], tmp_path: Path) -> None:
    path, tries = tmp_path / "clip.mp4.json", Tries(run_id="tuesday")
    left_out = ("stored_at", "estimated_cost", "queued_at", "detected_at", "map_index", "balance_before")
    path.write_text(json.dumps({name: v for name, v in json.loads(path.read_text()).items() if name not in left_out}))
    assert run_task(generate(tmp_path / "clip.mp4"), tries)["reused"] is True
    assert tries.xcoms["venice_results"][0]["stored_at"] is None


def age(manifest: Path, **changes: Any) -> None:
    """Make a manifest one of an earlier release, or change it."""
    record = json.loads(manifest.read_text())
    if not changes:
        del record["fingerprint"], record["media"]
    manifest.write_text(json.dumps({**record, **changes}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seed": 8}, "seed 7 → 8; give another output_path, move the clip away, or set existing='replace'"),
        ({"seed": None}, "seed 7 → not set;"),
        ({"prompt": "a boat", "duration": 10}, "prompt 'a lighthouse in fog' → 'a boat'; duration '5s' → '10s';"),
        ({"model": "wan-2-7-image-to-video", "image_url": "https://example.com/a.png?sig=s3cr3t"}, "model 'wan-2-7-"),
        ({"prompt": "a lighthouse in fog" + 50 * " and waves"}, "prompt 'a lighthouse in fog' → 'a lighthouse in fog "),
    ],
    ids=["seed", "no seed", "two fields", "model and media", "long"],
)
def test_another_request_is_refused_with_what_differs(
    changed: dict[str, Any], words: str, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    before, tries = calls(venice_simulator), Tries(run_id="tuesday")
    with pytest.raises(AirflowFailException) as refused:
        run_task(generate(tmp_path / "clip.mp4", **changed), tries)
    assert words in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
    assert calls(venice_simulator) == before
    assert tries.xcoms["venice_results"][0]["status"] == "failed"
    assert hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest() == made["sha256"]


def no_manifest(folder: Path) -> None:
    (folder / "clip.mp4.json").unlink()


def truncated(folder: Path) -> None:
    path = folder / "clip.mp4"
    path.write_bytes(path.read_bytes()[:-100])


def another_clip(folder: Path) -> None:
    path = folder / "clip.mp4"
    path.write_bytes(path.read_bytes() + bytes([0, 0, 0, 8]) + b"free")


def failed_manifest(folder: Path) -> None:
    age(folder / "clip.mp4.json", status="failed")


def foreign_manifest(folder: Path) -> None:
    (folder / "clip.mp4.json").write_text('{"path": "clip.mp4"}')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_manifest, "clip.mp4' exists already, and has no manifest that says of which request it is; give another"),
        (truncated, "clip.mp4' is not a whole video"),
        (another_clip, "clip.mp4' is not the clip that its manifest '"),
        (failed_manifest, "clip.mp4.json' is that of a job that has failed"),
        (foreign_manifest, "clip.mp4.json' is no manifest of a clip"),
    ],
)
def test_what_is_not_certain_is_neither_reused_nor_bought_over(
    change: Callable[[Path], None],
    words: str,
    made: dict[str, Any],
    tmp_path: Path,
    venice_simulator: VeniceSimulator,
) -> None:
    change(tmp_path)
    content = (tmp_path / "clip.mp4").read_bytes()
    with pytest.raises(AirflowFailException) as refused:
        run_task(generate(tmp_path / "clip.mp4"), Tries(run_id="tuesday"))
    assert words in str(refused.value)
    assert (tmp_path / "clip.mp4").read_bytes() == content
    assert len(venice_simulator.journal.charges) == 1
    # The fix that the message names.
    again = run_task(generate(tmp_path / "clip.mp4", existing="replace"), Tries(run_id="wednesday"))
    assert "reused" not in again
    assert len(venice_simulator.journal.charges) == 2


@pytest.mark.parametrize("change", [lambda _: None, failed_manifest], ids=["stored", "failed"])
def test_a_manifest_without_its_clip_is_replaced(
    change: Callable[[Path], None], made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    (tmp_path / "clip.mp4").unlink()
    change(tmp_path)
    again = run_task(generate(tmp_path / "clip.mp4"), Tries(run_id="tuesday"))
    assert len(venice_simulator.journal.charges) == 2
    manifest = json.loads((tmp_path / "clip.mp4.json").read_text())
    assert (manifest["status"], manifest["queue_id"]) == ("stored", again["job"]["queue_id"])


def test_a_file_of_somebody_else_under_the_manifests_name_is_not_replaced(
    tmp_path: Path, venice_simulator: VeniceSimulator
) -> None:
    foreign_manifest(tmp_path)
    with pytest.raises(AirflowFailException, match=r"clip\.mp4\.json' exists already, and is not the manifest"):
        run_task(generate(tmp_path / "clip.mp4"))
    assert venice_simulator.journal.charges == []


class TestMedia:
    """Files count by what they hold, URLs by what is no signature."""

    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        (tmp_path / "media").mkdir()
        path = tmp_path / "media" / "first.png"
        path.write_bytes(PIXELS[0])
        return path

    def test_a_file_that_was_changed_is_another_request(
        self, image: Path, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        task: dict[str, Any] = {**IMAGE, "image_url": str(image)}
        run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="monday"))
        assert run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="tuesday"))["reused"] is True
        image.write_bytes(PIXELS[1])
        before, after = (hashlib.sha256(pixels).hexdigest()[:12] for pixels in PIXELS)
        with pytest.raises(AirflowFailException, match=f"the content of image_url sha256:{before}… → sha256:{after}…"):
            run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="wednesday"))
        image.unlink()
        with pytest.raises(AirflowFailException, match=r"image_url cannot be read: no such file .*first\.png"):
            run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="wednesday"))
        assert len(venice_simulator.journal.charges) == 1

    def test_a_new_signature_is_the_same_request_and_another_query_is_not(
        self, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        def run(query: str) -> Any:
            url = f"https://media.example/first.png?{query}"
            return run_task(generate(tmp_path / "clip.mp4", **{**IMAGE, "image_url": url}), Tries(run_id=query[-1]))

        run("frame=1&X-Amz-Signature=abc&X-Amz-Date=1")
        assert run("frame=1&X-Amz-Signature=def&X-Amz-Date=2")["reused"] is True
        with pytest.raises(AirflowFailException, match=r"the content of image_url query-sha256:") as refused:
            run("frame=2&X-Amz-Signature=def&X-Amz-Date=2")
        assert "frame" not in str(refused.value)
        assert "frame" not in (tmp_path / "clip.mp4.json").read_text()
        assert len(venice_simulator.journal.charges) == 1

    def test_the_manifest_of_an_earlier_release_is_not_enough(
        self, image: Path, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        task: dict[str, Any] = {**IMAGE, "image_url": str(image)}
        run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="monday"))
        age(tmp_path / "clip.mp4.json")
        with pytest.raises(AirflowFailException, match="does not say enough to be certain"):
            run_task(generate(tmp_path / "clip.mp4", **task), Tries(run_id="tuesday"))
        assert len(venice_simulator.journal.charges) == 1


class TestTwoAtOnce:
    """Of two tasks with one path one buys; the other fails before payment, and its retry finds the clip."""

    def test_the_retry_of_the_other_reuses_it(self, tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
        path, monday, tuesday = tmp_path / "clip.mp4", Tries(run_id="monday"), Tries(run_id="tuesday")
        task: dict[str, Any] = {"prompt": "[simulate: stuck] x"}
        with pytest.raises(VideoTimeoutError):
            run_task(generate(path, **task, timeout=0.001), monday)
        with pytest.raises(VideoTargetReserved, match=r"is reserved by .*run 'monday'"):  # which Airflow retries
            run_task(generate(path, **task), tuesday)
        venice_simulator.finish()
        made = run_task(generate(path, **task), monday)
        again = run_task(generate(path, **task), tuesday)
        assert (again["sha256"], again["reused"]) == (made["sha256"], True)
        assert len(venice_simulator.journal.charges) == 1

    @pytest.mark.parametrize("change", [no_manifest, another_clip], ids=["no manifest yet", "manifest of the old clip"])
    def test_one_that_is_about_to_write_its_manifest_is_waited_for(
        self, change: Callable[[Path], None], made: dict[str, Any], tmp_path: Path
    ) -> None:
        path, other = tmp_path / "clip.mp4", Owner("dag", "wednesday", "generate")
        change(tmp_path)
        reserve(path, other, overwrite=True)
        with pytest.raises(VideoTargetReserved, match="run 'wednesday'") as reserved:
            run_task(generate(path), Tries(run_id="tuesday"))
        assert reserved.value.can_heal
        release(path, other)
        with pytest.raises(AirflowFailException):
            run_task(generate(path), Tries(run_id="tuesday"))

    def test_the_reservation_ends_after_the_manifest_is_there(
        self, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        class Killed(BaseException):
            """The worker is gone."""

        class Dies(VeniceGenerateVideoOperator):
            """Dies between the clip and its manifest."""

            @property
            def delivery(self) -> Any:
                delivery = super().delivery

                class Dying(Delivery):
                    def record(self, *_: Any, **__: Any) -> Any:
                        raise Killed

                return Dying(delivery.output_path, delivery.existing, delivery.delete_media, delivery.manifest)

        path, monday = tmp_path / "clip.mp4", Tries(run_id="monday")
        with pytest.raises(Killed):
            run_task(Dies(task_id="generate", **TEXT, output_path=path, existing="reuse"), monday)
        assert path.exists()
        with pytest.raises(VideoTargetReserved):
            run_task(generate(path), Tries(run_id="tuesday"))
        run_task(generate(path), monday)
        assert run_task(generate(path), Tries(run_id="tuesday"))["reused"] is True
        assert len(venice_simulator.journal.charges) == 1

    def test_one_that_was_stored_between_the_check_and_the_reservation_is_found_by_a_retry(
        self, tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        path = tmp_path / "clip.mp4"

        class Overtaken(Delivery):
            def reserve(self, target: Any, owner: Any) -> None:
                run_task(generate(path), Tries(run_id="monday"))
                super().reserve(target, owner)

        class Late(VeniceGenerateVideoOperator):
            """Finds nothing, and is overtaken then."""

            @property
            def delivery(self) -> Delivery:
                return Overtaken(self.output_path, self.existing, self.delete_media, self.manifest)

        task, tuesday = Late(task_id="generate", **TEXT, output_path=path, existing="reuse"), Tries(run_id="tuesday")
        with pytest.raises(VeniceRequestError, match="exists already") as refused:
            run_task(task, tuesday)
        assert refused.value.can_heal
        assert run_task(task, tuesday)["reused"] is True
        assert len(venice_simulator.journal.charges) == 1


class TestLists:
    """Each clip of a list on its own."""

    @pytest.fixture
    def night(self, tmp_path: Path, venice_simulator: VeniceSimulator) -> list[Any]:
        """Two clips of a table, as the run before has made them."""
        results: list[Any] = run_task(batch(tmp_path, "a", "b"), Tries(run_id="monday"))
        return results

    def test_what_is_new_is_bought_and_counts_for_the_budget(
        self, night: list[Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        asset, tries = Asset("night"), Tries(run_id="tuesday")
        task = batch(tmp_path, "a", "b", "c", max_cost=0.36, outlets=[asset])
        results = run_task(task, tries)
        assert [result["sha256"] for result in results[:2]] == [result["sha256"] for result in night]
        assert [result.get("reused") for result in results] == [True, True, None]
        assert len(venice_simulator.journal.charges) == 3
        assert [entry["status"] for entry in tries.xcoms["venice_results"]] == ["stored"] * 3
        assert [entry["estimated_cost"] for entry in tries.xcoms["venice_results"]] == [0, 0, 0.35]
        assert [entry.get("reused") for entry in tries.xcoms["venice_job"]] == [True, True, None]
        assert [record.get("reused") for record in tries.outlet_extras[asset]["videos"]] == [True, True, None]
        # The clips of the run are all there now.
        before = calls(venice_simulator)
        assert all(result["reused"] for result in run_task(task, Tries(run_id="wednesday")))
        assert calls(venice_simulator) == before

    def test_the_log_says_what_was_reused(
        self, night: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        run_task(batch(tmp_path, "a", "b", "c"), Tries(run_id="tuesday"))
        said = capsys.readouterr().out
        assert "3 clips: 2 reused, 1 stored. Paid $0.35 in all" in said
        assert said.count("Reusing") == 2

    def test_one_error_names_every_row_and_nothing_is_bought(
        self, night: list[Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        tries = Tries(run_id="tuesday")
        task = batch(
            tmp_path, "a", "B", "c", "d", request=[{"prompt": p} for p in "aBc"] + [{"prompt": "d", "fps": -1}]
        )
        task.request[3]["duration"] = "11s"
        with pytest.raises(AirflowFailException) as refused:
            run_task(task, tries)
        assert "2 of 4 requests are wrong, and none is queued:" in str(refused.value)
        assert 'request[1] "B": the clip that is there is of another request' in str(refused.value)
        assert "prompt 'b' → 'B'" in str(refused.value)
        assert 'request[3] "d"' in str(refused.value)
        assert [entry["status"] for entry in tries.xcoms["venice_results"]] == ["stored"] + ["failed"] * 3
        assert len(venice_simulator.journal.charges) == 2
        assert {path.name for path in clips(tmp_path)} == {"0.mp4", "0.mp4.json", "1.mp4", "1.mp4.json"}

    def test_a_list_that_comes_back_several_times_keeps_what_it_reuses(
        self, night: list[Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        class Often(VeniceGenerateVideoOperator):
            """Comes back soon after a first clip has finished."""

        from airflow_provider_venice.generation.run import GenerationRun

        class Soon(GenerationRun):
            def hand_over_after(self, running: int) -> float:
                return 0.05

        Often.generation_class = Soon
        requests = [{"prompt": prompt} for prompt in ("a", "b", "c", "[simulate: stuck] d")]
        task = Often(
            task_id="generate",
            **{**TEXT, "prompt": None},
            request=requests,
            output_path=f"{tmp_path}/{{index}}.mp4",
            existing="reuse",
            deferrable=True,
        )
        steps = Steps(task, Tries(run_id="tuesday"))
        assert [entry["status"] for entry in steps.tries.xcoms["venice_results"]][:2] == ["stored"] * 2
        steps.go_on()
        entries = steps.tries.xcoms["venice_results"]
        assert [entry["status"] for entry in entries][:3] == ["stored"] * 3
        assert [entry.get("reused") for entry in entries] == [True, True, None, None]
        venice_simulator.finish()
        results = steps.end()
        assert [result.get("reused") for result in results] == [True, True, None, None]
        assert len(steps.tries.xcoms["venice_job"]) == 4
        assert len(venice_simulator.journal.charges) == 4

    def test_mapped_tasks(self, night: list[Any], tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
        results = [
            run_task(generate(f"{tmp_path}/{{index}}.mp4", prompt=prompt), Tries(run_id="tuesday", map_index=index))
            for index, prompt in enumerate("abc")
        ]
        assert [result.get("reused") for result in results] == [True, True, None]
        assert len(venice_simulator.journal.charges) == 3


class TestClears:
    """``on_clear="resubmit"`` buys another clip, and replaces the one that is there."""

    RESUBMIT: dict[str, Any] = {"on_clear": "resubmit"}  # noqa: RUF012

    def test_a_clip_that_was_reused(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        task, tries = generate(tmp_path / "clip.mp4", **self.RESUBMIT), Tries(run_id="tuesday")
        assert run_task(task, tries)["reused"] is True
        assert run_task(task, tries)["reused"] is True, "a retry is no clear"
        tries.clear()
        another = run_task(task, tries)
        assert "reused" not in another
        assert another["job"]["queue_id"] != made["job"]["queue_id"]
        assert json.loads((tmp_path / "clip.mp4.json").read_text())["queue_id"] == another["job"]["queue_id"]
        assert run_task(task, tries)["sha256"] == another["sha256"], "a retry takes it up"
        assert len(venice_simulator.journal.charges) == 2
        # For others it is a clip like any other.
        assert run_task(generate(tmp_path / "clip.mp4"), Tries(run_id="wednesday"))["sha256"] == another["sha256"]

    def test_a_clip_that_the_task_has_bought(self, tmp_path: Path, venice_simulator: VeniceSimulator) -> None:
        task, tries = generate(tmp_path / "clip.mp4", **self.RESUBMIT), Tries()
        first = run_task(task, tries)
        tries.clear()
        second = run_task(task, tries)
        assert second["job"]["queue_id"] != first["job"]["queue_id"]
        assert "reused" not in second
        assert len(venice_simulator.journal.charges) == 2

    @pytest.mark.slow
    def test_the_old_clip_is_not_the_answer_to_one_that_was_refunded(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        task, tries = generate(tmp_path / "clip.mp4", **self.RESUBMIT), Tries(run_id="tuesday")
        assert run_task(task, tries)["reused"] is True
        tries.clear()
        body = {"error": {"message": "no", "credits_refunded": True}}
        venice_simulator.fail("retrieve", status=400, body=body, times=2)
        with pytest.raises(AirflowException, match="a retry submits it anew"):
            run_task(task, tries)
        # Until another clip is there, the old one keeps its manifest.
        assert run_task(generate(tmp_path / "clip.mp4"), Tries(run_id="wednesday"))["sha256"] == made["sha256"]
        another = run_task(task, tries)
        assert "reused" not in another
        assert another["sha256"] != made["sha256"]
        assert len(venice_simulator.journal.charges) == 3


class TestDownloads:
    """A download reuses the clip of its very job, and no other."""

    def download(self, path: Path, job: Any, **arguments: Any) -> VeniceDownloadVideoOperator:
        given: dict[str, Any] = {"job": job, "output_path": path, "existing": "reuse", **arguments}
        return VeniceDownloadVideoOperator(task_id="download", **given)

    def test_the_clip_of_the_job_is_not_downloaded_again(
        self, made: dict[str, Any], tmp_path: Path, venice_simulator: VeniceSimulator
    ) -> None:
        before, tries = calls(venice_simulator), Tries(run_id="tuesday")
        result = run_task(self.download(tmp_path / "clip.mp4", made["job"]), tries)
        assert calls(venice_simulator) == before
        assert (result["sha256"], result["reused"]) == (made["sha256"], True)
        (entry,) = tries.xcoms["venice_results"]
        assert (entry["status"], entry["reused"], entry["estimated_cost"]) == ("stored", True, 0)

    def test_that_of_another_job_is_refused(self, made: dict[str, Any], tmp_path: Path) -> None:
        other = run_task(generate(tmp_path / "other.mp4"), Tries(run_id="other"))["job"]
        with pytest.raises(AirflowFailException, match=f"is that of video job {made['job']['queue_id']}"):
            run_task(self.download(tmp_path / "clip.mp4", other), Tries(run_id="tuesday"))

    def test_what_is_not_there_is_downloaded_with_a_manifest(self, made: dict[str, Any], tmp_path: Path) -> None:
        task, tries = self.download(tmp_path / "again.mp4", made["job"]), Tries(run_id="tuesday")
        first = run_task(task, tries)
        assert "reused" not in first
        assert json.loads((tmp_path / "again.mp4.json").read_text())["queue_id"] == made["job"]["queue_id"]
        assert run_task(task, tries) == first


@pytest.mark.parametrize("existing", ["fail", "replace", "reuse"])
def test_the_older_argument(existing: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    assert generate(path, existing=None).existing == "fail"
    assert generate(path, existing=None, overwrite=True).existing == "replace"
    assert generate(path, existing=None, overwrite=False).existing == "fail"
    for overwrite in (False, True):
        if (existing, overwrite) in (("fail", False), ("replace", True)):
            assert generate(path, existing=existing, overwrite=overwrite).existing == existing
        else:
            with pytest.raises(VeniceRequestError, match=f"existing is '{existing}', and overwrite={overwrite} means"):
                generate(path, existing=existing, overwrite=overwrite)
