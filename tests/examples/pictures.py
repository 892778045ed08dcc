"""``make screenshots``: the pictures of docs/examples.rst, of what the examples make in a real Airflow."""

from __future__ import annotations

import html
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image, ImageDraw, ImageFont, ImageOps
from playwright.sync_api import Browser, FloatRect, Page, expect

from airflow_provider_venice.simulator import VeniceSimulator
from airflow_provider_venice.simulator.media import image_bytes
from tests.examples.files import FolderServer, frames_of
from tests.observability.smtp_server import SmtpServer
from tests.system.clips import connection_to
from tests.system.stack import ROOT, AirflowStack
from tests.ui.browser import PATIENCE, chromium, log_in

PICTURES = ROOT / "docs" / "pictures" / "examples"

#: What runs by itself; the other examples wait for a person, or for what these have made.
RUNS: dict[str, dict[str, Any]] = {
    "venice_text_to_video": {},
    "venice_storyboard": {},
    "venice_image_to_video": {},
    "venice_nightly_batch": {},
    "venice_table_again": {},
    "venice_daily_social": {},
    "venice_variants": {},
    "venice_frame_chain": {},
    "venice_film": {},
    "venice_video_asset": {},
    "venice_alerts": {"prompt": "[simulate: lost] A lighthouse in a storm"},
}

#: Largest picture, in bytes: a page has many of them.
MOST_BYTES = 60_000


