"""A shard that is cut short while a viewer in a process of its own reads it: sentences, and the process lives."""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from attnscope.testing.made_traces import made_trace

ROUNDS = 12
CLIENTS = 4
VIEWER = """
import sys
from attnscope.storage import folder
folder.KEPT_BYTES = 0  # every question reads
from attnscope.viewer import serve
serve(*sys.argv[1:], open_browser=False)
"""


class Crowd:
    """Clients that ask one trace about ever other places, until they are told to stop."""

    def __init__(self, port: int, trace: int) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.failures: list[Exception] = []
        self._goes_on = True
        self._threads = [
            threading.Thread(target=self._ask, args=(port, trace, number)) for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, port: int, trace: int, seed: int) -> None:
        chance = random.Random(seed)
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            while self._goes_on:
                what = chance.choice(["place", "blocks", "heads", "shares"])
                block = "&block=1" if what == "heads" else ""
                place = f"top={chance.random():.6f}&left={chance.random():.6f}{block}"
                connection.request("GET", f"/api/traces/{trace}/{what}?{place}")
                answer = connection.getresponse()
                self.answers.append((answer.status, answer.read()))
        except Exception as error:
            self.failures.append(error)

    def stop(self) -> None:
        self._goes_on = False
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_shard_that_is_cut_short_while_it_is_read_is_said(tmp_path, seed):
    chance = random.Random(seed)
    folders = [
        made_trace(grids=((32, 32),), steps=4, heads=8, dim=40, seed=at).save(tmp_path / f"{at}.trace")
        for at in range(ROUNDS)
    ]
    with subprocess.Popen(
        [sys.executable, "-c", VIEWER, *map(str, folders)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        for number, folder in enumerate(folders):
            crowd = Crowd(port, number)
            while len(crowd.answers) < 2 * CLIENTS and not crowd.failures:
                time.sleep(0.001)
            time.sleep(chance.random() * 0.03)
            for shard in folder.glob("*.safetensors"):
                with shard.open("r+b") as file:  # the same file, as `cp` writes over one
                    file.truncate(chance.randrange(shard.stat().st_size))
            cut = len(crowd.answers)
            while len(crowd.answers) < cut + 4 * CLIENTS and not crowd.failures:
                time.sleep(0.001)
            crowd.stop()
            assert process.poll() is None
            assert crowd.failures == []
            assert {status for status, _ in crowd.answers} == {200, 409}
            for status, body in crowd.answers:
                if status == 409:
                    sentence = json.loads(body)["error"]
                    assert "damaged" in sentence or "changed" in sentence or "written to" in sentence
                    assert "\n" not in sentence
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert "Traceback" not in err


MAPPED = """
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="pt") as file:
    tensors = [file.get_tensor(name) for name in file.keys()]
    with open(sys.argv[1], "r+b") as cut:
        cut.truncate(0)
    print(sum(float(tensor.sum()) for tensor in tensors))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux ends a process")
def test_a_mapped_shard_would_end_the_process(tmp_path):
    """What the test above is against: the same cut, by way of safetensors' own reader."""
    folder = made_trace(grids=((32, 32),), steps=1, heads=8, dim=40).save(tmp_path / "run.trace")
    (shard,) = folder.glob("*.safetensors")
    ended = subprocess.run([sys.executable, "-c", MAPPED, str(shard)], capture_output=True)
    assert ended.returncode == -signal.SIGBUS
