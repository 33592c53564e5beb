"""The page in Japanese, in a real browser."""

from __future__ import annotations

import pytest

from attnscope.testing.made_traces import made_trace
from attnscope.viewer.export import export_page
from viewer.browser import chromium, drawn, needs_chromium, opened, serving
from viewer.conftest import picture
from viewer.japanese import english

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pair():
    traces = [
        made_trace(grids=((8, 12), (4, 6)), steps=3, heads=2, images=2),
        made_trace(grids=((8, 12),), steps=2, heads=2),
    ]
    for trace in traces:
        trace.run.pictures = [picture() for _ in trace.run.prompts]
    return traces


def states(page):
    """The page in each of its modes, with all that opens, one after the other."""
    for key in ("1", "2", "3", "4"):
        page.keyboard.press(key)
        drawn(page)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        yield key
    page.keyboard.press("s")
    page.get_by_role("menu").wait_for()
    yield "save"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    yield "help"


def test_no_english_is_left_in_japanese(browser, pair):
    with serving(*pair) as address:
        for view in (
            "?lang=ja#with=all&pins=0.3,0.7&b=1",
            "?lang=ja#with=1&b=2&s=2&pins=0.3,0.7;0.1,0.1,0.5,0.6&cut=p0.3,0.4;m0.8,0.2&cb=1",
        ):
            with opened(browser, address + view, close="閉じる") as page:
                assert page.locator("html").get_attribute("lang") == "ja"
                for state in states(page):
                    assert english(page) == set(), (view, state)


def test_the_language_is_chosen_on_the_page_and_stands_in_the_address(browser, pair):
    with serving(pair[0]) as address, opened(browser, address) as page:
        page.get_by_label("Language").select_option("ja")
        page.get_by_role("button", name="位置").wait_for()
        assert "?lang=ja" in page.url
        assert english(page) == set()
        page.reload()
        page.get_by_role("button", name="位置").wait_for()
        page.get_by_label("言語").select_option("en")
        page.get_by_role("button", name="Places").wait_for()


def test_the_browser_s_language_is_taken(browser, pair):
    with serving(pair[0]) as address, opened(browser, address, close="閉じる", locale="ja-JP") as page:
        assert page.get_by_role("button", name="位置").count() == 1


def test_the_exported_page_speaks_japanese_too(browser, pair, tmp_path):
    exported = export_page(pair[0], tmp_path / "page.html")
    with opened(browser, f"file://{exported}?lang=ja", close="閉じる") as page:
        for state in states(page):
            assert english(page) == set(), state
        page.get_by_role("button", name="閉じる").click()
        page.get_by_label("言語").select_option("en")
        page.get_by_role("button", name="Places").wait_for()
