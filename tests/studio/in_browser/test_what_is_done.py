"""The studio in a real browser: what a person does there is what Python says it did."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from studio_pages import STEPS, latest, looking

import attnscope
from attnscope.demo.scenes import scenes
from attnscope.places import View, word_map
from attnscope.testing.made_traces import made_trace
from studio_client import called
from viewer.browser import drawn, needs_chromium, pixels, point

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

WATCH = """() => {
    window.arrived = {};
    const look = () => {
        const canvas = document.querySelector('.forming canvas');
        const step = canvas?.dataset.step;
        if (step !== undefined && !(step in arrived)) arrived[step] = canvas.toDataURL();
        requestAnimationFrame(look);
    };
    look();
}"""


def trace_of(studio, run):
    return attnscope.load_trace(next(studio.folder.glob(f"{run['number']:04d}-*")) / "run.trace")


def picture_of(trace):
    return np.asarray(trace.run.pictures[-1])


def change(page, studio):
    """Presses the button and waits for the picture before and the one after."""
    before = len(studio.news()["runs"])
    page.get_by_role("button", name="Again, with the edits").click()
    studio.until(lambda news: len(news["runs"]) > before)
    run = latest(studio)
    page.wait_for_function(
        "number => document.querySelector('main.two') && "
        "document.querySelector(`.card[data-run='${number}'] [aria-pressed=true]`)",
        arg=run["number"],
    )
    drawn(page, 1)
    return run


def numbers(page, name):
    """Of both panels, in percent: before and after as the page has them, the one that is shown first first."""
    return [float(text.split()[0]) for text in page.locator(f"[data-number={name}]").all_inner_texts()]


def edited(pipe, *edits):
    with attnscope.edit(pipe, *edits):
        return np.asarray(called(pipe, steps=STEPS))


def test_a_prompt_is_typed_and_the_picture_forms(browser, address, studio):
    with looking(browser, address) as page:
        page.evaluate(WATCH)
        page.locator("#prompt").fill("a white cat under a tree")
        page.get_by_label("steps", exact=True).first.fill("20")
        page.get_by_label("steps", exact=True).first.press("Enter")
        page.locator(".forming").wait_for()
        page.get_by_role("button", name="tree", exact=True).click()  # its map, from now on
        page.locator(".stage canvas[data-ready=true]").wait_for(timeout=90_000)
        arrived = page.evaluate("window.arrived")
        assert len(arrived) >= 3
        assert len(set(arrived.values())) == len(arrived)
        trace = trace_of(studio, latest(studio))
        assert trace.prompt() == "a white cat under a tree"
        page.keyboard.press("1")
        page.mouse.move(5, 5)
        shown = drawn(page)[..., :3].astype(int)
        picture = trace.run.pictures[0].resize(shown.shape[1::-1], Image.Resampling.BILINEAR)
        assert np.abs(shown - np.asarray(picture)).mean() < 12  # the browser scales it in its own way


def test_a_picture_is_stopped(browser, address, studio):
    with looking(browser, address) as page:
        page.locator("#prompt").fill("a blue boat")
        page.get_by_label("steps", exact=True).first.fill("200")
        page.get_by_role("button", name="Generate").click()
        page.locator(".forming canvas[data-step]").wait_for()
        page.locator(".forming-progress").get_by_role("button", name="Stop").click()
        card = page.locator(".card").first
        card.get_by_text("stopped").wait_for()
        assert studio.news()["runs"][-1]["state"] == "stopped"


def test_a_boosted_word_has_more_attention_in_the_page_and_in_python(browser, address, studio, plain):
    with looking(browser, address, f"#run={plain['number']}&m=edit") as page:
        page.get_by_label("weight of tree").fill("4")
        after = change(page, studio)
        assert after["asked"]["edits"] == [{"edit": "reweight", "words": "tree", "factor": 4.0}]
        page.keyboard.press("2")
        page.locator(".words").first.get_by_role("button", name="tree", exact=True).click()
        page.keyboard.press("]")  # one block has the same share in all: that of all blocks is told first
        page.keyboard.press("[")
        drawn(page, 1)
        told = numbers(page, "mean")
        traces = [trace_of(studio, run) for run in (after, plain)]
        step = int(re.search(r"[#&]s=(\d+)", page.url)[1]) if "&s=" in page.url else None
        means = [100 * word_map(trace, View(step=step), trace.span("tree").tokens).mean() for trace in traces]
        assert told == pytest.approx(means, rel=6e-3)
        assert means[0] > 1.3 * means[1]


def test_a_region_is_boxed_and_painted(browser, address, studio, plain, pipe):
    with looking(browser, address, f"#run={plain['number']}&m=edit") as page:
        drawn(page)
        page.locator(".chips").get_by_role("button", name="tree", exact=True).click()
        page.get_by_role("button", name="brush").click()
        page.mouse.move(*point(page, 0.2, 0.75))
        page.mouse.down()
        page.mouse.move(*point(page, 0.8, 0.75), steps=6)
        page.mouse.up()
        page.get_by_text("tree: a painted region").wait_for()
        page.locator(".chips").get_by_role("button", name="house").click()
        page.get_by_role("button", name="box").click()
        page.mouse.move(*point(page, 0.1, 0.05))
        page.mouse.down()
        page.mouse.move(*point(page, 0.9, 0.45), steps=6)
        page.mouse.up()
        page.get_by_text(re.compile("house: (9|10|11)–(89|90|91) % down")).wait_for()
        page.get_by_role("button", name="No edits").wait_for()
        after = change(page, studio)
        trace = trace_of(studio, after)
        painted, boxed = after["asked"]["edits"]
        mask = mask_of(painted["mask"])
        rows, columns = np.nonzero(mask)
        assert rows.mean() / mask.shape[0] == pytest.approx(0.5, abs=0.03)
        assert columns.mean() / mask.shape[1] == pytest.approx(0.75, abs=0.03)
        edits = attnscope.Region("tree", mask), attnscope.Region("house", tuple(boxed["box"]))
        assert np.array_equal(picture_of(trace), edited(pipe, *edits))
        outside = attnscope.heat_map(trace, "tree", steps=0).array
        left = outside[:, : outside.shape[1] // 3].max()
        assert left < 1e-3 * outside.max()


def mask_of(mask):
    bits = np.unpackbits(np.frombuffer(base64.b64decode(mask["bits"]), np.uint8))
    return bits[: mask["height"] * mask["width"]].reshape(mask["height"], mask["width"]).astype(bool)


def test_a_head_is_switched_off_and_both_pictures_are_compared(browser, address, studio, plain, pipe):
    with looking(browser, address, f"#run={plain['number']}&m=edit") as page:
        drawn(page)
        page.get_by_role("button", name=re.compile("^block 11")).first.click()
        page.get_by_role("combobox", name="Head").select_option("1")
        page.get_by_role("button", name="switch off: block 11, self-attention, head 1").click()
        after = change(page, studio)
        one, other = picture_of(trace_of(studio, plain)), picture_of(trace_of(studio, after))
        assert np.array_equal(other, edited(pipe, attnscope.Ablate(block=11, kind="self", head=1)))
        page.get_by_role("checkbox", name="difference").check()
        page.locator(".difference canvas[data-mean]").wait_for()
        told = float(page.locator(".difference canvas[data-mean]").get_attribute("data-mean"))
        far = np.abs(one.astype(int) - other.astype(int)).mean(-1)
        assert told == pytest.approx(far.mean(), abs=0.51)  # levels are whole
        assert far.max() > 1
        assert len(np.unique(pixels(page, ".difference canvas")[..., 0])) > 1


def test_a_card_is_compared_renamed_used_again_and_deleted(browser, address, studio, plain):
    other = studio.made("a yellow moon", seed=5, steps=3)
    with looking(browser, address, f"#run={plain['number']}") as page:
        drawn(page)
        menu_of(page, other).get_by_role("button", name="Compare with this").click()
        page.locator("main.two").wait_for()
        menu_of(page, other).get_by_role("button", name="Use its settings").click()
        assert page.locator("#prompt").input_value() == "a yellow moon"
        assert page.get_by_label("seed", exact=True).first.input_value() == "5"
        page.once("dialog", lambda dialog: dialog.accept("my moon"))
        menu_of(page, other).get_by_role("button", name="Rename").click()
        page.locator(".card", has_text="my moon").wait_for()
        page.once("dialog", lambda dialog: dialog.accept())
        menu_of(page, other).get_by_role("button", name="Delete").click()
        page.locator(f".card[data-run='{other['number']}']").wait_for(state="detached")
        page.locator("main.one").wait_for()
        assert not list(studio.folder.glob(f"{other['number']:04d}-*"))


def test_a_run_that_somebody_else_deletes_is_said_and_left(browser, address, studio):
    kept, other = studio.made("a red house", seed=6, steps=1), studio.made("a blue boat", seed=5, steps=1)
    # what is asked for while it goes is not there any more
    with looking(browser, address, f"#run={other['number']}", may_say="404") as page:
        page.wait_for_function("() => document.querySelector('#prompt').value === 'a blue boat'")
        drawn(page)
        assert studio.client.delete(f"/api/runs/{other['number']}").status_code == 204
        page.get_by_text("“a blue boat” was deleted.").wait_for()
        page.wait_for_function("() => document.querySelector('#prompt').value === 'a red house'")
        drawn(page)
        page.locator(f".card[data-run='{kept['number']}'] [aria-pressed=true]").wait_for()


def menu_of(page, run):
    page.get_by_role("button", name=f"more about run {run['number']}", exact=True).click()
    return page.locator(f".card[data-run='{run['number']}'] .menu")


def test_a_photo_is_chosen_and_read(browser, address, studio, pipe):
    body = io.BytesIO()
    Image.fromarray(next(scenes([40000])).image).save(body, "PNG")
    with looking(browser, address) as page:
        page.locator("input[type=file][accept='image/*']").set_input_files(
            {"name": "mine.png", "mimeType": "image/png", "buffer": body.getvalue()}
        )
        page.get_by_label("What is on it?").fill("a balloon and a tree")
        before = len(studio.news()["runs"])
        page.keyboard.press("Enter")
        studio.until(lambda news: len(news["runs"]) > before)
        page.locator(f".card[data-run='{latest(studio)['number']}'] [aria-pressed=true]").wait_for()
        page.locator(".words").get_by_role("button", name="balloon", exact=True).wait_for()
        page.get_by_role("button", name="Words", exact=True).click()
        page.locator(".words").get_by_role("button", name="tree", exact=True).click()
        drawn(page)
        told = numbers(page, "mean")[0]
        assert told == pytest.approx(
            100 * attnscope.heat_map(trace_of(studio, latest(studio)), "tree").array.mean(), rel=6e-3
        )


def test_a_trace_is_dropped_as_zip_and_chosen_as_folder(browser, address, studio, tmp_path):
    saved = made_trace(grids=((8, 12),), steps=2).save(tmp_path / "elsewhere.trace")
    zipped = tmp_path / "elsewhere.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in saved.iterdir():
            archive.write(file, f"elsewhere.trace/{file.name}")
    with looking(browser, address) as page:
        data = page.evaluate_handle(
            """bytes => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], 'elsewhere.zip', { type: 'application/zip' }));
                return data;
            }""",
            list(zipped.read_bytes()),
        )
        page.dispatch_event("body", "dragover", {"dataTransfer": data})
        page.locator(".drop-zone").wait_for()
        page.dispatch_event("body", "drop", {"dataTransfer": data})
        page.locator(".words").get_by_role("button", name="cat").wait_for()
        assert studio.news()["runs"][-1]["kind"] == "trace"
        count = len(studio.news()["runs"])
        page.locator("input[type=file][webkitdirectory]").set_input_files(saved)
        studio.until(lambda news: len(news["runs"]) == count + 1)
        page.locator(f".card[data-run='{studio.news()['runs'][-1]['number']}']").wait_for()
        drawn(page)


def test_what_is_no_trace_is_refused_on_the_page(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.locator("input[type=file][accept='.zip']").set_input_files(
        {"name": "odd.zip", "mimeType": "application/zip", "buffer": b"no zip"}
    )
    page.locator(".bring .told", has_text="zip").wait_for()
    page.close()
