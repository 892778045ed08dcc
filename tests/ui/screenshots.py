"""``make screenshots``: the pictures of the documentation, taken in a real Airflow with clips of the simulator."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Frame, Page, expect

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.media import ClipSpec, encode
from airflow_provider_venice.storage import existing_video
from tests.system.clips import connection_to
from tests.system.stack import ROOT, AirflowStack
from tests.ui.browser import PATIENCE, chromium, log_in, venice_frame

PICTURES = ROOT / "docs" / "pictures" / "ui"

#: What is made while the pictures are taken: prompt, model, length.
TEASERS = (
    ("A heron takes off from a misty lake at sunrise, slow aerial shot", "veo3.1-fast-text-to-video", "8s"),
    ("Steam rises from a copper espresso machine, macro, warm light", "kling-2.6-pro-text-to-video", "5s"),
    ("A paper boat drifts down a rain-soaked street, evening, reflections", "wan-2-7-text-to-video", "5s"),
    ("Fog rolls over terraced tea fields, drone shot, pale morning light", "veo3.1-fast-text-to-video", "8s"),
    ("A lighthouse beam sweeps across heavy surf at dusk", "wan-2-7-text-to-video", "10s"),
    ("Hands shape a porcelain bowl on a turning wheel, close-up", "kling-2.6-pro-text-to-video", "10s"),
    ("A night train crosses a viaduct under the Milky Way", "wan-2-7-text-to-video", "5s"),
    ("Wild horses gallop through shallow water, golden hour, tracking shot", "veo3.1-fast-text-to-video", "6s"),
)
RUNNING = (
    ("Lanterns float above a canal on a summer night", "wan-2-7-text-to-video", "5s"),
    ("A glass marble rolls down a wooden track through a sunlit workshop", "kling-2.6-pro-text-to-video", "10s"),
)

#: What earlier nights have made: prompt, model, US dollars, days ago, and what has become of it.
EARLIER = (
    ("A red kite circles above a stubble field", "wan-2-7-text-to-video", 0.55, 0.3, "refunded"),
    ("A caravan crosses the dunes at dawn, seen from high above", "veo3.1-full-text-to-video", 3.52, 0.4, "stored"),
    ("Snow falls on a quiet courtyard, a door opens", "longcat-text-to-video", 0.25, 0.5, "doubt"),
    ("A clay fox wakes in a paper forest", "wan-2-7-text-to-video", 0.55, 1.1, "stored"),
    ("Coral garden, a turtle passes close to the lens", "kling-v3-pro-text-to-video", 1.12, 1.2, "stored"),
    ("Rooftops of an old town in the first light", "veo3.1-fast-text-to-video", 0.88, 1.3, "left"),
    ("A vinyl record turns, dust in a beam of light", "longcat-text-to-video", 0.25, 2.2, "stored"),
    ("Time-lapse of a fern unfolding", "wan-2-7-text-to-video", 0.55, 2.4, "stored"),
    ("A cable car climbs out of the clouds", "kling-v3-pro-text-to-video", 1.12, 3.3, "stored"),
    ("Fireflies above a river bend", "veo3.1-full-text-to-video", 3.52, 4.2, "stored"),
    ("A potter's workshop, morning light", "wan-2-7-text-to-video", 0.55, 5.2, "stored"),
    ("Waves break on black sand", "kling-v3-pro-text-to-video", 1.12, 5.4, "stored"),
    ("A tram turns the corner in the rain", "longcat-text-to-video", 0.25, 6.3, "stored"),
    ("Alpine meadow, bells in the distance", "veo3.1-fast-text-to-video", 0.88, 7.2, "stored"),
    ("A whale surfaces beside a small sailing boat", "veo3.1-full-text-to-video", 3.52, 8.3, "stored"),
    ("Ink spreads in water, slow motion", "wan-2-7-text-to-video", 0.55, 9.2, "stored"),
    ("A street market wakes up", "kling-v3-pro-text-to-video", 1.12, 10.4, "stored"),
)

ENDINGS: dict[str, dict[str, Any]] = {
    "refunded": {
        "status": "failed",
        "error": "The request was rejected by the content policy of the model",
        "refunded": True,
        "suggested_prompt": "A red kite circles above a harvested field, wide shot",
        "recommended_model": "seedance-2-0-text-to-video",
    },
    "doubt": {
        "status": "doubt",
        "error": (
            "The connection broke after the submission was sent: whether Venice has accepted it is not known. Check "
            "the account; then clear the task to go on"
        ),
    },
    "left": {"status": "queued", "error": None},
}


def earlier(folder: Path) -> list[dict[str, Any]]:
    """Return what tasks of earlier nights have written, with the files in their places."""
    entries = []
    for number, (prompt, model, cost, days, ending) in enumerate(EARLIER):
        queued_at = time.time() - days * 86400
        status = {"refunded": "failed", "left": "queued"}.get(ending, "completed")
        job = {"model": model, "queue_id": f"earlier-{number}", "queued_at": queued_at, "status": status}
        request = {"prompt": prompt, "model": model, "duration": "5s", "resolution": "720p", "aspect_ratio": "16:9"}
        entry = {"job": None if ending == "doubt" else job, "request": request, "labels": {}, "estimated_cost": cost}
        if ending == "stored":
            path = folder / f"earlier-{number}.mp4"
            path.write_bytes(encode(ClipSpec(f"{model}\n{prompt}", 5, 1280, 720, 24, False), lambda: False))
            file = existing_video(path)
            assert file is not None
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(queued_at + 150))
            entries.append({**entry, "status": "stored", **file.to_dict(), "stored_at": at})
        else:
            entries.append({**entry, **ENDINGS[ending]})
    return entries


def requests(rows: tuple[tuple[str, str, str], ...], **fields: Any) -> list[dict[str, Any]]:
    """Return requests of the simulator's models."""
    return [
        {"prompt": prompt, "model": model, "duration": duration, "aspect_ratio": "16:9", **fields}
        for prompt, model, duration in rows
    ]


