"""What a user sees and does in Airflow's UI, in a real Chromium."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from airflow_provider_venice.simulator.media import ClipSpec, encode, image_bytes
from tests.ui.airflow import AirflowUI, running_ui
from tests.ui.browser import PATIENCE, chromium, log_in, venice_frame
from tests.ui.test_requests import stored

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(600)]

expect.set_options(timeout=PATIENCE)

MARKUP = """<img src=x onerror="document.body.id='owned'"><script>document.body.id='owned'</script> & {{ 7 * 7 }}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def gallery(ui: AirflowUI, browser: Browser, user: str = "admin", **options: Any) -> tuple[Page, Frame]:
    """Log in, and open the page of all clips from the navigation."""
    login = ui.stack.login if user == ui.stack.login[0] else (user, user)
    page = log_in(browser, ui.stack.ui_url, login, **options)
    page.goto(f"{ui.stack.ui_url}/plugin/venice")
    return page, venice_frame(page)


def card(frame: Frame, prompt: str) -> Any:
    """Return the card of a clip."""
    return frame.locator("article.card").filter(has_text=prompt)


def download(page: Page, button: Any) -> tuple[str, bytes]:
    """Click a button, and return the name and the content of the file that the browser saves."""
    with page.expect_download() as saved:
        button.click()
    return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()


