"""What a person sees in a real browser, checked against numbers computed in Python."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

import attnscope
from attnscope.demo import MODEL_FOLDER
from attnscope.places import Box, View, box_map, token_shares, word_map, words_maximum
from attnscope.segmentation.segment import segment_trace
from attnscope.viewer import aggregates
from attnscope.viewer.export import export_page
from viewer.browser import assert_shows, chromium, drawn, needs_chromium, opened, pixels, point, serving

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PROMPTS = ("a red house and a sun under the sky", "a blue boat on the sea under a sunset sky")
PLAIN = "o=1&ce=1&lt=0&pins="  # opaque, cells as squares, no pin: what is drawn is the map and nothing else


def percent(share: float) -> float:
    return pytest.approx(100 * share, rel=6e-3)


def number(page, name: str) -> float:
    return float(page.locator(f"[data-number={name}]").inner_text().split()[0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two saved traces of the demo model."""
    pipe = StableDiffusionPipeline.from_pretrained(MODEL_FOLDER, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    made = []
    for prompt in PROMPTS:
        with attnscope.capture(pipe) as trace:
            pipe(prompt, num_inference_steps=3, generator=torch.Generator().manual_seed(0))
        made.append(trace.save(tmp_path_factory.mktemp("traces") / "run.trace"))
    return made


@pytest.fixture(scope="module")
def traces(folders):
    return [attnscope.load_trace(folder) for folder in folders]


@pytest.fixture(scope="module")
def address(folders):
    with serving(*folders) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


def test_a_place_under_the_cursor_shows_where_it_looks(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all") as page:
        page.mouse.move(*point(page, 0.3, 0.7))
        canvas = drawn(page)
        expected = box_map(traces[0], View(), Box.of_place(0.3, 0.7))
        assert_shows(canvas, expected, but=[(9, 22)])
        assert number(page, "maximum") == percent(expected.max())
        shares = token_shares(traces[0], View(), Box.of_place(0.3, 0.7))
        padding = sum(shares[token.index] for token in traces[0].tokens() if token.role == "padding")
        row = page.locator(".shares tr.padding td").last.inner_text()
        assert float(row.split()[0]) == percent(padding)


def test_block_head_step_and_branch_are_those_chosen(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all") as page:
        page.get_by_role("combobox", name="Block").select_option("15")
        page.get_by_role("combobox", name="Head").select_option("3")
        page.get_by_role("combobox", name="Branch").select_option("uncond")
        page.get_by_role("slider", name="Step").fill("1")
        page.mouse.move(*point(page, 0.52, 0.27))
        expected = traces[0].probabilities(
            block=15, kind="self", head=3, step=1, branch="uncond", image=0, query=(16, 8)
        )
        assert_shows(drawn(page), expected.view(32, 32).numpy(), but=[(16, 8)])


def test_a_block_of_the_strip_is_chosen_by_a_click(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all&m=words&w=2") as page:
        page.get_by_label(re.compile("^block 11, cross")).click()
        tokens = traces[0].words()[2].tokens
        top = words_maximum(traces[0], View(block=11))
        assert_shows(drawn(page), word_map(traces[0], View(block=11), tokens), top=top)
        assert "b=11" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")


def test_the_u_net_shows_both_kinds_in_every_block(browser, address, traces):
    with opened(browser, f"{address}#o=1&ce=1&lt=0&with=all&pins=0.3,0.7&w=2") as page:
        page.wait_for_timeout(300)
        assert page.locator("nav.blocks .thumb").count() == 32
        for block in (1, 3, 7, 13):
            self_map = box_map(traces[0], View(block), Box.of_place(0.3, 0.7))
            assert_shows(thumb(page, f"block {block}, self"), self_map)
            house = word_map(traces[0], View(block), traces[0].span("house").tokens)
            top = words_maximum(traces[0], View(block))
            assert_shows(thumb(page, f"block {block}, cross"), house, top=top)
        described = page.get_by_label(re.compile("^block 1, cross")).get_attribute("title")
        assert "Q (8, 1024, 4), K and V (8, 77, 4)\nP (8, 1024, 77)" in described
        page.get_by_label(re.compile("^block 13, self")).click()
        assert_shows(drawn(page), box_map(traces[0], View(13), Box.of_place(0.3, 0.7)), but=[(4, 11)])


def thumb(page, name):
    return pixels(page, f".thumb[aria-label^='{name}'] canvas")


def test_heads_of_the_block_stand_in_a_row(browser, address, traces):
    with opened(browser, f"{address}#o=1&ce=1&lt=0&with=all&pins=0.3,0.7&b=15&s=2") as page:
        page.wait_for_timeout(300)
        row = traces[0].probabilities(block=15, kind="self", step=2, branch="cond", image=0, query=(9, 22))
        for head in range(8):
            assert_shows(thumb(page, f"head {head}"), row[head].view(32, 32).numpy())
        page.get_by_label("head 5", exact=True).click()
        assert_shows(drawn(page), row[5].view(32, 32).numpy(), but=[(9, 22)])


def test_the_steps_play(browser, address):
    with opened(browser, f"{address}#with=all") as page:
        page.get_by_role("button", name="play the steps").click()
        for step in ("step 0", "step 1", "step 2", "step 0"):
            page.get_by_text(step).first.wait_for()
        page.get_by_role("button", name="pause").click()


def test_a_word_that_is_clicked_shows_where_it_landed(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all") as page:
        page.get_by_role("button", name="house").click()
        house, top = (
            word_map(traces[0], View(), traces[0].span("house").tokens),
            words_maximum(traces[0], View()),
        )
        assert_shows(drawn(page), house, top=top)
        assert number(page, "maximum") == percent(house.max())
        page.get_by_role("button", name="sun").hover()
        sun = word_map(traces[0], View(), traces[0].span("sun").tokens)
        assert_shows(drawn(page), sun, top=top)
        page.get_by_role("button", name="sun").click(modifiers=["Shift"])
        both = [*traces[0].span("house").tokens, *traces[0].span("sun").tokens]
        page.mouse.move(*point(page, 0.5, 0.5))
        assert_shows(drawn(page), word_map(traces[0], View(), both), top=top)
        page.get_by_role("button", name="sun").click()
        page.mouse.move(*point(page, 0.5, 0.5))
        assert_shows(drawn(page), sun, top=top)
        page.get_by_role("button", name="each map").click()
        assert_shows(drawn(page), sun)


def test_a_region_is_dragged_and_pinned(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all&b=14") as page:
        page.mouse.move(*point(page, 0.2, 0.3))
        page.mouse.down()
        page.mouse.move(*point(page, 0.49, 0.6), steps=4)
        page.mouse.up()
        page.mouse.move(5, 5)
        canvas = drawn(page)
        pins = page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")
        sides = [float(side) for side in re.search(r"pins=([^&]*)", pins)[1].split("%2C")]
        assert sides == pytest.approx([0.2, 0.3, 0.49, 0.6], abs=0.008)
        expected = box_map(traces[0], View(14), Box(*sides))
        edges = [
            (row, column)
            for row in range(5, 17)
            for column in range(8, 21)
            if row in (6, 15) or column in (9, 19)
        ]
        assert_shows(canvas, expected, but=edges)
        assert page.get_by_text("rows 6–15, columns 9–19 (pinned)").count() == 1


def test_a_dragged_threshold_changes_the_segments(browser, address, traces):
    with opened(browser, f"{address}#m=segments&with=all") as page:
        slider = page.get_by_role("slider", name="threshold")
        for stop in (220, 90):
            slider.fill(str(stop))
            canvas = drawn(page)
            tau = float(slider.get_attribute("aria-valuetext"))
            expected = segment_trace(traces[0], thresholds=tau, unite=False)
            assert number(page, "segments") == len(expected)
            assert_segments(canvas, expected.labels, np.asarray(expected.overlay(opacity=0.8), float))


def assert_segments(canvas, labels, overlay):
    """Every segment is as in `Segmentation.overlay`; borders and names left out."""
    ys, xs = np.mgrid[6:250:13, 6:250:13]
    scale = canvas.shape[0] / labels.shape[0]
    inside = [
        (y, x)
        for y, x in zip(ys.ravel(), xs.ravel(), strict=True)
        if len(np.unique(labels[y - 3 : y + 4, x - 3 : x + 4])) == 1
    ]
    assert len(inside) > 100
    apart = [
        np.abs(canvas[int((y + 0.5) * scale), int((x + 0.5) * scale), :3] - overlay[y, x]).max()
        for y, x in inside
    ]
    assert (
        np.quantile(apart, 0.9) < 12
    )  # the picture's own edges are drawn smoothly, names cover a few places


def test_a_segment_under_the_cursor_tells_its_words(browser, address, traces):
    with opened(browser, f"{address}#m=segments&with=all") as page:
        drawn(page)
        found = segment_trace(traces[0], labels=["house", "sun", "sky"], unite=False)
        y, x = 0.2, 0.5
        page.mouse.move(*point(page, y, x))
        segment = int(found.labels[int(y * 256), int(x * 256)])
        table = page.locator(f"table[data-segment='{segment}']")
        table.wait_for()
        named = [
            text for text in table.locator("th").all_inner_texts() if text in ("red", "house", "sun", "sky")
        ]
        assert found.names[segment] in (None, named[0])


def test_two_traces_share_the_cursor_and_the_scale(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}") as page:
        page.mouse.move(*point(page, 0.4, 0.6))
        first, second = (box_map(trace, View(), Box.of_place(0.4, 0.6)) for trace in traces)
        top = max(first.max(), second.max())
        assert_shows(drawn(page, 0), first, top=top, but=[(12, 19)])
        assert_shows(drawn(page, 1), second, top=top, but=[(12, 19)])
        assert page.get_by_text("one range for both").count() == 1


def test_a_word_that_the_other_prompt_lacks_is_said(browser, address):
    with opened(browser, f"{address}#{PLAIN}&m=words&w=2") as page:
        assert page.get_by_role("alert").inner_text() == "This prompt does not hold “house”."


def test_a_link_opens_the_same_view(browser, address):
    with opened(browser, f"{address}#with=all") as page:
        page.get_by_role("combobox", name="Block").select_option("3")
        page.get_by_role("combobox", name="Map").select_option("viridis")
        page.get_by_role("combobox", name="Scale").select_option("log")
        page.get_by_label("contours").check()
        page.mouse.click(*point(page, 0.7, 0.2))
        page.mouse.move(5, 5)
        canvas = drawn(page)
        page.get_by_role("button", name="Copy link").click()
        link = page.evaluate("navigator.clipboard.readText()")
        with opened(browser, link) as again:
            np.testing.assert_array_equal(drawn(again), canvas)
            assert again.get_by_role("combobox", name="Block").input_value() == "3"


def test_everything_works_by_keys_alone(browser, address, traces):
    with opened(browser, f"{address}#{PLAIN}&with=all") as page:
        assert page.evaluate("document.activeElement.className") == "stage"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("]")  # the first block
        for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
            page.keyboard.press(key)
        expected = traces[0].probabilities(
            block=1, kind="self", branch="cond", image=0, query=(15, 18), mean=("step", "head")
        )
        assert_shows(drawn(page), expected.view(32, 32).numpy(), but=[(15, 18)])
        page.keyboard.press("Enter")
        assert page.get_by_role("button", name="row 15, column 18").count() == 1
        page.keyboard.press("Delete")
        assert page.get_by_role("button", name="row 15, column 18").count() == 0
        page.keyboard.press("Escape")
        page.keyboard.press("[")
        for key in ("w", "w", "h", "."):
            page.keyboard.press(key)
        word = traces[0].words()[
            page.evaluate("Number(document.querySelector('.word[aria-pressed=true]').dataset.word)")
        ]
        view = View(head=0, step=0)
        top = words_maximum(traces[0], view)
        assert_shows(drawn(page), word_map(traces[0], view, word.tokens), top=top)
        page.keyboard.press("3")
        drawn(page)
        assert page.get_by_role("button", name="Segments").get_attribute("aria-pressed") == "true"


def test_every_control_has_a_name(browser, address):
    unnamed = """() => [...document.querySelectorAll('button, select, input, a')]
        .filter((one) => !one.textContent.trim() && !one.ariaLabel && !one.getAttribute('aria-labelledby'))
        .filter((one) => !one.labels?.length).map((one) => one.outerHTML)"""
    with opened(browser, f"{address}#m=segments") as page:
        drawn(page)
        page.get_by_text("More", exact=True).click()
        assert page.evaluate(unnamed) == []
        page.keyboard.press("1")
        assert page.evaluate(unnamed) == []


@pytest.mark.parametrize(
    "view",
    [
        "b=15&h=2&s=1&pins=0.4,0.6",
        "pins=0.4,0.6&c=viridis&sc=log&o=0.5",
        "b=9&pins=0.1,0.2,0.5,0.6&lt=0&ce=1&o=1",
        "m=words&w=5&ct=1",
        "m=words&w=2;5&b=4&r=each",
        "m=words&w=2&top=0.02",
        "m=segments&n=2;5",
    ],
)
def test_the_copied_code_draws_what_is_on_the_screen(browser, address, view, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(browser, f"{address}#with=all&{view}") as page:
        canvas = drawn(page)
        page.get_by_role("button", name="Copy code").click()
        exec(page.evaluate("navigator.clipboard.readText()"), {})
        (saved,) = tmp_path.iterdir()
        assert_like(canvas, saved, covered=cover(view))


def cover(view):
    """Where pins lie over the map, in shares of the picture: (top, left, bottom, right)."""
    return (0.05, 0.15, 0.55, 0.65) if "pins" in view else (0, 0, 0, 0)


def assert_like(canvas, file, covered):
    """The canvas is the picture in the file, but for how finely lines are drawn and pixels are enlarged."""
    expected = Image.open(file).convert("RGB")
    found = Image.fromarray(canvas).convert("RGB").resize(expected.size, Image.Resampling.BOX)
    apart = np.abs(np.asarray(found, float) - np.asarray(expected, float)).max(-1)
    height, width = apart.shape
    top, left, bottom, right = covered
    apart[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = 0
    assert np.quantile(apart, 0.9) < 6
    assert apart.mean() < (
        8 if file.stem == "segments" else 3
    )  # lines are one pixel, of the canvas or the file


def test_the_copied_code_of_two_traces_has_a_file_of_each(browser, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(browser, f"{address}#m=words&w=6") as page:
        canvases = [drawn(page, 0), drawn(page, 1)]
        page.get_by_role("button", name="Copy code").click()
        exec(page.evaluate("navigator.clipboard.readText()"), {})
        for canvas, name in zip(canvases, ("attention.png", "attention-2.png"), strict=True):
            assert_like(canvas, tmp_path / name, covered=cover(""))


def test_the_copied_code_segments_alike(browser, address, traces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(
        browser, f"{address}#m=segments&with=all&tau=0.1&n=2;5&an=8&pa=2&we=32:1,16:2,8:1,4:1"
    ) as page:
        drawn(page)
        page.get_by_role("button", name="Copy code").click()
        names = {}
        exec(page.evaluate("navigator.clipboard.readText()"), names)
        assert len(names["found"]) == number(page, "segments")
        assert {"house", "sun"} <= set(names["found"].names) <= {"house", "sun", None}


def test_long_work_shows_how_far_it_is_and_stops(browser, folders, monkeypatch):
    def slow(trace, *, progress, **_):
        for done in range(1000):
            progress(done, 1000)
            time.sleep(0.02)

    monkeypatch.setattr(aggregates, "evidence_of_trace", slow)
    with serving(folders[0]) as address, opened(browser, address) as page:
        page.keyboard.press("3")
        page.get_by_text(re.compile(r"Aggregating self-attention: \d+ of 1000 layers")).wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Stopped.").wait_for()
        page.get_by_role("button", name="Aggregate the attention").click()
        page.get_by_text(re.compile(r"Aggregating self-attention: \d+ of 1000 layers")).wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Stopped.").wait_for()
        monkeypatch.undo()
        page.get_by_role("button", name="Aggregate the attention").click()
        page.locator("[data-number=segments]").wait_for()


def test_the_exported_page_needs_no_server(browser, folders, traces, tmp_path):
    page_file = export_page(folders[0], tmp_path / "page.html")
    assert page_file.stat().st_size < 10e6
    asked = []
    with opened(browser, f"file://{page_file}#{PLAIN}") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.mouse.move(*point(page, 0.3, 0.7))
        expected = box_map(traces[0], View(), Box.of_place(0.3, 0.7))
        assert_shows(drawn(page), expected, but=[(9, 22)], tolerance=8)
        assert number(page, "maximum") == percent(expected.max())
        page.get_by_label(re.compile("^block 5, self")).click()
        page.mouse.move(*point(page, 0.8, 0.1))
        assert_shows(
            drawn(page), box_map(traces[0], View(5), Box.of_place(0.8, 0.1)), but=[(6, 0)], tolerance=8
        )
        page.get_by_role("button", name="house").click()
        house, top = (
            word_map(traces[0], View(5), traces[0].span("house").tokens),
            words_maximum(traces[0], View(5)),
        )
        assert_shows(drawn(page), house, top=top, tolerance=8)
        page.keyboard.press("3")
        drawn(page)
        tau = float(page.get_by_role("slider", name="threshold").get_attribute("aria-valuetext"))
        expected = segment_trace(traces[0], thresholds=tau, labels=["house", "sun", "sky"], unite=False)
        assert number(page, "segments") == len(expected)
        areas = sorted(
            ((one.area, one.label or f"segment {one.id}") for one in expected.segments), reverse=True
        )
        assert page.locator(".segments th").all_inner_texts() == [name for _, name in areas]
    assert not [url for url in asked if not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize("beside", ["&with=all", "&with=1"], ids=["one trace", "two traces"])
def test_on_a_phone_everything_stands_in_one_column(browser, address, beside):
    with opened(browser, f"{address}#{PLAIN}{beside}", size=(390, 844)) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert drawn(page).shape[1] > 300
