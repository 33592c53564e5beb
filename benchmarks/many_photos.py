"""Memory over many photos: DiffSeg on one drawn scene after the other, with the demo model.

python benchmarks/many_photos.py [--photos 200]
"""

from __future__ import annotations

import argparse
import time

from harness import Report, resident_bytes

import attnscope
from attnscope.demo.scenes import scenes
from attnscope.segmentation.segment import segment_many

SETTLED = 20  # photos after which caches are as large as they get


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=200)
    given = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    resident: list[int] = []
    began = time.perf_counter()
    for _ in segment_many((scene.pil_image for scene in scenes(range(given.photos))), pipe):
        resident.append(resident_bytes())
    seconds = time.perf_counter() - began
    report = Report("many_photos", f"{given.photos} scenes of 256x256, demo model")
    report.add("a photo", seconds / given.photos, "s")
    report.add(f"resident memory after {SETTLED} photos", resident[SETTLED - 1] / 1e6, "MB")
    report.add(f"resident memory after {given.photos} photos", resident[-1] / 1e6, "MB", "flat")
    report.finish()


if __name__ == "__main__":
    main()
