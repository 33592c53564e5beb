"""Photos a second of a folder: the plain loop, and one and two Ray workers, with the demo model.

python benchmarks/folder_throughput.py [--photos 24]

Every way begins with nothing: starting Ray and loading the model count; the second column leaves the first row out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from harness import Report

from attnscope.demo.scenes import scenes
from attnscope.jobs.items import items_of
from attnscope.jobs.job import Engine
from attnscope.jobs.loop import Loop
from attnscope.jobs.ray_engine import RayEngine
from attnscope.jobs.running import run
from attnscope.segmentation.folder_job import SegmentJob


def timed(engine: Engine, photos: Path, output: Path) -> tuple[float, float]:
    """Seconds in all, and photos a second after the first."""
    began, times = time.perf_counter(), []
    for row in run(SegmentJob(str(output)), items_of([str(photos)]), engine=engine):
        assert row.error is None, row.error
        times.append(time.perf_counter() - began)
    return time.perf_counter() - began, (len(times) - 1) / (times[-1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=24)
    given = parser.parse_args()
    report = Report("folder_throughput", f"{given.photos} scenes of 256x256, demo model")
    engines = {
        "plain loop": Loop(),
        "1 Ray worker": RayEngine(workers=1),
        "2 Ray workers": RayEngine(workers=2),
    }
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        photos.mkdir()
        for number, scene in enumerate(scenes(range(given.photos))):
            scene.pil_image.save(photos / f"{number}.png")
        for name, engine in engines.items():
            whole, rate = timed(engine, photos, Path(place) / name)
            report.add(f"{name}, all with its start", whole, "s")
            report.add(f"{name}, after the first photo", rate, "photos/s")
    report.finish()


if __name__ == "__main__":
    main()
