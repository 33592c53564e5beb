"""How the page is used: on phones, with fingers, by keys, with two traces."""

from __future__ import annotations

import re

import numpy as np
import pytest

from attnscope.places import View, word_map, words_maximum
from attnscope.testing.made_traces import made_trace
from attnscope.viewer.export import export_page
from viewer.browser import assert_shows, chromium, drawn, needs_chromium, opened, pixels, point, serving
from viewer.conftest import picture

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PHONE = {"size": (390, 844), "has_touch": True, "is_mobile": True}


def shown(trace, prompts):
    trace.run.prompts = prompts
    trace.run.pictures = [picture(128, 192) for _ in prompts]
    return trace


@pytest.fixture(scope="module")
def traces():
    """Whose second word is ignored; the second has other words."""
    first = made_trace(grids=((8, 12), (4, 6)), steps=3, heads=2)
    second = made_trace(grids=((8, 12), (4, 6)), steps=2, heads=2, seed=5)
    return [shown(first, first.run.prompts), shown(second, ["red cap"])]


@pytest.fixture(scope="module")
def address(traces):
    with serving(*traces) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll('button, select, canvas, output, th, dd, p, a')].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && !one.closest('.skip, .spoken, .history') && (box.right > innerWidth + 1 || box.left < -1);
}).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize(("query", "close"), [("", "Got it"), ("?lang=ja", "閉じる")])
@pytest.mark.parametrize("view", ["with=all&b=1&pins=0.3,0.7", "with=1&b=1&pins=0.3,0.7;0.1,0.1,0.5,0.6"])
def test_nothing_is_wider_than_the_window(browser, address, query, close, view):
    with opened(browser, f"{address}{query}#{view}", size=(360, 844), close=close) as page:
        for width in (360, 390, 700, 701, 850, 1000, 1001, 1151):
            page.set_viewport_size({"width": width, "height": 844})
            for key in ("1", "2", "3"):
                page.keyboard.press(key)
                drawn(page)
                assert page.evaluate(WIDER) <= 0, (width, key)
                assert page.evaluate(CUT) == [], (width, key)


def test_a_phone_shows_the_picture_first_and_takes_taps_and_drags(browser, address):
    with opened(browser, f"{address}#with=all&pins=", **PHONE) as page:
        box = page.locator(".stage canvas").bounding_box()
        assert box["y"] + box["height"] < 600
        assert box["width"] > 340
        page.touchscreen.tap(*point(page, 0.3, 0.7))
        page.get_by_role("button", name="row 2, column 8").wait_for()
        touch(page, point(page, 0.2, 0.2), point(page, 0.6, 0.6))
        page.get_by_role("button", name=re.compile("rows 1–4, columns 2–7")).wait_for()
        assert page.evaluate("scrollY") == 0
        touch(page, (195, box["y"] + box["height"] + 60), (195, box["y"] + box["height"] - 140))
        page.wait_for_function("scrollY > 50")


def touch(page, start, end):
    """A finger that moves over the screen."""
    client = page.context.new_cdp_session(page)

    def send(kind, *places):
        client.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in places]},
        )

    send("touchStart", start)
    for share in np.linspace(0, 1, 8):
        send("touchMove", tuple(np.array(start) * (1 - share) + np.array(end) * share))
        page.wait_for_timeout(16)
    send("touchEnd")


def test_a_finger_adds_words_one_after_the_other(browser, address):
    with opened(browser, f"{address}#with=all&m=words&w=0", **PHONE) as page:
        page.locator(".word").nth(1).tap()
        assert pressed(page) == ["cat"]
        page.get_by_role("button", name="+ several").tap()
        page.locator(".word").nth(0).tap()
        assert pressed(page) == ["red", "cat"]


def pressed(page, row=0):
    return page.locator(".words").nth(row).locator(".word[aria-pressed=true]").all_inner_texts()


