"""A job that writes a small file for each item, for tests of jobs: quick, and pickled to other processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from attnscope.jobs.items import items_of
from attnscope.jobs.places import exists, joined, read, write
from attnscope.jobs.running import run


@dataclass(frozen=True)
class Lengths:
    """NAME.txt holds the length of a file; each work on an item leaves a line in `log`.

    A file that says "broken" raises; one that says "kill" ends the process, at the first work on it.
    """

    output: str
    log: str
    seconds: float = 0.0

    def open(self):
        return self._work

    def is_done(self, item):
        return exists(joined(self.output, f"{item.name}.txt"))

    def _work(self, item):
        contents = read(item.address)
        if contents == b"broken":
            raise ValueError("it is broken")
        if contents == b"kill" and not Path(self.log + ".killed").exists():
            Path(self.log + ".killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        write(joined(self.output, f"{item.name}.txt"), str(len(contents)).encode())
        with Path(self.log).open("a") as log:
            log.write(f"{item.name}\n")
        return {"length": len(contents)}


if __name__ == "__main__":
    list(run(Lengths(sys.argv[2], sys.argv[3], 0.002), items_of([sys.argv[1]])))
