"""The studio in a real browser: on a phone, in Japanese, with the keyboard alone, in a notebook."""

from __future__ import annotations

import re

import pytest
from studio_pages import latest, looking

import attnscope
from attnscope.studio import create_app
from viewer.browser import drawn, needs_chromium, point, running, watched
from viewer.japanese import english
from viewer.test_browser_elsewhere import KEY, TOKEN, framed, page_with
from viewer.test_face_browser import CUT, PHONE, WIDER, touch

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_on_a_phone(browser, address, studio, plain):
    with looking(browser, address, "#p=", **PHONE) as page:
        page.locator("#prompt").tap()
        page.locator("#prompt").fill("a green tree")
        assert not page.get_by_label("steps", exact=True).first.is_visible()
        page.get_by_role("button", name="Settings").tap()
        page.get_by_label("steps", exact=True).first.fill("8")
        page.get_by_role("button", name="Generate").tap()
        page.locator(".forming").wait_for()
        assert_fits(page)
        page.locator(".stage canvas[data-ready=true]").wait_for(timeout=90_000)
        for mode in ("Places", "Words", "Segments", "Cut out", "Edit"):
            page.get_by_role("button", name=mode, exact=True).tap()
            drawn(page)
            assert_fits(page)
        page.locator(".chips").get_by_role("button", name="tree", exact=True).tap()
        page.locator(".stage canvas").scroll_into_view_if_needed()
        touch(page, point(page, 0.2, 0.2), point(page, 0.7, 0.7))
        page.get_by_text(re.compile("tree: .* % down")).wait_for()
        page.wait_for_timeout(500)  # a tap that comes at once would be the second of a double tap
        page.get_by_label("weight of green").fill("2")
        page.get_by_role("button", name="Again, with the edits").tap()
        page.locator("main.two").wait_for(state="attached", timeout=90_000)
        drawn(page, 1)
        assert_fits(page)


def assert_fits(page):
    assert page.evaluate(WIDER) <= 0
    assert page.evaluate(CUT) == []


def test_in_japanese(browser, address, studio, plain):
    def left(page):
        own = [str(studio.folder), "a red house and a tree", *(run["name"] for run in studio.news()["runs"])]
        words = {word for text in own for word in text.split()}
        texts = {text for text in english(page) if not any(each in text for each in own)}
        return {text for text in texts if not any(re.search(rf"\b{word}\b", text) for word in words)}

    with looking(browser, address, "?lang=ja", locale="ja-JP") as page:
        assert left(page) == set()
        page.locator("#prompt").fill("a red house")
        page.get_by_role("button", name="生成").click()
        page.locator(".forming canvas[data-step]").wait_for()
        assert left(page) == set()
        page.locator(".stage canvas[data-ready=true]").wait_for(timeout=90_000)
        page.locator(".stage").focus()  # out of the field
        for key in ("1", "2", "3", "4", "6"):
            page.keyboard.press(key)
            drawn(page)
            assert left(page) == set(), key
        for more in page.locator(".card .bare").all()[:2]:
            more.click()
        assert left(page) == set()


def test_with_the_keyboard_alone(browser, address, studio):
    with looking(browser, address) as page:
        reach(page, "#prompt")
        page.keyboard.type("a red house and a tree")
        page.keyboard.press("Enter")
        page.locator(".forming").wait_for()
        page.locator(".stage canvas[data-ready=true]").wait_for(timeout=90_000)
        assert page.evaluate("document.activeElement.id") == "prompt"
        reach(page, ".modes button[tabindex='0']", back=True)
        page.keyboard.press("6")
        reach(page, "[aria-label='weight of tree']")
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        reach(page, ".chips button:text-is('tree')")
        page.keyboard.press("Enter")
        reach(page, ".stage", back=True)
        for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
            page.keyboard.press(key)
        page.get_by_text(re.compile("tree: .* % down")).wait_for()
        reach(page, "button:text-is('Again, with the edits')")
        page.keyboard.press("Enter")
        page.locator("main.two").wait_for(timeout=90_000)
        weight, region = sorted(latest(studio)["asked"]["edits"], key=lambda edit: edit["edit"] == "region")
        assert weight == {"edit": "reweight", "words": "tree", "factor": 2.0}
        assert (region["edit"], region["words"]) == ("region", "tree")


def reach(page, selector, back=False, most=160):
    """Tab until this has the focus."""
    sought = page.locator(selector).first
    for _ in range(most):
        if sought.count() and sought.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{selector} is not reached by Tab")


def test_in_a_notebook(browser, folder):
    app = create_app("demo", folder=folder.parent / "notebook", token=TOKEN, frame_key=KEY)
    with running(app) as own, page_with(framed(own, f"frame/{KEY}/")) as outer, watched(browser) as page:
        page.goto(outer)
        inner = page.frame_locator("iframe")
        inner.locator("#prompt").fill("a red house and a tree")
        inner.get_by_label("steps", exact=True).first.fill("3")
        inner.get_by_role("button", name="Generate").click()
        inner.locator(".stage canvas[data-ready=true]").wait_for(timeout=90_000)
        inner.locator(".words").get_by_role("button", name="house", exact=True).wait_for()
        assert attnscope.load_trace(next(folder.parent.glob("notebook/0001-*/run.trace"))).prompt()
