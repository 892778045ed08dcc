"""A real Chromium, logged in to Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Frame, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Milliseconds that the page of a busy machine may take.
PATIENCE = 30_000


def find_chromium() -> str:
    """
    Return the path of a Chromium; on Debian it is installed where it is missing, if that may be done.

    :raises RuntimeError: when there is none.
    """
    if path := next(filter(None, map(shutil.which, _NAMES)), None):
        return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *arguments], check=True, env=environment, timeout=900)
    if path := next(filter(None, map(shutil.which, _NAMES)), None):
        return path
    raise RuntimeError("the tests of the pages need Chromium on the PATH; install it (on Debian: apt install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def log_in(browser: Browser, ui_url: str, login: tuple[str, str], **options: Any) -> Page:
    """
    Return a page of a new window in which a user is logged in.

    :param login: user name and password.
    :param options: of the window, as Playwright names them.
    """
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{ui_url}/")
    page.fill("input[name=username]", login[0])
    page.fill("input[name=password]", login[1])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/auth/" not in url)
    return page


def venice_frame(page: Page) -> Frame:
    """Return the frame of the page in Airflow's shell that is ours."""
    handle = page.wait_for_selector("iframe[src*='venice/']")
    frame = None if handle is None else handle.content_frame()
    assert frame is not None
    frame.wait_for_load_state()
    return frame
