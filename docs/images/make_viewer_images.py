"""Make the screenshots of docs/viewer.md: a real Chromium on the viewer, two runs of the demo model.

pip install "attnscope[all]" playwright
python docs/images/make_viewer_images.py [--states FOLDER]      # --states: every state, in two sizes, dark and light
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

import attnscope
from attnscope.demo import GUIDANCE_SCALE

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from viewer.browser import chromium, drawn, opened, point, serving

HERE = Path(__file__).parent
PROMPTS = (
    "a green tree and a sun over grass under the sky",
    "a red house and a moon on snow under a night sky",
)
SEEDS = (0, 1)
SIZES = {"small": (1280, 800), "large": (2560, 1440)}
STATES = {  # name -> (address, place of the cursor)
    "places": ("with=all&b=15&pins=0.24,0.24;0.8,0.3", (0.55, 0.75)),
    "places-mean": ("with=all", None),
    "places-two": ("b=14&h=3", (0.3, 0.3)),
    "words": ("with=all&m=words&w=2;5&ct=1", None),
    "words-block": ("with=all&m=words&w=5&b=13&c=viridis&sc=log&ce=1", None),
    "segments": ("with=all&m=segments", (0.3, 0.25)),
    "segments-two": ("m=segments", None),
    "learn": ("with=all&m=learn&k=self&b=11&h=1&pins=0.35,0.7", None),
    "learn-words": ("with=all&m=learn&k=cross&b=9&h=1", None),
}
SHOWN = {  # file -> (state, theme)
    "viewer-places.png": ("places", "dark"),
    "viewer-words.png": ("words", "light"),
    "viewer-segments.png": ("segments-two", "light"),
    "viewer-learn.png": ("learn", "light"),
}


def runs(folder: Path) -> list[Path]:
    pipe = attnscope.load_pipeline("demo")
    folders = []
    for number, prompt in enumerate(PROMPTS):
        with attnscope.capture(pipe, branch="cond", value=True) as trace:
            generator = torch.Generator().manual_seed(SEEDS[number])
            pipe(prompt, num_inference_steps=20, guidance_scale=GUIDANCE_SCALE, generator=generator)
        folders.append(trace.save(folder / f"run-{number + 1}.trace"))
    return folders


def shoot(browser, address: str, state: str, theme: str, size: tuple[int, int], target: Path) -> None:
    view, cursor = STATES[state]
    with opened(browser, f"{address}#{view}&th={theme}", size=size) as page:
        if cursor is not None:
            page.mouse.move(*point(page, *cursor))
        drawn(page)
        page.wait_for_timeout(500)  # the strip of blocks
        page.screenshot(path=target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--states", type=Path, help="folder for every state")
    parser.add_argument("--only", choices=SHOWN, help="one of the screenshots")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving(*runs(Path(folder))) as address,
    ):
        for name in [given.only] if given.only else SHOWN:
            state, theme = SHOWN[name]
            shoot(browser, address, state, theme, SIZES["small"], HERE / name)
        if given.states:
            given.states.mkdir(parents=True, exist_ok=True)
            for state in STATES:
                for theme in ("dark", "light"):
                    for name, size in SIZES.items():
                        shoot(
                            browser, address, state, theme, size, given.states / f"{state}-{theme}-{name}.png"
                        )


if __name__ == "__main__":
    main()
