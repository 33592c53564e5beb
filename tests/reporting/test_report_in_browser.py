"""The page of a report in Chromium: on a phone and a desk, light and dark, with nothing that its policy keeps out."""

import shutil

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

import attnscope
from attnscope.testing import made_trace

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of many blocks and heads, with long texts."""
    trace = made_trace(grids=((4, 6),) * 12, steps=3, heads=24)
    trace.run.pictures = [Image.new("RGB", (48, 32), "teal")]
    trace.run.model, trace.run.edits = "model" * 40, ["<script>alert(1)</script>"]
    path = tmp_path_factory.mktemp("report") / "report.html"
    attnscope.report(trace, path)
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_loads_nothing_and_its_policy_is_kept(browser, address, width, scheme):
    said, asked = [], []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) > 380) == (
        scheme == "light"
    )
    cells = page.evaluate(
        "[...document.querySelectorAll('.heat td[title]')].map(cell => getComputedStyle(cell).backgroundColor)"
    )
    assert len(cells) == 12 * 24 * 4
    assert len(set(cells)) > 5
    assert all(page.evaluate("[...document.images].map(image => image.naturalWidth > 0)"))
    page.close()
