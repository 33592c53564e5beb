"""The page where it is not at home: below a proxy's path, in a frame of another site, as one file with its steps."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest

from attnscope.places import Box, View, box_map, word_map, words_maximum
from attnscope.testing.made_traces import made_trace
from attnscope.viewer import notebook
from attnscope.viewer.export import export_page
from viewer.browser import assert_shows, chromium, drawn, needs_chromium, opened, point, serving
from viewer.conftest import picture
from viewer.proxying import proxied

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PLAIN = "o=1&ce=1&lt=0&pins="
PREFIX = "/user/me/proxy/8756"
TOKEN = "s3cret"
KEY = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def shown():
    made = made_trace(grids=((16, 24), (8, 12)), steps=4, heads=2)
    made.run.pictures = [picture(128, 192)]
    return made


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


def shows_a_place(page, trace, y=0.3, x=0.7):
    page.mouse.move(*point(page, y, x))
    expected = box_map(trace, View(), Box.of_place(y, x))
    under = (int(y * expected.shape[0]), int(x * expected.shape[1]))
    assert_shows(drawn(page), expected, but=[under])


def assert_shows_cat(page, trace, view, *, tolerance):
    """On the scale of all words."""
    cat = word_map(trace, view, trace.span("cat").tokens)
    assert_shows(drawn(page), cat, top=words_maximum(trace, view), tolerance=tolerance)


@pytest.mark.parametrize(
    "settings",
    [
        {"keeps_prefix": False, "keeps_host": False, "tells": False},
        {"keeps_prefix": True, "keeps_host": True},
    ],
    ids=["nginx", "absolute"],
)
def test_everything_works_below_a_proxys_path(browser, shown, settings):
    public = f"http://localhost{PREFIX}/"
    with serving(shown, token=TOKEN, address=public) as own, proxied(own, PREFIX, **settings) as address:
        with opened(browser, f"{address}?token={TOKEN}#{PLAIN}") as page:
            asked = []
            page.on("request", lambda request: asked.append(request.url))
            page.reload()
            assert TOKEN not in page.url
            shows_a_place(page, shown)
            page.get_by_role("button", name="cat").click()
            assert_shows_cat(page, shown, View(), tolerance=3)
            with page.expect_download() as download:
                page.locator("#save").click()
                page.locator("#save-npz").click()
            with np.load(download.value.path()) as file:
                np.testing.assert_array_equal(file["map"], word_map(shown, View(), shown.span("cat").tokens))
            page.keyboard.press("3")  # asks by POST
            page.locator("[data-number=segments]").wait_for()
            assert len(asked) > 20
            assert not [url for url in asked if not url.startswith(address) and not url.startswith("blob:")]


@contextmanager
def page_with(markup: str):
    """The address of a page of another origin that has this markup, as a notebook has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'<!doctype html><link rel="icon" href="data:,"><body>{markup}'.encode()
            is_page = self.path == "/"
            self.send_response(200 if is_page else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body if is_page else b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/"  # another site than 127.0.0.1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def framed(own: str, path: str) -> str:
    port = urlsplit(own).port
    return notebook.markup(port, path, public=None, tab=f"{own}?token={TOKEN}", height=700)


def test_a_notebook_of_another_site_shows_the_page_without_cookies(browser, shown):
    with serving(shown, token=TOKEN, frame_key=KEY) as own, page_with(framed(own, f"frame/{KEY}/")) as outer:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page, problems = context.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(outer)
        inner = page.frame_locator("iframe")
        inner.get_by_role("button", name="Got it").click()
        inner.get_by_role("button", name="cat").click()
        inner.locator("[data-number=maximum]").wait_for()
        expected = word_map(shown, View(), shown.span("cat").tokens).max()
        told = inner.locator("[data-number=maximum]").inner_text()
        assert float(told.split()[0]) == pytest.approx(100 * expected, rel=6e-3)
        inner.locator("body").press("3")
        inner.locator("[data-number=segments]").wait_for()
        assert context.cookies() == []
        # the help's button asks for the focus, which browsers give no frame of another site
        assert [problem for problem in problems if "autofocusing" not in problem] == []
        context.close()


def test_a_notebook_server_with_a_proxy_shows_the_page_through_it(browser, shown):
    """As jupyter-server-proxy does: the port is below the notebook's own address."""
    config = '<script id="jupyter-config-data" type="application/json">{"baseUrl": "/user/me/"}</script>'
    with serving(shown, token=TOKEN, frame_key=KEY) as own:
        port = urlsplit(own).port
        lab = "<!doctype html><body>" + config + framed(own, f"frame/{KEY}/")
        with proxied(own, f"/user/me/proxy/{port}", pages={"/user/me/lab": lab}) as address:
            context = browser.new_context()
            page = context.new_page()
            page.goto(address.replace(f"proxy/{port}/", "lab"))
            page.wait_for_function("() => document.querySelector('iframe').src.includes('/user/me/proxy/')")
            page.frame_locator("iframe").get_by_role("button", name="Got it").wait_for()
            assert page.locator("iframe").get_attribute("src") == f"{address}frame/{KEY}/"
            assert page.locator("a").get_attribute("href") == f"{address}?token={TOKEN}"
            with context.expect_page() as tab:
                page.locator("a").click()
            tab.value.get_by_role("button", name="Got it").wait_for()
            assert tab.value.url.startswith(f"{address}#") or tab.value.url == address
            context.close()


def test_the_page_by_itself_is_framed_by_nobody(browser, shown):
    with serving(shown) as own, page_with(f'<iframe src="{own}"></iframe>') as outer:
        context = browser.new_context()
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.goto(outer)
        page.wait_for_timeout(500)
        assert any("frame-ancestors" in problem for problem in problems)
        assert page.frame_locator("iframe").get_by_role("button").count() == 0
        context.close()


def test_the_exported_page_has_its_steps(browser, shown, tmp_path):
    page_file = export_page(shown, tmp_path / "page.html")
    with opened(browser, f"file://{page_file}#{PLAIN}") as page:
        page.mouse.move(*point(page, 0.3, 0.7))
        slider = page.get_by_role("slider", name="Step")
        assert slider.get_attribute("aria-valuetext") == "all 4, mean"
        page.keyboard.press(".")
        page.mouse.move(*point(page, 0.3, 0.7))
        assert slider.get_attribute("aria-valuetext").startswith("step 0")
        # maps of a step are on grids of at most 16 cells, here sums of 2x2
        expected = box_map(shown, View(2, step=0), Box.of_place(0.3, 0.7))
        page.get_by_label(re.compile("^block 2, self")).click()
        page.mouse.move(*point(page, 0.3, 0.7))
        assert_shows(drawn(page), expected, but=[(2, 8)], tolerance=16)
        page.keyboard.press("2")  # where the first noun is chosen
        assert_shows_cat(page, shown, View(2, step=0), tolerance=16)
        page.get_by_role("button", name="play the steps").click()
        page.wait_for_function("() => document.querySelector('[aria-valuetext^=\"step 2\"]')")
        page.get_by_role("button", name="pause").click()
        at = int(slider.get_attribute("aria-valuetext").split()[1])
        assert_shows_cat(page, shown, View(2, step=at), tolerance=16)
        page.get_by_text("where a place looks has at most 16×16 cells").wait_for()
        page.keyboard.press("3")
        assert slider.count() == 0
        page.locator("[data-number=segments]").wait_for()
