"""What the studio takes for a picture, beside the pipeline alone in a process of its own, in turns; then a crowd.

From a prompt to the first preview and to the picture, both fetched over HTTP, on the demo model with its usual steps:
the attention of all steps is recorded meanwhile, with V, and written to the disk. Then many browsers at once, which
wait for news, look at places and words of single steps, while pictures are made; none may get an error.

    python benchmarks/studio.py [--repeats 7] [--clients 64] [--seconds 30]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from harness import Report, Timings, seconds_of
from viewer_latency import Client, milliseconds, p95, place

import attnscope
from attnscope.demo import GUIDANCE_SCALE
from attnscope.generating.plan import usual_steps

PROMPT = "a red house and a green tree on the grass"
OPEN = ("waiting", "loading", "running")


class Studio:
    """One browser that waits for what it asked for."""

    def __init__(self, address: str) -> None:
        self.client = Client(address)

    def news(self, seen: int = -1) -> dict:
        return json.loads(self.client.ask(f"/api/studio?seen={seen}"))

    def begin(self, seed: int, steps: int | None = None) -> int:
        self.client.connection.close()  # the server has ended one that was idle; it opens by itself
        body = json.dumps({"prompt": PROMPT, "seed": seed, "steps": steps})
        return json.loads(self.client.ask("/api/runs", "POST", body))["number"]

    def watch(self, number: int, steps: int) -> list[float]:
        """Seconds to the first preview, to the picture, both fetched, and until its attention can be looked at."""
        began, seen, times = time.perf_counter(), -1, []
        while True:
            news = self.news(seen)
            seen = news["count"]
            run = next(run for run in news["runs"] if run["number"] == number)
            if run["seen"] is not None and (not times or (len(times) == 1 and run["seen"] == steps - 1)):
                self.client.ask(f"/api/runs/{number}/seen")
                self.client.ask(f"/api/runs/{number}/seen-words")
                times.append(time.perf_counter() - began)
            if run["state"] not in OPEN:
                assert run["state"] == "done", run
                self.client.ask(f"/api/traces/{run['trace']}/picture")
                whole = time.perf_counter() - began
                return [*times, *[whole] * (3 - len(times))]


@contextmanager
def served(folder: str) -> Iterator[str]:
    command = [sys.executable, "-m", "attnscope", "studio", "--no-browser", "-o", folder]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        studio, news = Studio(address), {"count": -1, "model": {"state": "off"}}
        while news["model"]["state"] != "ready":
            news = studio.news(news["count"])
        yield address
    finally:
        server.terminate()
        server.wait()


def crowd(address: str, clients: int, seconds: float) -> tuple[list[float], list[str]]:
    """(seconds of every answer, errors) of browsers that look at the first run, until time is up."""
    times: list[float] = []
    errors: list[str] = []
    ends = time.monotonic() + seconds

    def visit(number: int) -> None:
        chance, client = random.Random(number), Client(address)
        try:
            while time.monotonic() < ends:
                step = chance.randrange(20)
                path = chance.choice(
                    [
                        f"/api/traces/0/place?{place(chance)}&step={step}",
                        f"/api/traces/0/place?{place(chance)}&step={step}&block={chance.choice([1, 11, 16])}",
                        f"/api/traces/0/words?token={chance.randrange(1, 9)}&step={step}",
                        "/api/studio",
                    ]
                )
                began = time.perf_counter()
                client.ask(path)
                times.append(time.perf_counter() - began)
        except Exception as error:
            errors.append(f"client {number}: {error}")

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, errors


def measure(report: Report, address: str, given: argparse.Namespace) -> None:
    studio, pipe = Studio(address), attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    steps, seeds = usual_steps(pipe), iter(range(10_000))
    seconds: dict[str, list[float]] = {"plain": [], "first preview": [], "picture": [], "attention": []}
    for _ in range(given.repeats + 1):  # the first is to warm up
        seed = torch.Generator().manual_seed(next(seeds))
        call = {"num_inference_steps": steps, "guidance_scale": GUIDANCE_SCALE, "generator": seed}
        times = [seconds_of(partial(pipe, PROMPT, **call))]
        times += studio.watch(studio.begin(next(seeds)), steps)
        for name, one in zip(seconds, times, strict=True):
            seconds[name].append(one)
    timings = Timings({name: each[1:] for name, each in seconds.items()})
    report.add_timings(timings)
    report.add("prompt to first preview, median", timings.median("first preview"), "s", "under 1.0")
    report.add("prompt to picture, median", timings.median("picture"), "s")
    report.add("until its attention can be looked at, median", timings.median("attention"), "s")
    report.add("the pipeline alone, median", timings.median("plain"), "s")
    report.add("picture / pipeline alone", timings.ratio("picture", to="plain"), "", "under 1.3")
    report.add("attention / pipeline alone", timings.ratio("attention", to="plain"), "")
    studio.client.connection.close()
    chance = random.Random(0)
    means = milliseconds(lambda: studio.client.ask(f"/api/traces/0/place?{place(chance)}"), 5)
    report.add("a place, mean over all blocks and steps, median", statistics.median(means), "ms")
    number = studio.begin(0, 250)
    times, errors = crowd(address, given.clients, given.seconds)
    studio.client.connection.close()
    done = next(run for run in studio.news()["runs"] if run["number"] == number)["done"]
    report.add(f"answers to {given.clients} clients in {given.seconds:g} s", len(times), "")
    report.add("of which 99 % within", statistics.quantiles(times, n=100)[-1], "s")
    report.add("95 % within", p95(times), "s")
    report.add("steps of a picture made meanwhile", done, "")
    report.add("errors", len(errors), "", "0")
    if errors:
        print(*errors[:5], sep="\n", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    report = Report("studio", "demo model, 256x256, its usual steps, over HTTP")
    with tempfile.TemporaryDirectory() as folder, served(folder) as address:
        measure(report, address, given)
    report.finish()


if __name__ == "__main__":
    main()
