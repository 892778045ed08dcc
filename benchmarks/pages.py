"""How long a user waits for the first clips in Airflow's UI, beside Airflow's own list of XComs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Page

from airflow_provider_venice.simulator.media import ClipSpec, encode
from airflow_provider_venice.storage import existing_video
from benchmarks.table import Table
from tests.ui.airflow import AirflowUI, running_ui
from tests.ui.browser import chromium, log_in, venice_frame

#: How many clips there are.
COUNTS = (100, 1_000, 10_000)

ROUNDS = 5

#: Seconds after the page's answer within which the first cards should be there.
WANTED = 1.5


def run() -> list[Table]:
    """Measure the page of all clips, the answer behind it, and Airflow's page of XComs."""
    table = Table(
        "The first cards in a browser, on loopback (median of 5, in seconds)",
        [
            "Clips",
            "from the page's answer",
            "wanted",
            "from the click",
            "Airflow's XComs, from the click",
            "API server",
        ],
    )
    with TemporaryDirectory() as name, running_ui(Path(name) / "clips") as ui, chromium() as browser:
        page = log_in(browser, ui.stack.ui_url, ui.stack.login)
        made = 0
        for count in COUNTS:
            while made < count:
                made += _write(ui, min(1_000, count - made), made)
            rounds = [_gallery(page, ui) for _ in range(ROUNDS)]
            table.add(
                f"{count:,}",
                f"{statistics.median(after for after, _ in rounds):.2f}",
                f"{WANTED}",
                f"{statistics.median(click for _, click in rounds):.2f}",
                f"{statistics.median(_xcoms(page, ui) for _ in range(ROUNDS)):.2f}",
                f"{statistics.median(_answer(ui) for _ in range(ROUNDS)):.2f}",
            )
    return [table]


def _write(ui: AirflowUI, count: int, first: int) -> int:
    """Have a task write of clips, and return how many."""
    path = ui.folder / "clip.mp4"
    if not path.exists():
        path.write_bytes(encode(ClipSpec("a clip", 5, 640, 360, 24, False), lambda: False))
    file = existing_video(path)
    assert file is not None
    entries = []
    for number in range(first, first + count):
        job = {"model": "wan", "queue_id": f"job-{number}", "queued_at": time.time() - number, "estimated_cost": 0.35}
        request = {"prompt": f"Clip {number} of a night, as long as a prompt may well be", "duration": "5s"}
        stored: dict[str, Any] = {"status": "stored", "job": job, "request": request, "labels": {}, **file.to_dict()}
        entries.append({**stored, "stored_at": "2026-11-25T10:00:00Z"})
    ui.write(entries)
    return count


def _gallery(page: Page, ui: AirflowUI) -> tuple[float, float]:
    """Return the seconds until the first card: since the page's answer, and since the click."""
    page.goto(f"{ui.stack.ui_url}/")
    link = page.get_by_role("link", name="Venice")
    link.wait_for()
    started = time.perf_counter()
    link.click()
    frame = venice_frame(page)
    frame.locator("article.card").first.wait_for()
    clicked = time.perf_counter() - started
    since_answer = frame.evaluate("performance.now() - performance.getEntriesByType('navigation')[0].responseEnd")
    return float(since_answer) / 1000, clicked


def _xcoms(page: Page, ui: AirflowUI) -> float:
    """Return the seconds until Airflow's own page has the first XCom, since its address was opened."""
    page.goto(f"{ui.stack.ui_url}/")
    page.get_by_role("link", name="Venice").wait_for()
    started = time.perf_counter()
    page.evaluate("() => { history.pushState({}, '', 'xcoms'); dispatchEvent(new PopStateEvent('popstate')); }")
    page.locator("table tbody tr").first.wait_for()
    return time.perf_counter() - started


def _answer(ui: AirflowUI) -> float:
    """Return the seconds that the API server takes for the first 60 clips and all sums."""
    session = ui.session("admin")
    started = time.perf_counter()
    assert session.get(f"{ui.stack.ui_url}/venice/api/clips", timeout=60).status_code == 200
    return time.perf_counter() - started


if __name__ == "__main__":
    for one in run():
        print(one.to_markdown())
