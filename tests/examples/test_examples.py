"""Every example DAG is read, and run in a real Airflow's task runner against the simulator."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import sys
from decimal import Decimal
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.media import ClipSpec, encode
from tests.conftest import PATIENT
from tests.examples.conftest import RunDag, check_clip
from tests.examples.files import FolderServer, frames_of
from tests.examples.reading import DAG_IDS, FILES, read_examples

# Airflow's own task runner imports a test client that asks for another HTTP library.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated"),
    PATIENT,  # tasks run one by one
]


def test_each_file_is_read_without_a_warning(tmp_path: Path) -> None:
    answer = read_examples(sys.executable, tmp_path, "-W", "error")
    assert answer.returncode == 0, answer.stderr
    dag_ids = json.loads(answer.stdout.splitlines()[-1])
    assert len(dag_ids) == len(DAG_IDS)
    assert {*dag_ids} == DAG_IDS


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_the_documentation_shows_is_marked(file: Path) -> None:
    lines = [line.strip() for line in file.read_text().splitlines()]
    starts = [line.removeprefix("# [START ").rstrip("]") for line in lines if line.startswith("# [START ")]
    ends = [line.removeprefix("# [END ").rstrip("]") for line in lines if line.startswith("# [END ")]
    assert starts
    assert starts == ends


def test_text_to_video(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_text_to_video import dag

    state, tasks = run_dag(dag, prompt="A kite over the dunes")
    assert state == "success"
    assert tasks == dict.fromkeys(("quote", "queue", "wait", "download"), "success")
    (job,) = venice_simulator.jobs
    assert job.prompt == "A kite over the dunes"
    check_clip(tmp_path / "videos" / f"{job.queue_id}.mp4", seconds=5)
    assert_paid(venice_simulator, "0.35")


def test_storyboard(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_storyboard import dag

    state, tasks = run_dag(dag, place="A mill")
    assert (state, tasks) == ("success", {"shots": "success"})
    assert [job.prompt for job in venice_simulator.jobs] == [
        "Wide shot of A mill at dawn",
        "Close-up of a hand on a brass lamp, A mill",
        "A mill from above, the sea in storm",
    ]
    clips = sorted((tmp_path / "videos").glob("*/*.mp4"))
    assert [clip.name for clip in clips] == ["shot-00.mp4", "shot-01.mp4", "shot-02.mp4"]
    for clip, seconds in zip(clips, (5, 5, 10), strict=True):
        check_clip(clip, seconds=seconds)
    assert_paid(venice_simulator, "0.35", "0.35", "0.70")


def test_text_to_video_above_its_budget(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_text_to_video import dag

    state, tasks = run_dag(dag, max_cost=0.34)
    assert state == "failed"
    assert tasks == {"quote": "failed"} | dict.fromkeys(("queue", "wait", "download"), "upstream_failed")
    assert_paid(venice_simulator)
    assert not (tmp_path / "videos").exists()


def test_generate_video(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_generate_video import dag

    state, _ = run_dag(dag)
    assert state == "success"
    check_clip(only_clip(tmp_path), seconds=5)
    assert_paid(venice_simulator, "0.35")


def test_generate_video_of_another_model(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_generate_video import dag

    venice_simulator.fail("queue", policy=True)
    state, _ = run_dag(dag)
    assert state == "success"
    assert [job.model.id for job in venice_simulator.jobs] == ["wan-2.6-text-to-video"]
    check_clip(only_clip(tmp_path), seconds=5)
    assert_paid(venice_simulator, "0.55")


def test_image_to_video(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_image_to_video import dag

    state, _ = run_dag(dag)
    assert state == "success"
    clip = only_clip(tmp_path)
    check_clip(clip, seconds=5)
    picture = clip.with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    assert_paid(venice_simulator, "0.02", "0.35")


@pytest.mark.slow
def test_nightly_batch(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_nightly_batch import dag

    state, _ = run_dag(dag)
    assert state == "success"
    clips = clips_by_row(tmp_path)
    assert sorted(clips) == [0, 1, 2]
    assert {clip.stem.partition("-")[2] for clip in clips.values()} == {job.queue_id for job in venice_simulator.jobs}
    check_clip(clips[0], seconds=5)
    check_clip(clips[1], seconds=10)
    check_clip(clips[2], seconds=5, size=(720, 1280))
    assert_paid(venice_simulator, "0.35", "0.70", "0.35")


@pytest.mark.slow
def test_rows_of_a_batch_fail_alone(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_nightly_batch import dag

    table = tmp_path / "prompts.csv"
    prompts = ["A", "B [simulate: fail]", "C", "D [simulate: policy]", "E [simulate: flaky]"]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "seed"], *([prompt, 7] for prompt in prompts)])
    state, tasks = run_dag(dag, prompts=str(table))
    assert state == "failed"
    steps = ("queue", "wait", "download")
    assert {row: [tasks[f"clip.{step}[{row}]"] for step in steps] for row in range(5)} == {
        0: ["success"] * 3,
        1: ["success", "failed", "upstream_failed"],
        2: ["success"] * 3,
        3: ["failed", "upstream_failed", "upstream_failed"],
        4: ["success"] * 3,
    }
    clips = clips_by_row(tmp_path)
    assert sorted(clips) == [0, 2, 4]
    for clip in clips.values():
        check_clip(clip, seconds=5)
    # The fourth was refused before it was charged.
    assert_paid(venice_simulator, *["0.35"] * 4)


def test_a_table_that_is_run_again_costs_what_is_new(
    run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    from example_dags.venice_table_again import dag

    table = tmp_path / "prompts.csv"

    def write(*prompts: str) -> str:
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["prompt", "seed"], *([prompt, 7] for prompt in prompts)])
        return str(table)

    assert run_dag(dag, prompts=write("A", "B"), max_cost=0.70)[0] == "success"
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos" / "table").glob("*.mp4")}
    # One row above them, and less money than the whole table costs.
    assert run_dag(dag, prompts=write("C", "A", "B"), max_cost=0.35)[0] == "success"
    clips = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos" / "table").glob("*.mp4")}
    assert len(clips) == 3
    assert first.items() <= clips.items()
    assert [job.prompt for job in venice_simulator.jobs] == ["A", "B", "C"]
    assert_paid(venice_simulator, "0.35", "0.35", "0.35")


def test_batch_above_its_budget(run_dag: RunDag, venice_simulator: VeniceSimulator) -> None:
    from example_dags.venice_nightly_batch import dag

    state, tasks = run_dag(dag, max_cost=1.39)
    assert state == "failed"
    assert tasks["quote"] == "failed"
    assert_paid(venice_simulator)


def test_the_cheapest_of_several_models(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_compare_models import dag

    models = ["veo3.1-fast-text-to-video", "seedance-2-0-text-to-video-basic", "wan-2-7-text-to-video"]
    state, _ = run_dag(dag, models=models)
    assert state == "success"
    # Three models: one offers 4s, one all three, one 5s and 10s. What is chosen is priced once more.
    assert len(venice_simulator.journal.calls("quote")) == 6 + 1
    (job,) = venice_simulator.jobs
    assert job.model.id == "wan-2-7-text-to-video"
    check_clip(only_clip(tmp_path), seconds=5)
    assert_paid(venice_simulator, "0.35")


def test_one_pace(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_one_pace import dag

    state, tasks = run_dag(dag, prompts=["A mill", "A ferry"])
    assert state == "success"
    assert tasks == dict.fromkeys(("list_prompts", "generate[0]", "generate[1]"), "success")
    for clip in (tmp_path / "videos").glob("*/*.mp4"):
        check_clip(clip, seconds=5)
    assert_paid(venice_simulator, "0.35", "0.35")


def test_asset_producer(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_on_video_asset import producer

    state, _ = run_dag(producer)
    assert state == "success"
    check_clip(only_clip(tmp_path), seconds=5)
    assert_paid(venice_simulator, "0.35")


def test_nobody_is_asked_below_the_limit(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_human_approval import dag

    state, tasks = run_dag(dag, duration="5s", limit=0.35)
    assert state == "success"
    assert tasks == dict.fromkeys(("quote", "approve", "generate"), "success")
    check_clip(only_clip(tmp_path), seconds=5)
    assert_paid(venice_simulator, "0.35")


def test_a_clip_of_the_news_is_bought_once(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_daily_social import dag

    for _ in range(2):
        state, tasks = run_dag(dag, style="A sketch")
        assert (state, tasks) == ("success", dict.fromkeys(("choose_item", "clip"), "success"))
    (job,) = venice_simulator.jobs
    assert job.prompt == "A sketch: The old lighthouse is lit again after the winter storms"
    (clip,) = (tmp_path / "videos" / "social").glob("*.mp4")
    assert clip.stem == hashlib.sha256(b"harbour-2025-103").hexdigest()[:16]
    check_clip(clip, seconds=5, size=(720, 1280))
    assert json.loads(Path(f"{clip}.json").read_text())["labels"] == {"item": "harbour-2025-103"}
    assert_paid(venice_simulator, "0.35")


def test_without_news_no_clip_is_made(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_daily_social import dag

    later = "<item><title>T</title><guid>1</guid><pubDate>Thu, 01 Jan 2099 00:00:00 GMT</pubDate></item>"
    (tmp_path / "feed.xml").write_text(f"<rss><channel>{later}</channel></rss>")
    with FolderServer(tmp_path) as server:
        state, tasks = run_dag(dag, feed=f"{server.url}/feed.xml")
    assert (state, tasks) == ("success", {"choose_item": "success", "clip": "skipped"})
    assert_paid(venice_simulator)


def test_a_feed_that_defines_entities_is_not_read(tmp_path: Path) -> None:
    from example_dags.venice_daily_social import read_feed

    (tmp_path / "feed.xml").write_text('<!DOCTYPE rss [<!ENTITY a "aaa">]><rss><channel>&a;</channel></rss>')
    with pytest.raises(ValueError, match="document type"):
        read_feed(str(tmp_path / "feed.xml"))


def test_variants_are_put_on_a_contact_sheet(
    run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    from example_dags.venice_variants import dag

    state, tasks = run_dag(dag, prompt="A mill", styles=["ink", "clay", "film"])
    assert state == "success"
    assert tasks == dict.fromkeys(
        ("list_variants", "variants[0]", "variants[1]", "variants[2]", "make_contact_sheet"), "success"
    )
    assert sorted(job.prompt for job in venice_simulator.jobs) == ["A mill, clay", "A mill, film", "A mill, ink"]
    assert_paid(venice_simulator, "0.35", "0.35", "0.35")
    (path,) = (tmp_path / "videos").glob("*/contact-sheet.webp")
    with Image.open(path) as file:
        sheet = file.convert("L")
    assert sheet.size == (2 * 480, 2 * (270 + 36))
    tiles = [sheet.crop((left, top, left + 480, top + 306)) for top in (0, 306) for left in (0, 480)]
    labels = [tile.crop((0, 272, 480, 306)) for tile in tiles]
    assert [min(label.tobytes()) < 64 for label in labels] == [True, True, True, False]
    assert [max(tile.crop((0, 0, 480, 4)).tobytes()) < 250 for tile in tiles] == [True, True, True, False]
    assert len({label.tobytes() for label in labels}) == 4


@pytest.mark.simulator(speed=20, job_seconds=10, media="each", fps=8)
def test_the_last_frame_of_a_shot_is_the_first_of_the_next(
    run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path
) -> None:
    from example_dags.venice_frame_chain import SHOTS, dag

    state, _ = run_dag(dag)
    assert state == "success"
    assert_paid(venice_simulator, "0.35", "0.35", "0.35")
    jobs = venice_simulator.jobs
    assert [job.prompt for job in jobs] == [*SHOTS]
    shots = sorted((tmp_path / "videos").glob("*/shot-*.mp4"))
    assert len(shots) == 3
    for earlier, later, job in zip(shots, shots[1:], jobs[1:], strict=False):
        (last,), (first,) = frames_of(earlier, -1), frames_of(later, 0)
        data = base64.b64decode(job.body["image_url"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(data)) as sent:
            assert sent.convert("RGB").tobytes() == last.tobytes()
        # The simulator encodes it anew.
        assert sum(ImageStat.Stat(ImageChops.difference(last, first)).mean) < 9


@pytest.mark.simulator(speed=20, job_seconds=10, media="each", fps=8)
def test_a_film_has_the_frames_of_its_shots(run_dag: RunDag, venice_simulator: VeniceSimulator, tmp_path: Path) -> None:
    from example_dags.venice_film import dag

    state, tasks = run_dag(dag, shots=["A mill", "A ferry"])
    assert state == "success"
    assert tasks == dict.fromkeys(("list_shots", "shots", "make_film"), "success")
    assert_paid(venice_simulator, "0.35", "0.35")
    (folder,) = (tmp_path / "videos").iterdir()
    check_clip(folder / "film.mp4", seconds=10)
    film = frames_of(folder / "film.mp4", 0, 39, 40, 79)
    shots = [frame for number in range(2) for frame in frames_of(folder / f"shot-{number:02}.mp4", 0, 39)]
    assert [frame.tobytes() for frame in film] == [frame.tobytes() for frame in shots]
    assert len({frame.tobytes() for frame in film}) == 4


def test_a_film_has_the_sound_of_its_shots(tmp_path: Path) -> None:
    from example_dags.venice_film import join_shots

    shots, film = [tmp_path / f"{name}.mp4" for name in "abc"], tmp_path / "film.mp4"
    for shot in shots:
        shot.write_bytes(encode(ClipSpec(shot.name, 2, 64, 64, 24, True), lambda: False))
    join_shots([*map(str, shots)], str(film))
    with av.open(film) as container:
        assert container.duration == pytest.approx(6_000_000, abs=50_000)
        sound = list(container.decode(audio=0))
    with av.open(shots[0]) as container:
        assert len(sound) == 3 * sum(1 for _ in container.decode(audio=0))
    starts = [frame.time or 0 for frame in sound]
    assert starts == sorted(starts)
    assert max(starts) == pytest.approx(6, abs=0.15)


def test_shots_of_two_formats_make_no_film(tmp_path: Path) -> None:
    from example_dags.venice_film import join_shots

    shots = {"a": 64, "b": 64, "c": 128}
    for name, width in shots.items():
        (tmp_path / f"{name}.mp4").write_bytes(encode(ClipSpec(name, 1, width, 64, 12, False), lambda: False))
    with pytest.raises(ValueError, match=r"same format as .*a\.mp4: .*c\.mp4$"):
        join_shots([str(tmp_path / f"{name}.mp4") for name in shots], str(tmp_path / "film.mp4"))
    assert not (tmp_path / "film.mp4").exists()


def only_clip(tmp_path: Path) -> Path:
    """Return the one clip, which must be alone in its folder but for pictures."""
    (clip,) = (tmp_path / "videos").glob("*.mp4")
    assert not list(clip.parent.glob(".*")), "nothing half-done is left behind"
    return clip


def clips_by_row(tmp_path: Path) -> dict[int, Path]:
    """Return the clips of a batch by the number of their row."""
    return {int(clip.name.partition("-")[0]): clip for clip in (tmp_path / "videos").rglob("*.mp4")}


def assert_paid(simulator: VeniceSimulator, *dollars: str) -> None:
    """Check what was charged, in any order, and that nothing was refused or lost."""
    journal = simulator.journal
    assert sorted(entry.charged for entry in journal.charges) == sorted(map(Decimal, dollars))
    assert not journal.refusals
    assert not journal.deletion_requests
    assert not journal.unread_deletions