def save(picture: Image.Image, name: str) -> None:
    """Write ``docs/pictures/examples/<name>.webp``, as good as its size allows."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.webp"
    for quality in range(88, 40, -6):
        picture.convert("RGB").save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"Wrote {path.relative_to(ROOT)}, {path.stat().st_size} bytes", flush=True)


def strip(pictures: Sequence[tuple[Image.Image, str]], height: int, gap: int = 12) -> Image.Image:
    """Return pictures side by side, each with a line of text below it."""
    scaled = [(ImageOps.contain(picture, (10_000, height)), text) for picture, text in pictures]
    width = sum(picture.width for picture, _ in scaled) + gap * (len(scaled) - 1)
    whole = Image.new("RGB", (width, height + 28), "white")
    pencil, font, left = ImageDraw.Draw(whole), ImageFont.load_default(15), 0
    for picture, text in scaled:
        whole.paste(picture, (left, 0))
        pencil.text((left + picture.width // 2, height + 15), text, fill="#333", font=font, anchor="mm")
        left += picture.width + gap
    return whole


class Photographer:
    """
    Takes pictures of a running Airflow.

    :param stack: the Airflow.
    :param browser: the browser.
    """

    def __init__(self, stack: AirflowStack, browser: Browser) -> None:
        self._stack = stack
        self._page = log_in(browser, stack.ui_url, stack.login)
        self._remember("theme", "light")
        self._remember("default_dag_view", json.dumps("graph"))

    def _remember(self, name: str, value: str) -> None:
        """Store a setting of the UI in the browser."""
        self._page.evaluate("([name, value]) => localStorage.setItem(name, value)", [name, value])

    def _open(self, address: str, width: int, height: int) -> Page:
        """Open a page in a window of some size in pixels."""
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.goto(f"{self._stack.ui_url}/{address}")
        return self._page

    def of_graph(self, dag_id: str, run_id: str, *, height: int = 330, groups: Sequence[str] = ()) -> Image.Image:
        """
        Return the graph of a run.

        :param height: of the window, in pixels.
        :param groups: task groups to be shown open.
        """
        self._remember(f"{dag_id}/open-groups", json.dumps(groups))
        graph = self._graph(self._open(f"dags/{dag_id}/runs/{run_id}", 1500, height))
        return graph.crop((0, 0, graph.width - 24, graph.height))  # without the handle at its edge

    def of_asset(self, name: str) -> Image.Image:
        """Return the graph of an asset, with the DAGs that make it and those that work with it."""
        (asset,) = self._stack.get("assets", name_pattern=name)["assets"]
        return self._graph(self._open(f"assets/{asset['id']}", 1500, 330))

    def _graph(self, page: Page) -> Image.Image:
        expect(page.locator(".react-flow__node").first).to_be_visible()
        page.add_style_tag(content=".react-flow__panel { display: none !important }")
        page.wait_for_timeout(2500)
        return Image.open(io.BytesIO(page.locator(".react-flow").first.screenshot()))

    def of_clips(self, dag_id: str, run_id: str) -> Image.Image:
        """Return the tab with the clips of a run."""
        page = self._open(f"venice/run?{urlencode({'dag_id': dag_id, 'run_id': run_id})}", 1100, 300)
        expect(page.locator("article.card").first).to_be_visible()
        page.wait_for_timeout(2500)
        return Image.open(io.BytesIO(page.screenshot(full_page=True)))

    def of_question(self, dag_id: str, run_id: str, task_id: str, alt: str) -> Image.Image:
        """
        Return a question to a person.

        :param alt: the text of its picture.
        """
        waiting = ("awaiting_input", "deferred")
        self._stack.wait_until(
            lambda: self._stack.task_states(dag_id, run_id).get(task_id) in waiting, 120, f"{dag_id} to ask"
        )
        page = self._open(f"dags/{dag_id}/runs/{run_id}/tasks/{task_id}/required_actions", 1800, 960)
        image = page.get_by_alt_text(alt)
        expect(image).to_be_visible()
        self._stack.wait_until(lambda: image.evaluate("image => image.naturalWidth") > 0, 30, "the image")
        page.wait_for_timeout(2500)
        first, last = image.bounding_box(), page.get_by_role("button", name="Reject").last.bounding_box()
        assert first is not None
        assert last is not None
        left, top = first["x"] - 24, 60
        clip = FloatRect(x=left, y=top, width=1800 - left, height=last["y"] + last["height"] + 24 - top)
        return Image.open(io.BytesIO(page.screenshot(clip=clip)))

    def of_html(self, text: str) -> Image.Image:
        """Return a page of HTML."""
        page = self._page.context.new_page()
        page.set_viewport_size({"width": 760, "height": 10})
        page.set_content(text)
        taken = page.screenshot(full_page=True)
        page.close()
        return Image.open(io.BytesIO(taken))

    def route(self, url: str, body: bytes) -> None:
        """Have the browser get a picture for a URL."""
        self._page.route(url, lambda route: route.fulfill(body=body, content_type="image/png"))


def run_all(stack: AirflowStack) -> dict[str, str]:
    """Run the examples, and return the runs' ids."""
    runs: dict[str, str] = {}
    for dag_id, conf in RUNS.items():
        runs[dag_id] = stack.trigger(dag_id, conf=conf)
        # Side by side they would be slow on a small machine.
        state = stack.wait(dag_id, runs[dag_id], timeout=400)
        assert state == ("failed" if dag_id == "venice_alerts" else "success"), stack.failures(dag_id, runs[dag_id])
    return runs


def take_of_files(folder: Path, runs: Mapping[str, str]) -> None:
    """Take pictures of what is in the files."""
    run = runs["venice_image_to_video"]
    frames = frames_of(folder / f"{run}.mp4", 0, 60, -1)
    with Image.open(folder / f"{run}.png") as drawn:
        texts = ("the picture", "first frame", "middle", "last frame")
        pictures = (drawn.convert("RGB"), *frames)
        save(strip([*zip(pictures, texts, strict=True)], 180), "image-to-video")

    (clip,) = (folder / "social").glob("*.mp4")
    save(strip([*zip(frames_of(clip, 0, 48, 96), ("0 s", "2 s", "4 s"), strict=True)], 420), "daily-social")

    with Image.open(folder / runs["venice_variants"] / "contact-sheet.webp") as sheet:
        save(sheet, "variants")

    shown = []
    for number in range(3):
        first, last = frames_of(folder / runs["venice_frame_chain"] / f"shot-{number}.mp4", 0, -1)
        shown += [(first, f"shot {number + 1}, first frame"), (last, f"shot {number + 1}, last frame")]
    save(strip(shown, 112), "frame-chain")

    seconds = (1, 4, 6, 9, 11, 14)
    frames = frames_of(folder / runs["venice_film"] / "film.mp4", *(second * 24 for second in seconds))
    save(strip([*zip(frames, (f"{second} s" for second in seconds), strict=True)], 112), "film")