def test_the_exported_page_works_on_a_phone(browser, traces, tmp_path):
    exported = export_page(traces[0], tmp_path / "page.html")
    with opened(browser, f"file://{exported}#pins=", **PHONE) as page:
        assert page.evaluate(WIDER) <= 0
        page.touchscreen.tap(*point(page, 0.3, 0.7))
        page.get_by_role("button", name="row 2, column 8").wait_for()
        page.get_by_role("button", name="Words").tap()
        canvas = drawn(page)
        assert len(np.unique(canvas.reshape(-1, 4), axis=0)) > 20


def test_two_traces_have_their_own_words_and_numbers(browser, address, traces):
    with opened(browser, f"{address}#m=words&w=0&o=1&lt=0&ce=1") as page:
        assert page.locator(".words").nth(1).locator(".word.text").all_inner_texts() == ["red", "cap"]
        assert pressed(page, 1) == ["red"]
        assert maxima(page) == [of_word(trace, 0) for trace in traces]
        page.locator(".words").nth(1).get_by_role("button", name="cap").click()
        assert (pressed(page, 0), pressed(page, 1)) == (["red"], ["cap"])
        page.mouse.move(5, 500)
        top = max(words_maximum(trace, View()) for trace in traces)
        assert_shows(drawn(page, 0), word_map(traces[0], View(), [1]), top=top)
        assert_shows(drawn(page, 1), word_map(traces[1], View(), traces[1].words()[1].tokens), top=top)
        assert maxima(page) == [of_word(traces[0], 0), of_word(traces[1], 1)]
        page.locator(".words").nth(0).get_by_role("button", name="cat").click()
        page.get_by_role("alert").get_by_text("This prompt does not hold “cat”.").wait_for()


def maxima(page):
    drawn(page)
    return [float(text.split()[0]) for text in page.locator("[data-number=maximum]").all_inner_texts()]


def of_word(trace, number):
    return pytest.approx(100 * float(word_map(trace, View(), trace.words()[number].tokens).max()), rel=6e-3)


def test_shift_with_enter_adds_a_word(browser, address):
    with opened(browser, f"{address}#with=all&m=words&w=0") as page:
        page.locator(".word").nth(0).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+Enter")
        assert pressed(page) == ["red", "cat"]
        page.keyboard.press("Shift+Enter")
        assert pressed(page) == ["red"]
        page.keyboard.press("Enter")
        assert pressed(page) == ["cat"]


def test_cells_as_squares_are_drawn_in_every_map_at_once(browser, address):
    with opened(browser, f"{address}#with=all&m=words&w=0&b=2&pins=0.3,0.7") as page:
        page.wait_for_function("document.querySelectorAll('.thumb canvas').length > 4")
        drawn(page)
        before = screenshots(page)
        page.get_by_label("cells as squares").check()
        after = screenshots(page)
        assert len(before) == 7
        assert [name for name in before if before[name] == after[name]] == []


def screenshots(page):
    """What is seen of every map, by its name."""
    page.wait_for_timeout(50)
    thumbs = page.locator(".thumb:not(.all)")
    found = {thumbs.nth(at).get_attribute("aria-label"): thumbs.nth(at) for at in range(thumbs.count())}
    found["picture"] = page.locator(".stage")
    return {name: one.screenshot() for name, one in found.items()}


def test_the_picture_alone_is_shown_while_p_is_held(browser, address):
    with opened(browser, f"{address}#with=all&pins=0.3,0.7") as page:
        with_map = drawn(page)
        page.keyboard.down("p")
        alone = drawn(page)
        page.keyboard.up("p")
        np.testing.assert_array_equal(drawn(page), with_map)
        page.get_by_role("button", name="picture alone").click()
        np.testing.assert_array_equal(drawn(page), alone)
        assert not np.array_equal(alone, with_map)
        scale = alone.shape[0] / 128
        ys, xs = np.mgrid[8:120:16, 8:184:16]
        original = np.asarray(picture(128, 192), int)[ys, xs]
        found = alone[(ys * scale + scale / 2).astype(int), (xs * scale + scale / 2).astype(int), :3]
        assert np.abs(found - original).max() < 8


