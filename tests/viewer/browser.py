"""A real Chromium on a real server: fixtures and the reading of what is drawn."""

from __future__ import annotations

import base64
import os
import shutil
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

from attnscope.pictures.heat_colours import heat_colours
from attnscope.viewer.app import create_app

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = os.environ.get("ATTNSCOPE_BROWSER") == "required"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not NEEDED, reason="needs Chromium: apt-get install chromium"
)


READ = """([selector, number]) => {
    const canvas = document.querySelectorAll(selector)[number];
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const parts = [];
    for (let at = 0; at < data.length; at += 8192) parts.push(String.fromCharCode(...data.subarray(at, at + 8192)));
    return [canvas.height, canvas.width, btoa(parts.join(''))];
}"""


def serving(*traces, **settings):
    """The address of a running viewer."""
    return running(create_app(traces, **settings))


@contextmanager
def running(app):
    """The address of an application on a server."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def chromium():
    """The browser. --no-sandbox: containers of continuous integration run as root."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, address: str, *, size=(1280, 800), close="Got it", **settings):
    """A page that says what goes wrong in it; the first-time hint is out of the way. close: what its button says."""
    with watched(browser, size=size, **settings) as page:
        page.goto(address)
        page.get_by_role("button", name=close).click()
        drawn(page)
        yield page


@contextmanager
def watched(browser, *, size=(1280, 800), may_say=None, **settings):
    """An empty page that says what goes wrong in it, but for messages with `may_say`."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert [text for text in problems if may_say is None or may_say not in text] == []
    context.close()


def drawn(page: Page, pane: int = 0) -> np.ndarray:
    """The canvas as (height, width, 4), once the answers to all questions are on it."""
    ready = (
        "() => [...document.querySelectorAll('.stage canvas')].every((one) => one.dataset.ready === 'true')"
    )
    page.wait_for_function(ready)
    page.wait_for_timeout(60)  # a question may be on its way
    page.wait_for_function(ready)
    return pixels(page, ".stage canvas", pane)


def pixels(page: Page, selector: str, number: int = 0) -> np.ndarray:
    """What is on one of the canvases that a CSS selector finds: (height, width, 4)."""
    height, width, text = page.evaluate(READ, [selector, number])
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def point(page: Page, y: float, x: float, pane: int = 0) -> tuple[float, float]:
    """Where on the screen a place of the picture is."""
    box = page.locator(".stage canvas").nth(pane).bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def assert_shows(canvas: np.ndarray, expected: np.ndarray, *, top=None, but=(), tolerance=3) -> None:
    """The canvas has at the middle of every cell the colour of the map's value there (opacity 1, ramp "ember").

    but: cells under pins and cursors. tolerance: of each colour channel; a level is up to 3 of them.
    """
    height, width = expected.shape
    rows = ((np.arange(height) + 0.5) * canvas.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * canvas.shape[1] / width).astype(int)
    found = canvas[rows[:, None], columns, :3].astype(int)
    wanted = heat_colours(expected / (expected.max() if top is None else top)).astype(int)
    wrong = np.abs(found - wanted).max(-1) > tolerance
    for row, column in but:
        wrong[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} cells differ, first {np.argwhere(wrong)[:3]}"
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > min(10, wrong.size // 12)  # not one flat colour