def save(page: Page, name: str) -> None:
    """Write what is seen now as ``docs/pictures/ui/<name>.webp``."""
    page.wait_for_timeout(1500)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(PICTURES / f"{name}.webp", quality=82, method=6)
    print(f"Wrote docs/pictures/ui/{name}.webp", flush=True)


def take_ours(stack: AirflowStack, browser: Browser, running: str, stored: str, single: str) -> None:
    """
    Take the pictures of the package's own pages.

    :param running: the DAG run whose clips are on their way.
    :param stored: the one whose clips are stored.
    :param single: the one of one clip.
    """

    def take(name: str, address: str, prepare: Callable[[Page, Frame], None] = wait, **options: Any) -> None:
        with open_page(stack, browser, address, **options) as page:
            frame = venice_frame(page)
            expect(frame.locator("article.card, h1").first).to_be_visible()
            prepare(page, frame)
            save(page, name)

    def play(page: Page, frame: Frame) -> None:
        frame.locator("article.card[data-state=stored]").first.click()
        expect(frame.get_by_test_id("viewer")).to_be_visible()

    take("gallery", "plugin/venice")
    take("gallery-dark", "plugin/venice", theme="dark")
    take("phone", "plugin/venice", viewport={"width": 430, "height": 900})
    take("viewer", "plugin/venice", play, theme="dark")
    take("run", f"dags/product_teasers/runs/{stored}/plugin/venice-run")
    take("rendering", f"dags/product_teasers/runs/{running}/tasks/make_clips/plugin/venice-clip")
    take("clip", f"dags/clips/runs/{single}/tasks/make/plugin/venice-clip")


def make_nights(stack: AirflowStack, simulator: VeniceSimulator, folder: str) -> str:
    """Run the DAG with a mapped task four times, once with a row that fails; the last run is on its way."""
    for failing in (None, 3, None):
        rows = requests(TEASERS)
        if failing is not None:
            rows[failing]["prompt"] += " [simulate: fail]"
        night = stack.trigger("trailers_by_row", conf={"rows": rows, "folder": folder})
        stack.wait("trailers_by_row", night, timeout=180)
    simulator.job_seconds = 2000.0
    night = stack.trigger("trailers_by_row", conf={"rows": requests(TEASERS), "folder": folder})
    stack.wait_until(
        lambda: stack.task_states("trailers_by_row", night).get("clip[0]") == "deferred", 60, "clips to be waited for"
    )
    time.sleep(20)
    return night


