"""How fast the viewer's server answers, from a saved trace of a full-size SD v1 U-Net (random weights, 512x512).

One client at a time first, over HTTP and with nothing answered from a cache: a place in a 64x64 layer, the same in all
16 blocks, a word, and segments with another threshold, labels included. Then many clients at once, each asking for
places as fast as it is answered; none may get an error, and the server's memory must not grow.

    python benchmarks/viewer_latency.py [--requests 200] [--clients 32] [--seconds 60]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from harness import Report

import attnscope
from attnscope.records import Token
from attnscope.testing.full_size import full_size_unet, inputs

THRESHOLDS = [0.93 + 0.001 * number for number in range(40)]  # this network's maps lie 0.8 to 1.05 nats apart


def save_trace(folder: Path) -> Path:
    unet = full_size_unet("sd1")
    with torch.no_grad(), attnscope.capture(unet) as trace:
        unet(*inputs(unet, height=64, width=64))
    trace.run.prompts = ["red cat"]
    words = [Token(0, "<s>", 0, 0, "start"), Token(1, "red", 0, 3, "text"), Token(2, "cat", 4, 7, "text")]
    trace.run.tokens = [(*words, *(Token(at, "<e>", 0, 0, "padding") for at in range(3, 77)))]
    return trace.save(folder / "run.trace")


class Client:
    """One connection that stays open. Raises for every answer but 200."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address.split("//")[1].strip("/"), timeout=60)

    def ask(self, path: str, method: str = "GET", body: str | None = None) -> bytes:
        headers = {} if body is None else {"content-type": "application/json"}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body


def place(chance: random.Random) -> str:
    return f"top={chance.random():.6f}&left={chance.random():.6f}"


def milliseconds(ask: Callable[[], object], count: int) -> list[float]:
    ask()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def aggregated(client: Client) -> float:
    """Seconds until the attention is aggregated."""
    began = time.perf_counter()
    client.ask("/api/traces/0/aggregate", "POST")
    while json.loads(client.ask("/api/traces/0/aggregate"))["state"] == "running":
        time.sleep(0.02)
    return time.perf_counter() - began


def crowd(address: str, clients: int, seconds: float) -> tuple[int, list[str]]:
    """(answers, errors) of clients that ask for places in all blocks' mean or a 64x64 layer, until time is up."""
    answers, errors, ends = [0] * clients, [], time.monotonic() + seconds

    def visit(number: int) -> None:
        chance, client = random.Random(number), Client(address)
        try:
            while time.monotonic() < ends:
                block = chance.choice(["", "&block=16", "&block=11", "&block=7"])
                client.ask(f"/api/traces/0/place?{place(chance)}{block}")
                answers[number] += 1
        except Exception as error:
            errors.append(f"client {number}: {error}")

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answers), errors


def resident_of(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(report: Report, address: str, pid: int, given: argparse.Namespace) -> None:
    client, chance = Client(address), random.Random(0)
    tau = iter(THRESHOLDS * 100)

    def segments() -> None:
        query = f"threshold={next(tau):.3f}&word=0&word=1"
        client.ask(f"/api/traces/0/segments?{query}")
        client.ask(f"/api/traces/0/labels?{query}")

    asked = "under 40 at 95 %", "under 250 at 95 %", "under 250"
    layer = milliseconds(lambda: client.ask(f"/api/traces/0/place?block=16&{place(chance)}"), given.requests)
    blocks = milliseconds(lambda: client.ask(f"/api/traces/0/blocks?{place(chance)}"), given.requests)
    mean = milliseconds(lambda: client.ask(f"/api/traces/0/place?{place(chance)}"), given.requests)
    for name, times, target in (
        ("a place in a 64x64 layer", layer, asked[0]),
        ("a place in all 16 blocks", blocks, asked[1]),
        ("a place, mean over all blocks", mean, ""),
    ):
        report.seconds[name] = [one / 1e3 for one in times]
        report.add(f"{name}, median", statistics.median(times), "ms")
        report.add(f"{name}, 95 %", p95(times), "ms", target)
    report.add("aggregating the self-attention of one step", aggregated(client), "s")
    again = milliseconds(segments, min(given.requests, len(THRESHOLDS) - 1))
    report.add("segments and labels for another threshold, median", statistics.median(again), "ms", asked[2])
    report.add("segments and labels for another threshold, 95 %", p95(again), "ms")
    crowd(address, given.clients, given.seconds / 4)
    before = resident_of(pid)
    answers, errors = crowd(address, given.clients, given.seconds)
    report.add(f"answers to {given.clients} clients in {given.seconds:g} s", answers, "")
    report.add("errors", len(errors), "", "0")
    report.add("server's resident memory before", before, "MB")
    report.add("after", resident_of(pid), "MB", "flat")
    if errors:
        print(*errors[:5], sep="\n", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    report = Report("viewer_latency", "SD v1 U-Net, float32, 64x64 latent, one step, over HTTP")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "attnscope", "view", str(save_trace(Path(folder))), "--no-browser"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        try:
            measure(report, server.stdout.readline().strip(), server.pid, given)
        finally:
            server.terminate()
            server.wait()
    report.finish()


if __name__ == "__main__":
    main()