def take_of_pages(airflow: Photographer, stack: AirflowStack, runs: Mapping[str, str]) -> None:
    """Take pictures of Airflow's pages."""
    save(airflow.of_graph("venice_text_to_video", runs["venice_text_to_video"]), "text-to-video")
    batch = runs["venice_nightly_batch"]
    save(airflow.of_graph("venice_nightly_batch", batch, height=400, groups=["clip"]), "nightly-batch")
    save(airflow.of_clips("venice_storyboard", runs["venice_storyboard"]), "storyboard")
    stack.unpause("venice_on_video_asset")
    save(airflow.of_asset("venice_clip"), "on-video-asset")
    again = stack.trigger("venice_table_again")
    assert stack.wait("venice_table_again", again) == "success"
    save(airflow.of_clips("venice_table_again", again), "table-again")


def take_of_questions(airflow: Photographer, stack: AirflowStack, folder: Path) -> None:
    """Take pictures of what people are asked."""
    frame_url = "https://example.com/whale.png"
    airflow.route(frame_url, image_bytes("A whale surfaces beside a small sailing boat", 1280, 720, "png"))
    asked = stack.trigger("venice_human_approval", conf={"image_url": frame_url})
    save(airflow.of_question("venice_human_approval", asked, "approve", "The first frame"), "human-approval")
    with FolderServer(folder) as server:
        review = stack.trigger("venice_review_clip", conf={"preview_url": server.url})
        save(
            airflow.of_question("venice_review_clip", review, "review", "The clip, small and without sound"),
            "review-clip",
        )


def take_of_mail(airflow: Photographer, stack: AirflowStack, smtp: SmtpServer) -> None:
    """Take a picture of the mail about a doubt."""
    mail = stack.wait_until(lambda: smtp.mails, 60, "the mail")[0]
    head = "".join(f"<b>{name}:</b> {html.escape(mail[name])}<br>" for name in ("From", "To", "Subject"))
    body = mail.get_body(("html",))
    assert body is not None
    style = "font: 15px/1.5 sans-serif; margin: 0; padding: 20px 28px; overflow-wrap: anywhere"
    save(airflow.of_html(f"<body style='{style}'>{head}<hr>{body.get_content()}</body>"), "alerts")


def main() -> None:
    """Start everything, run the examples, and take the pictures."""
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory(prefix="venice-") as name, VeniceSimulator(speed=10, job_seconds=120) as simulator:
        folder = Path(name)
        env = {"AIRFLOW__VENICE__UI_ROOTS": name, "VENICE_OUTPUT_DIR": name, "VENICE_ALERTS_TO": "people@example.com"}
        with SmtpServer() as smtp:
            extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
            mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": smtp.port, "extra": extra}
            connections = {"venice_default": connection_to(simulator), "smtp_default": json.dumps(mail)}
            with (
                AirflowStack([ROOT / "example_dags"], env=env, connections=connections) as stack,
                chromium() as browser,
            ):
                runs = run_all(stack)
                take_of_files(folder, runs)
                airflow = Photographer(stack, browser)
                take_of_mail(airflow, stack, smtp)
                take_of_pages(airflow, stack, runs)
                take_of_questions(airflow, stack, folder)


if __name__ == "__main__":
    main()
