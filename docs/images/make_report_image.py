"""Make the picture of docs/statistics.md: parts of the page that `attnscope report` writes.

python docs/images/make_report_image.py
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from attnscope.cli import main

PROMPT = "a red house on grass under a blue sky with a yellow sun"
WIDTH_PX, GAP_PX, QUALITY = 1180, 36, 82


def make() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = Path(folder) / "report.html"
        assert main(["generate", PROMPT, "-o", folder + "/output"]) == 0
        assert main(["report", folder + "/output/run.trace", "-o", str(report)]) == 0
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": 900}, color_scheme="light")
        page.goto(report.as_uri())
        parts = [shot(page, "header"), shot(page, ".cards", ".card", 3), shot(page, ".figures", "figure", 2)]
        browser.close()
    sheet = Image.new(
        "RGB",
        (WIDTH_PX, sum(part.height for part in parts) + GAP_PX * (len(parts) + 1)),
        parts[0].getpixel((0, 0)),
    )
    top = GAP_PX
    for part in parts:
        sheet.paste(part, ((WIDTH_PX - part.width) // 2, top))
        top += part.height + GAP_PX
    sheet.save(Path(__file__).with_name("report.jpg"), quality=QUALITY, optimize=True)


def shot(page: Page, selector: str, inside: str | None = None, last: int = 0) -> Image.Image:
    """One part of the page, or of it the rows down to one of the elements inside."""
    clip = page.locator(selector).first.bounding_box()
    assert clip is not None
    if inside is not None:
        end = page.locator(f"{selector} > {inside}").nth(last).bounding_box()
        assert end is not None
        clip["height"] = end["y"] + end["height"] - clip["y"]
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")


if __name__ == "__main__":
    make()
