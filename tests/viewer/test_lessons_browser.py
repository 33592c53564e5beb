"""A lesson in a real browser: what it shows are the numbers of Python."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

import attnscope
from attnscope.demo import MODEL_FOLDER
from attnscope.pictures.heat_colours import heat_colours
from attnscope.places import computation
from attnscope.testing.made_traces import made_trace
from viewer.browser import chromium, drawn, needs_chromium, opened, pixels, point, serving

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

WHERE = {"step": 2, "head": 3, "branch": "cond", "image": 0}
SELF = "m=learn&k=self&b=11&s=2&h=3"
CROSS = "m=learn&k=cross&b=11&s=2&h=3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved trace of the demo model, with V and both branches."""
    pipe = StableDiffusionPipeline.from_pretrained(MODEL_FOLDER, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    with attnscope.capture(pipe, value=True) as trace:
        pipe(
            "a red house and a sun under the sky",
            num_inference_steps=3,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(0),
        )
    return trace.save(tmp_path_factory.mktemp("traces") / "run.trace")


@pytest.fixture(scope="module")
def address(folder):
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


def read(text: str) -> float:
    """A number as the page writes it: 1.23 × 10⁻⁴ or −0.5."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    plain = text.replace("−", "-").strip()
    mantissa, _, power = plain.partition(" × 10")
    return float(mantissa) * 10 ** int(power.translate(raised) or 0)


def looked_at(page) -> list[float]:
    """The numbers of the key that is looked at: score, scaled, exponential, share."""
    texts = page.locator(".learn-focus > span").all_inner_texts()
    values = [re.sub(r"^(q·k|scaled|exp|P)\s*", "", text) for text in texts]
    return [read(values[0]), read(values[1]), read(values[2]), read(values[3].removesuffix(" %")) / 100]


def numbers(row, key: int) -> list[float]:
    return [float(values[key]) for values in (row.scores, row.scaled, row.exponentials, row.probability)]


def near(values):
    return pytest.approx(values, rel=6e-3, abs=2e-7)


def test_a_place_s_computation_follows_the_pointer(browser, address, folder):
    trace = attnscope.load_trace(folder)
    grid = trace.layer(11, "self").grid
    with opened(browser, f"{address}#{SELF}&pins=0.3,0.7") as page:
        first = computation(
            trace, block=11, kind="self", query=(int(0.3 * grid.height), int(0.7 * grid.width)), **WHERE
        )
        assert looked_at(page) == near(numbers(first.row, int(first.row.probability.argmax())))
        page.mouse.move(*point(page, 0.55, 0.05))  # the key under the pointer
        key = int(0.55 * grid.height) * grid.width + int(0.05 * grid.width)
        assert int(page.locator(".learn-focus").get_attribute("data-key")) == key
        assert looked_at(page) == near(numbers(first.row, key))
        page.mouse.move(*point(page, 0.31, 0.71))
        page.mouse.down()
        page.mouse.move(*point(page, 0.8, 0.4), steps=5)
        page.mouse.up()
        page.mouse.move(5, 5)
        drawn(page)
        query = (int(0.8 * grid.height), int(0.4 * grid.width))
        second = computation(trace, block=11, kind="self", query=query, **WHERE)
        assert looked_at(page) == near(numbers(second.row, int(second.row.probability.argmax())))
        shares = second.row.probability.view(*grid).numpy()
        page.locator("[data-drawing=shares]").scroll_into_view_if_needed()
        page.wait_for_timeout(300)  # what comes into sight is drawn then
        canvas = pixels(page, "[data-drawing=shares]")
        assert_map(canvas, shares, but=[query, np.unravel_index(shares.argmax(), shares.shape)])
        page.locator("[data-drawing=exponentials]").focus()
        page.keyboard.press("Home")
        assert looked_at(page) == near(numbers(second.row, 0))
        page.keyboard.press("ArrowDown")
        assert looked_at(page) == near(numbers(second.row, grid.width))
        assert_code_prints(page, second.row, grid.width)


def assert_map(canvas, shares, but):
    """Every cell has the colour of its share, but those under rings."""
    rows, columns = shares.shape
    at = [
        ((np.arange(n) + 0.5) * size / n).astype(int)
        for n, size in zip((rows, columns), canvas.shape, strict=False)
    ]
    found = canvas[at[0][:, None], at[1], :3].astype(int)
    wanted = heat_colours(shares / shares.max()).astype(int)
    wrong = np.abs(found - wanted).max(-1) > 4
    for row, column in but:
        wrong[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
    assert not wrong.any()


def assert_code_prints(page, row, key):
    """The copied lines run, and print the numbers on the page."""
    page.locator("#copy-code").click()
    code = page.evaluate("navigator.clipboard.readText()")
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (share,) = re.findall(r"^P tensor\(([\d.e-]+)", printed, re.M)
    (again,) = re.findall(r"^again tensor\(([\d.e-]+)", printed, re.M)
    assert float(share) == pytest.approx(float(row.probability[key]), rel=1e-3)
    assert float(again) == pytest.approx(float(share), rel=1e-3)


def test_words_values_guidance_and_layers(browser, address, folder):
    trace = attnscope.load_trace(folder)
    with opened(browser, f"{address}#{CROSS}&pins=0.3,0.7") as page:
        grid = trace.layer(11, "cross").grid
        where = {"kind": "cross", "query": (int(0.3 * grid.height), int(0.7 * grid.width)), **WHERE}
        row = computation(trace, block=11, **where).row
        (house,) = trace.span("house").tokens
        page.locator("[data-drawing=scores]").focus()
        for _ in range(house - int(page.locator(".learn-focus").get_attribute("data-key"))):
            page.keyboard.press("ArrowRight")
        while int(page.locator(".learn-focus").get_attribute("data-key")) > house:
            page.keyboard.press("ArrowLeft")
        drawn(page)
        assert page.locator(".learn-focus > b").inner_text() == "“house”"
        assert looked_at(page) == near(numbers(row, house))
        brings = page.locator("[data-step='7'] .learn-sum").inner_text()
        assert read(re.search(r"brings (.*) % of o", brings)[1]) / 100 == near(float(row.adds[house]))
        assert "In this run s = 4.00." in page.locator("[data-step=guidance]").inner_text()
        assert (
            page.locator("[data-drawing=uncond]").count() == page.locator("[data-drawing=cond]").count() == 1
        )
        assert "(16, 1024, 77)" in page.locator(".learn-shapes").nth(1).inner_text()
        page.get_by_role("button", name=re.compile("^block 7, Cross-attention")).click()
        drawn(page)
        middle = trace.layer(7, "cross").grid
        query = (int(0.3 * middle.height), int(0.7 * middle.width))
        other = computation(trace, block=7, **{**where, "query": query}).row
        assert looked_at(page) == near(numbers(other, int(other.probability.argmax())))


def test_in_japanese_on_a_phone_without_v(browser):
    trace = made_trace(grids=((8, 12), (4, 6)), steps=2, branches=("cond",))
    with serving(trace) as running:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        context.add_init_script("localStorage.setItem('attnscope-hint-seen', '1')")
        page, problems = context.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{running}?lang=ja#m=learn&k=cross")
        page.locator(".learn-focus").wait_for()
        text = page.locator(".learn").inner_text()
        assert "Self-Attention のテンソル形状" in text
        assert "このトレースには V がない" in text
        assert "このトレースには cond しかないので" in text
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()
    assert not problems
