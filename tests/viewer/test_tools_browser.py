"""In a real browser: something is cut out by three clicks, a word that was ignored is explained, its GIF is saved."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import attnscope
from viewer.browser import chromium, drawn, needs_chromium, opened, point, serving

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

CLICKS = ((0.62, 0.7), (0.55, 0.72), (0.2, 0.2))  # (y, x); the last with Shift


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe) as trace:
        pipe(
            "a red elephant on the moon",
            num_inference_steps=4,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(0),
        )
    return trace.save(tmp_path_factory.mktemp("traces") / "run.trace")


def number(page, name):
    return float(page.locator(f"[data-number={name}]").first.inner_text().split()[0])


def clipboard(page):
    page.get_by_role("button", name="Copy code").click()
    return page.evaluate("navigator.clipboard.readText()")


def saved(page, act):
    with page.expect_download() as coming:
        act()
    with open(coming.value.path(), "rb") as file:  # noqa: PTH123
        return coming.value.suggested_filename, file.read()


def test_a_thing_is_cut_out_a_word_explained_and_a_gif_saved(folder, tmp_path):
    trace = attnscope.load_trace(folder)
    with serving(folder) as address, chromium() as browser:
        with opened(browser, f"{address}#o=1", accept_downloads=True) as page:
            cut_out(page, trace)
            explain(page, trace)
            save_a_gif(page, trace, tmp_path)


def cut_out(page, trace):
    page.keyboard.press("4")
    before = drawn(page)
    for y, x in CLICKS[:2]:
        page.mouse.click(*point(page, y, x))
    page.keyboard.down("Shift")
    page.mouse.click(*point(page, *CLICKS[2]))
    page.keyboard.up("Shift")
    page.wait_for_timeout(100)
    after = drawn(page)
    (first, second, third) = ((int(x * 256), int(y * 256)) for y, x in CLICKS)
    expected = attnscope.click(trace, [first, second], [third])
    assert number(page, "share") == pytest.approx(100 * expected.mask.mean(), rel=6e-3)
    assert number(page, "area") == expected.mask.sum()
    assert page.locator(".points li").count() == 3
    assert_cut(before, after, expected.mask)
    names = {}
    exec(clipboard(page).replace('"cutout.png"', "io.BytesIO(), 'PNG'"), {"io": io}, names)
    np.testing.assert_array_equal(names["clicked"].mask, expected.mask)
    assert "cut=p" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")
    name, cut = saved(page, lambda: page.get_by_role("link", name="the thing (PNG)").click())
    assert name == "a-red-elephant-on-the-moon.cutout.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(cut))), np.asarray(expected.cutout()))
    page.get_by_role("button", name=re.compile("^remove point .* beside it")).click()
    drawn(page)
    fewer = attnscope.click(trace, [first, second])
    assert number(page, "area") == fewer.mask.sum()


def assert_cut(before, after, mask):
    """The thing as it was, all else darker; but for the line around it and the points."""
    height, width = before.shape[:2]
    rows, columns = ((np.arange(256) + 0.5) * size // 256 for size in (height, width))
    one, other = (
        shown[rows.astype(int)[:, None], columns.astype(int), :3].astype(int) for shown in (before, after)
    )
    places = np.ones(mask.shape, bool)
    for y, x in CLICKS:
        places[
            max(int(y * 256) - 12, 0) : int(y * 256) + 12, max(int(x * 256) - 12, 0) : int(x * 256) + 12
        ] = False
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        for by in (-2, -1, 1, 2):
            edge |= np.roll(mask, by, axis) != mask
    inside, outside = (part & places & ~edge for part in (mask, ~mask))
    assert inside.sum() > 200
    assert outside.sum() > 200
    assert np.abs(one - other)[inside].max() <= 2
    assert (other[outside].sum(-1) < 0.5 * one[outside].sum(-1) + 60).all()


def explain(page, trace):
    page.keyboard.press("2")
    elephant = page.get_by_role("button", name="elephant", exact=True)
    page.evaluate("location.hash = 'm=words&w=2&o=1'")
    drawn(page)
    assert elephant.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Was this word ignored?").click()
    told = page.locator("article[data-word='2']")
    told.wait_for()
    expected = attnscope.explain(trace, "elephant")
    assert expected.word.verdict.says == "not drawn"
    assert told.get_attribute("data-says") == "not drawn"
    for sentence in expected.paragraphs()[0]:
        assert sentence in told.inner_text()
    assert "not-drawn" in elephant.get_attribute("class")
    moon = page.get_by_role("button", name="moon", exact=True)
    assert ("not-drawn" in moon.get_attribute("class")) == ("moon" in expected.not_drawn)
    page.evaluate("history.replaceState(null, '', '?lang=ja' + location.hash)")
    page.reload()
    told.wait_for()
    for sentence in expected.paragraphs("ja")[0]:
        assert sentence in told.inner_text()


def save_a_gif(page, trace, folder):
    drawn(page)
    page.keyboard.press("s")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "save-png"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "save"
    page.keyboard.press("Enter")
    name, gif = saved(page, lambda: page.locator("#save-gif").click())
    assert name == "a-red-elephant-on-the-moon.elephant.gif"
    shown = Image.open(io.BytesIO(gif))
    assert (shown.format, shown.n_frames) == ("GIF", 4)
    page.locator(".job").wait_for()
    assert page.locator("[role=menu]").count() == 0
    assert gif == attnscope.animate(trace, "elephant", folder / "elephant.gif").read_bytes()
