"""The moving picture that heads the README: a prompt, the picture as it forms, a word boosted, both beside each other.

    python docs/tools/studio_gif.py [--target docs/images/studio.gif]

Runs `attnscope studio` on the demo model and drives a real Chromium through it; Playwright and a Chromium are needed.
Frames that are alike are shown longer instead of being written twice.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Page, sync_playwright

SIZE = {"width": 1180, "height": 740}
WIDTH_PX = 900
COLOURS = 256
FRAME_MS = 140
LONGEST_WAIT_MS = 220
MOST_BYTES = 3_000_000
PROMPT = "a red house and a small green tree on the grass"
WORD = "tree"
SEED = "3"


@contextmanager
def studio(folder: str) -> Iterator[str]:
    """The address of a studio whose model is loaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "attnscope", "studio", "--no-browser", "-p", str(port), "-o", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        while state(address) != "ready":
            time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait()


def state(address: str) -> str:
    """Of the model; "" while the server does not answer."""
    try:
        with urllib.request.urlopen(f"{address}api/studio", timeout=5) as answer:
            return json.load(answer)["model"]["state"]
    except OSError:
        return ""


class Film:
    """Pictures of a page, each with how long it is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, ms: int = FRAME_MS, longest_ms: int | None = None) -> None:
        """What the page shows now, for so long; longest_ms: at most, together with frames before that are alike."""
        whole = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        frame = whole.resize(
            (WIDTH_PX, round(WIDTH_PX * whole.height / whole.width)), Image.Resampling.LANCZOS
        )
        if self.frames and ImageChops.difference(frame, self.frames[-1]).getbbox() is None:
            whole_ms = self.times[-1] + ms
            self.times[-1] = (
                whole_ms if longest_ms is None else max(min(whole_ms, longest_ms), self.times[-1])
            )
        else:
            self.frames.append(frame)
            self.times.append(ms)

    def until(self, selector: str) -> None:
        """Pictures until something is there; where nothing happens, the film is faster than the machine."""
        while not self._page.locator(selector).count():
            self.take(longest_ms=LONGEST_WAIT_MS)
            self._page.wait_for_timeout(30)

    def save(self, target: Path) -> None:
        """As GIF, with one palette for all frames."""
        samples = [*self.frames[:: max(1, len(self.frames) // 8)], self.frames[-1]]
        width, height = samples[0].size
        sheet = Image.new("RGB", (width, height * len(samples)))
        for number, sample in enumerate(samples):
            sheet.paste(sample, (0, number * height))
        palette = sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames]
        frames[0].save(
            target, save_all=True, append_images=frames[1:], duration=self.times, loop=0, optimize=True
        )


def play(page: Page, film: Film) -> None:
    """What is to be seen."""
    page.get_by_label("seed", exact=True).first.fill(SEED)
    page.locator("#prompt").focus()
    for word in PROMPT.split(" "):
        page.keyboard.type(word + " ")
        film.take(90)
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    film.until(".forming canvas[data-step]")
    page.locator(f".prompt .word:has-text('{WORD}')").click()
    film.until(".stage canvas[data-ready='true']")
    page.get_by_role("button", name="Words", exact=True).click()
    page.locator(f".prompt .word:has-text('{WORD}')").first.click()
    page.wait_for_timeout(900)
    film.take(1400)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.wait_for_timeout(700)
    film.take(700)
    slider = page.locator(f".weight[data-word='{WORD}'] input")
    for factor in ("1.5", "2", "2.5", "3"):
        slider.fill(factor)
        film.take(180)
    film.take(500)
    page.get_by_role("button", name="Again, with the edits").click()
    page.wait_for_timeout(200)
    film.until(".forming canvas[data-step]")
    page.locator(f".prompt .word:has-text('{WORD}')").click()
    film.until("main.two .pane:nth-of-type(2) .stage canvas[data-ready='true']")
    page.get_by_role("button", name="Words", exact=True).click()
    page.wait_for_timeout(3000)
    film.take(3500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", type=Path, default=Path("docs/images/studio.gif"))
    target = parser.parse_args().target
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, studio(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", locale="en-GB")
        page.goto(address)
        page.wait_for_selector("#prompt")
        film = Film(page)
        play(page, film)
        film.save(target)
        browser.close()
    size = target.stat().st_size
    sys.stdout.write(f"{target}: {len(film.frames)} frames, {size / 1e6:.2f} MB\n")
    if size > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES / 1e6:.0f} MB: fewer frames or a smaller WIDTH_PX are needed")


if __name__ == "__main__":
    main()