def take_airflows(stack: AirflowStack, browser: Browser, mapped: str, single: str) -> None:
    """
    Take the pictures of Airflow's pages in which the package shows.

    :param mapped: the DAG run with a mapped task, whose clips are on their way.
    :param single: the one of one clip.
    """

    def take(name: str, address: str, prepare: Callable[[Page], None], **options: Any) -> None:
        with open_page(stack, browser, address, **options) as page:
            prepare(page)
            save(page, name)

    def open_form(page: Page) -> None:
        page.get_by_role("button", name="Edit Connection").first.click()
        expect(page.get_by_text("Base URL")).to_be_visible()

    def show_grid(page: Page) -> None:
        expect(page.get_by_role("link", name="clip").first).to_be_visible()
        handle = page.locator("[data-panel-resize-handle-id]").first
        handle.hover()
        page.mouse.down()
        page.mouse.move(560, 450, steps=5)
        page.mouse.up()

    def show_log(page: Page) -> None:
        expect(page.get_by_text("Stored video job").first).to_be_visible()

    def show_provider(page: Page) -> None:
        expect(page.get_by_text("airflow-provider-venice")).to_be_visible()

    take("grid", f"dags/trailers_by_row/runs/{mapped}", show_grid, viewport={"width": 1440, "height": 720})
    take("log", f"dags/clips/runs/{single}/tasks/make", show_log, viewport={"width": 1440, "height": 640})
    take("connection", "connections", open_form, viewport={"width": 1440, "height": 820})
    take("providers", "providers", show_provider, viewport={"width": 1440, "height": 520})


@contextmanager
def open_page(
    stack: AirflowStack, browser: Browser, address: str, theme: str = "light", **options: Any
) -> Iterator[Page]:
    """Open a page of Airflow in a window of its own."""
    page = log_in(browser, stack.ui_url, stack.login, **options)
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    page.goto(f"{stack.ui_url}/{address}")
    yield page
    page.context.close()


def wait(page: Page, frame: Frame) -> None:
    """Give the videos of a page their time."""
    page.wait_for_timeout(2500)


def main() -> None:
    """Start everything, make the clips, and take the pictures."""
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "entries.json").write_text(json.dumps(earlier(folder)))
        env = {"AIRFLOW__VENICE__UI_ROOTS": name}
        with (
            VeniceSimulator(speed=10, job_seconds=200) as simulator,
            AirflowStack(
                [ROOT / "tests" / "ui" / "dags"], connections={"venice_default": connection_to(simulator)}, env=env
            ) as stack,
            chromium() as browser,
        ):
            stack.add_connection({"connection_id": "venice_default", "conn_type": "venice", "password": "a-key"})
            for dag_id in ("clips", "nightly_trailers", "product_teasers", "trailers_by_row"):
                stack.wait_for_dag(dag_id)
            written = stack.trigger("nightly_trailers", conf={"file": str(folder / "entries.json")})
            made = stack.trigger("product_teasers", conf={"requests": requests(TEASERS), "folder": name})
            for dag_id, run_id in (("nightly_trailers", written), ("product_teasers", made)):
                assert stack.wait(dag_id, run_id, timeout=180) == "success", stack.failures(dag_id, run_id)
            simulator.job_seconds = 2000.0
            running = stack.trigger("product_teasers", conf={"requests": requests(RUNNING), "folder": name})
            time.sleep(60)
            simulator.job_seconds = 50.0
            single = stack.trigger("clips", conf={"prompt": TEASERS[0][0], "path": str(folder / "heron.mp4")})
            assert stack.wait("clips", single, timeout=120) == "success"
            take_ours(stack, browser, running, made, single)
            take_airflows(stack, browser, make_nights(stack, simulator, name), single)


if __name__ == "__main__":
    main()