def test_maps_let_the_picture_through_where_there_is_no_attention(browser, address, traces):
    with opened(browser, f"{address}#with=all&m=words&w=0&ce=1&o=1&top=0.9") as page:
        page.keyboard.down("p")
        alone = drawn(page).astype(int)
        page.keyboard.up("p")
        through = drawn(page).astype(int)
        page.get_by_label("picture shows through").uncheck()
        opaque = drawn(page).astype(int)
        assert np.abs(through - alone).mean() < np.abs(opaque - alone).mean() / 2
        assert len(np.unique(opaque.reshape(-1, 4), axis=0)) <= 8 * 12  # a colour for each cell, no picture


def test_focus_begins_at_the_picture_and_groups_are_one_stop(browser, address):
    with opened(browser, f"{address}#with=all&b=1&pins=0.3,0.7") as page:
        assert page.evaluate(FOCUS) == "stage"
        seen = []
        for _ in range(4):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(FOCUS))
        assert seen[:3] == ["strip heads", "blocks", "legend"]
        page.reload()
        drawn(page)
        assert page.evaluate(FOCUS) == "stage"
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(FOCUS) == "words"
        page.evaluate("document.querySelector('.skip button').focus()")
        page.keyboard.press("Enter")
        assert page.evaluate(FOCUS) == "stage"


def test_help_closes_to_the_picture(browser, address):
    with opened(browser, f"{address}#with=all") as page:
        page.keyboard.press("?")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.className") == "stage"


FOCUS = "document.activeElement.closest('.stage, .words, .strip, nav.blocks, .legend, aside')?.className"
PLACES = """() => [...document.querySelectorAll('button, canvas, select')].filter((one) => !one.closest('.skip'))
    .map((one) => { const { x, y, width, height } = one.getBoundingClientRect(); return [x, y, width, height]; })"""


@pytest.mark.parametrize("size", [(390, 844), (1000, 700), (1280, 800)], ids=str)
def test_that_code_was_copied_moves_nothing(browser, address, size):
    with opened(browser, f"{address}#with=all", size=size) as page:
        before = page.evaluate(PLACES)
        page.get_by_role("button", name="Copy code").click()
        page.get_by_text("Code copied").wait_for()
        assert page.evaluate(PLACES) == before


@pytest.mark.parametrize("width", [1001, 1280, 2000])
def test_the_first_map_does_not_move_the_picture(browser, address, width):
    with opened(browser, f"{address}#with=all&pins=&b=1", size=(width, 800)) as page:
        before = page.locator(".stage canvas").bounding_box()
        page.mouse.move(*point(page, 0.3, 0.3))
        drawn(page)
        page.locator(".ramp:not(.empty)").wait_for()
        assert page.locator(".stage canvas").bounding_box() == before


def test_without_a_clipboard_the_whole_code_is_copied_all_the_same(browser, address):
    with opened(browser, f"{address}#with=all") as page:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.get_by_role("button", name="Copy code").click()
        page.get_by_text("Code copied").wait_for()
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('textarea'), { id: 'paste' }))"
        )
        page.locator("#paste").focus()
        page.keyboard.press("Control+v")
        assert page.locator("#paste").input_value().count("\n") > 5


def test_an_ignored_word_looks_ignored(browser, address, traces):
    view = View(block=1, step=0)
    tops = [float(word_map(traces[0], view, word.tokens).max()) for word in traces[0].words()]
    ignored = int(np.argmin(tops))
    with opened(browser, f"{address}#with=all&m=words&w={ignored}&b=1&s=0&o=1&lt=0&ce=1") as page:
        expected = word_map(traces[0], view, traces[0].words()[ignored].tokens)
        top = max(tops)
        assert_shows(drawn(page), expected, top=top)
        assert page.get_by_text("one range for all words").count() == 1
        assert_shows(pixels(page, ".thumb[aria-label^='block 1, cross'] canvas"), expected, top=top)