def watch_a_clip(ui: AirflowUI, browser: Browser) -> None:
    """See a clip appear, progress, and play; filter it, open it from its task and its run, and download it."""
    stack, dag_id, task_id = ui.stack, "clips", "make"
    stack.wait_for_dag(dag_id)
    run_id = ui.make("A heron takes off from a misty lake", name="heron")
    page, frame = gallery(ui, browser)
    expect(page.get_by_role("link", name="Venice")).to_be_visible()
    clip = card(frame, "A heron takes off")
    stack.wait_until(lambda: stack.task_states(dag_id, run_id).get(task_id) == "deferred", 90, "the wait")
    if not clip.count():
        frame.get_by_test_id("refresh").click()
    expect(clip).to_have_attribute("data-state", "rendering")

    # It progresses by what its trigger has seen, and the task links to it although it waits.
    links = stack.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"]
    assert links["Watch clip"].startswith(stack.ui_url)
    bar = clip.get_by_test_id("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"\d+"))
    first = bar.get_attribute("aria-valuenow")
    further = f"[role=progressbar][aria-valuenow]:not([aria-valuenow='{first}']), article.card[data-state=stored]"
    expect(frame.locator(further).first).to_be_visible()
    expect(clip).to_have_attribute("data-state", "stored")
    assert stack.wait(dag_id, run_id) == "success"

    # It plays when it is pointed at.
    clip.get_by_test_id("play-area").hover()
    stack.wait_until(
        lambda: clip.locator("video").evaluate("video => video.currentTime > 0.3 && !video.paused"), 30, "it to play"
    )

    # Filters.
    frame.get_by_test_id("search").fill("no such prompt")
    expect(frame.get_by_test_id("empty")).to_be_visible()
    expect(frame.locator("article.card")).to_have_count(0)
    frame.get_by_test_id("search").fill("HERON")
    expect(frame.locator("article.card")).to_have_count(1)
    frame.get_by_test_id("state-stored").click()
    expect(card(frame, "A heron")).to_be_visible()
    assert frame.get_by_test_id("sum-cost").inner_text().startswith("$0.")

    # Large, and saved as the file that was announced.
    card(frame, "A heron").focus()
    page.keyboard.press("Enter")
    viewer = frame.get_by_test_id("viewer")
    expect(viewer).to_be_visible()
    announced = stack.xcom(dag_id, run_id, task_id)
    name, content = download(page, viewer.get_by_test_id("download"))
    assert name == "heron.mp4"
    assert hashlib.sha256(content).hexdigest() == announced["sha256"]
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()

    # From the task instance, by the link, and from the DAG run.
    page.goto(links["Watch clip"])
    frame = venice_frame(page)
    expect(frame.get_by_role("heading", name="A heron takes off")).to_be_visible()
    expect(frame.get_by_text(announced["sha256"]).first).to_be_visible()
    video = frame.locator("video").first
    video.evaluate("video => { video.muted = true; return video.play(); }")
    stack.wait_until(lambda: video.evaluate("video => video.currentTime > 0.3"), 30, "it to play")
    name, content = download(page, frame.get_by_test_id("download").first)
    assert hashlib.sha256(content).hexdigest() == announced["sha256"]

    page.goto(f"{stack.ui_url}/dags/{dag_id}/runs/{run_id}/plugin/venice-run")
    frame = venice_frame(page)
    expect(card(frame, "A heron")).to_have_attribute("data-state", "stored")
    assert unquote(frame.url).endswith(run_id)
    page.context.close()


def test_a_clip_on_older_airflows(older_ui: AirflowUI, browser: Browser) -> None:
    watch_a_clip(older_ui, browser)
    visitors_get_nothing(older_ui)


def visitors_get_nothing(ui: AirflowUI) -> None:
    """Check who may see what, as far as that may differ between releases of Airflow."""
    path = ui.folder / "hidden.mp4"
    path.write_bytes(encode(ClipSpec("hidden", 1, 64, 64, 12, False), lambda: False))
    run_id = ui.write([stored(path)], "hidden")
    address = f"stream?dag_id=hidden&run_id={run_id.replace('+', '%2B')}&task_id=write"
    for user, status in ((None, 401), ("viewer", 403), ("admin", 200)):
        assert ui.get(address, user).status_code == status
    assert ui.get("api/clips", None).status_code == 401
    assert "hidden" in ui.get("api/clips", "admin").text
    assert "hidden" not in ui.get("api/clips", "viewer").text


def test_a_clip(airflow_ui: AirflowUI, browser: Browser) -> None:
    watch_a_clip(airflow_ui, browser)


def test_three_tasks_show_one_clip(airflow_ui: AirflowUI, browser: Browser) -> None:
    stack = airflow_ui.stack
    run_id = airflow_ui.make("Three steps to the sea", dag_id="steps")
    page, frame = gallery(airflow_ui, browser)
    stack.wait_until(lambda: stack.task_states("steps", run_id).get("wait") == "deferred", 90, "the wait")
    frame.get_by_test_id("refresh").click()
    clip = card(frame, "Three steps")
    expect(clip).to_have_count(1)
    expect(clip).to_have_attribute("data-state", "stored")
    assert stack.wait("steps", run_id) == "success"
    for task_id in ("queue", "wait", "download"):
        links = stack.get(f"dags/steps/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"]
        page.goto(links["Watch clip"])
        expect(venice_frame(page).get_by_role("heading", name="Three steps to the sea")).to_be_visible()
    page.context.close()


def test_mapped_and_listed_clips(airflow_ui: AirflowUI, browser: Browser) -> None:
    stack = airflow_ui.stack
    run_id = stack.trigger("many", conf={"path": str(airflow_ui.folder / "many")})
    assert stack.wait("many", run_id, timeout=150) == "success", stack.failures("many", run_id)
    page = log_in(browser, stack.ui_url, stack.login)
    links = stack.get(f"dags/many/dagRuns/{run_id}/taskInstances/mapped/links", map_index=1)["extra_links"]
    page.goto(links["Watch clip"])
    frame = venice_frame(page)
    expect(frame.get_by_role("heading", name="One of the mapped ones, two")).to_be_visible()
    links = stack.get(f"dags/many/dagRuns/{run_id}/taskInstances/listed/links")["extra_links"]
    page.goto(links["Watch clip"])
    frame = venice_frame(page)
    expect(frame.locator("article.card")).to_have_count(2)
    card(frame, "One of a list, two").click()
    name, content = download(page, frame.get_by_test_id("download").locator("visible=true"))
    announced = stack.xcom("many", run_id, "listed")[1]
    assert (name, hashlib.sha256(content).hexdigest()) == ("many-listed-1.mp4", announced["sha256"])
    page.goto(f"{stack.ui_url}/dags/many/runs/{run_id}/plugin/venice-run")
    expect(venice_frame(page).locator("article.card[data-state=stored]")).to_have_count(4)
    page.context.close()


def test_a_viewer_does_not_see_a_hidden_dag(airflow_ui: AirflowUI, browser: Browser) -> None:
    path = airflow_ui.folder / "secret.mp4"
    path.write_bytes(encode(ClipSpec("secret", 1, 64, 64, 12, False), lambda: False))
    request = {"prompt": "A secret meeting", "model": "wan"}
    airflow_ui.write([stored(path, request=request)], "hidden")
    for user, count in (("admin", 1), ("viewer", 0)):
        page, frame = gallery(airflow_ui, browser, user)
        expect(frame.get_by_test_id("count")).not_to_be_empty()
        expect(card(frame, "A secret meeting")).to_have_count(count)
        page.context.close()
    page = browser.new_page()
    page.goto(f"{airflow_ui.stack.ui_url}/venice/clips")
    assert page.locator("article.card").count() == 0
    assert "Not authenticated" in page.inner_text("body")
    page.context.close()


def test_an_approval_shows_price_request_and_first_frame(airflow_ui: AirflowUI, browser: Browser) -> None:
    stack, dag_id, image_url = airflow_ui.stack, "venice_human_approval", "https://example.com/frame.png"
    stack.wait_for_dag(dag_id)
    conf = {"prompt": "A whale ~~~~ ![x](http://example.com/x.png)", "image_url": image_url, "duration": "10s"}
    run_id = stack.trigger(dag_id, conf={**conf, "output_dir": str(airflow_ui.folder)})
    page = log_in(browser, stack.ui_url, stack.login)
    frame = image_bytes("the first frame", 640, 360, "PNG")
    page.route(image_url, lambda route: route.fulfill(body=frame, content_type="image/png"))
    waiting = ("awaiting_input", "deferred")
    stack.wait_until(lambda: stack.task_states(dag_id, run_id).get("approve") in waiting, 90, "a person to be asked")
    page.goto(f"{stack.ui_url}/dags/{dag_id}/runs/{run_id}/tasks/approve/required_actions")
    expect(page.get_by_text("$0.7", exact=True)).to_be_visible()
    expect(page.get_by_text("A whale  ![x](http://example.com/x.png)")).to_be_visible()
    image = page.get_by_role("img", name="The first frame")
    stack.wait_until(lambda: image.evaluate("image => image.naturalWidth") == 640, 20, "the image")
    assert page.locator("img[src*='x.png']").count() == 0
    page.context.close()


def test_text_is_never_markup(airflow_ui: AirflowUI, browser: Browser) -> None:
    path = airflow_ui.folder / "markup.mp4"
    path.write_bytes(encode(ClipSpec("markup", 1, 64, 64, 12, False), lambda: False))
    request = {"prompt": MARKUP, "model": MARKUP, "resolution": MARKUP, "duration": MARKUP}
    job = {"model": MARKUP, "queue_id": MARKUP, "queued_at": time.time(), "status": "failed"}
    failed = {"status": "failed", "job": job, "error": MARKUP, "suggested_prompt": MARKUP, "recommended_model": MARKUP}
    labels = {MARKUP: MARKUP}
    run_id = airflow_ui.write(
        [stored(path, request=request, labels=labels), {**failed, "request": request, "labels": labels}]
    )
    page, frame = gallery(airflow_ui, browser)
    expect(card(frame, MARKUP)).to_have_count(2)
    for address in (
        "plugin/venice",
        f"dags/written/runs/{run_id}/plugin/venice-run",
        f"dags/written/runs/{run_id}/tasks/write/plugin/venice-clip",
    ):
        page.goto(f"{airflow_ui.stack.ui_url}/{address}")
        frame = venice_frame(page)
        expect(frame.get_by_text("onerror").locator("visible=true").first).to_be_visible()
        frame.locator("article.card").first.click()
        page.wait_for_timeout(300)
        assert frame.evaluate("document.body.id") != "owned"
        assert frame.locator("img").count() == 0
    page.context.close()


def test_a_clip_that_was_reused_says_so(airflow_ui: AirflowUI, browser: Browser) -> None:
    path = airflow_ui.folder / "reused.mp4"
    path.write_bytes(encode(ClipSpec("reused", 1, 64, 64, 12, False), lambda: False))
    job = {"model": "wan", "queue_id": "of-another-run", "queued_at": time.time() - 86400, "estimated_cost": 0.35}
    reused: dict[str, Any] = {
        "reused": True,
        "estimated_cost": 0.0,
        "job": job,
        "request": {"prompt": "A reused heron"},
    }
    run_id = airflow_ui.write([stored(path, **reused)])
    page, frame = gallery(airflow_ui, browser)
    expect(card(frame, "A reused heron").locator(".badge.reused")).to_have_text("Reused")
    page.goto(f"{airflow_ui.stack.ui_url}/dags/written/runs/{run_id}/plugin/venice-run")
    frame = venice_frame(page)
    expect(frame.get_by_test_id("sum-cost")).to_have_text("$0.00")
    card(frame, "A reused heron").click()
    expect(frame.get_by_test_id("viewer").get_by_text("$0.00 reused, nothing paid")).to_be_visible()
    page.context.close()


def test_a_thousand_clips(airflow_ui: AirflowUI, browser: Browser) -> None:
    path = airflow_ui.folder / "many.mp4"
    path.write_bytes(encode(ClipSpec("many", 1, 64, 64, 12, False), lambda: False))
    now = time.time()
    entries = []
    for number in range(1000):
        entry = stored(path, f"many-{number}", request={"prompt": f"One of many, {number}", "model": "many"})
        entry["job"] = {"model": "many", "queue_id": f"many-{number}", "queued_at": now - number, "estimated_cost": 0.5}
        entries.append(entry)
    run_id = airflow_ui.write(entries)
    page = log_in(browser, airflow_ui.stack.ui_url, airflow_ui.stack.login)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{airflow_ui.stack.ui_url}/dags/written/runs/{run_id}/plugin/venice-run")
    frame = venice_frame(page)
    expect(frame.locator("article.card").first).to_be_visible()
    expect(frame.get_by_test_id("sum-clips")).to_have_text(re.compile(r"1[,.\s]?000"))
    page.wait_for_timeout(2000)
    assert len([url for url in asked if "/venice/api/" in url]) <= 2, "for the first page of cards"
    cards, streams = frame.locator("article.card").count(), [url for url in asked if "/venice/stream" in url]
    assert len(set(streams)) < cards, "no bytes of clips that nobody sees yet"
    for _ in range(60):
        frame.locator("article.card").last.scroll_into_view_if_needed()
        page.wait_for_timeout(150)
        if frame.locator("article.card").count() == 1000:
            break
    expect(frame.locator("article.card")).to_have_count(1000)
    assert len([url for url in asked if "/venice/api/" in url]) <= 2 * (1000 / 60 + 1)
    assert frame.locator("video[src]").count() <= 60, "those that are far away are let go"
    page.context.close()


def test_nothing_is_asked_while_the_page_is_not_seen(airflow_ui: AirflowUI, browser: Browser) -> None:
    job = {"model": "wan", "queue_id": "unfinished", "queued_at": time.time()}
    entry = {"status": "queued", "job": job, "request": {"prompt": "Never ends"}, "labels": {}}
    airflow_ui.write([entry])
    page, frame = gallery(airflow_ui, browser)
    expect(card(frame, "Never ends")).to_have_attribute("data-state", "rendering")
    asked: list[str] = []
    page.on("request", lambda request: asked.extend([request.url] if "/venice/api/" in request.url else []))
    page.wait_for_timeout(7000)
    assert any("api/updates" in url for url in asked), "what is unfinished is asked for again"
    hide = "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
    for one in page.frames:
        one.evaluate(f"() => {{ {hide} document.dispatchEvent(new Event('visibilitychange')); }}")
    page.wait_for_timeout(500)
    asked.clear()
    page.wait_for_timeout(8000)
    assert not asked
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_light_and_dark_wide_and_narrow(theme: str, width: int, airflow_ui: AirflowUI, browser: Browser) -> None:
    page = log_in(browser, airflow_ui.stack.ui_url, airflow_ui.stack.login, viewport={"width": width, "height": 844})
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    page.goto(f"{airflow_ui.stack.ui_url}/plugin/venice")
    frame = venice_frame(page)
    expect(frame.get_by_test_id("search")).to_be_visible()
    brightness = frame.evaluate(
        """() => {
            const pencil = document.createElement("canvas").getContext("2d");
            pencil.fillStyle = getComputedStyle(document.body).backgroundColor;
            pencil.fillRect(0, 0, 1, 1);
            return Math.max(...pencil.getImageData(0, 0, 1, 1).data.slice(0, 3));
        }"""
    )
    assert brightness > 200 if theme == "light" else brightness < 80
    page.wait_for_timeout(1000)
    is_scrolled = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not frame.evaluate(is_scrolled), "to the side"
    page.context.close()


def test_where_it_is_turned_off_nothing_is_there(tmp_path: Path) -> None:
    with running_ui(tmp_path / "clips", env={"AIRFLOW__VENICE__UI": "False"}) as ui:
        for path in ("clips", "api/clips", "stream"):
            # What Airflow answers to any address that it does not know: the shell of its own pages.
            assert "Venice" not in ui.get(path).text
            assert "Content-Security-Policy" not in ui.get(path).headers
        plugins = {plugin["name"]: plugin for plugin in ui.stack.get("plugins")["plugins"]}
        assert not plugins["venice"]["external_views"]
        assert json.dumps(plugins).count("venice/clips") == 0
