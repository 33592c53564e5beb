"""What attacks share: how many inputs they try, and one line each of what came of them.

`pytest -m attack` tries what CI tries; `pytest -m attack --attack-times 20` twenty times as much.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hostile_traces import answers, bounded_memory, everything

from attack_counts import ATTACKS


class Attack:
    """One attack: its random numbers, how long it goes on, and its counts.

    Args:
        name: Its name in the summary.
        times: How many times CI's number of inputs is tried.
        counts: Where its counts go.
    """

    def __init__(self, name: str, times: float, counts: dict[str, Counter]) -> None:
        self.random = random.Random(name)
        self._times, self._counts, self._name = times, counts, name

    def tries(self, in_ci: int) -> range:
        """Numbers of the inputs to try.

        Args:
            in_ci: How many CI tries.
        """
        return range(max(1, round(in_ci * self._times)))

    def count(self, outcome: str) -> None:
        """Count an input.

        Args:
            outcome: What came of it, such as 'right' or 'refused'.
        """
        self._counts.setdefault(self._name, Counter())[outcome] += 1


@pytest.fixture
def attack(request):
    return Attack(
        request.node.name, request.config.getoption("--attack-times"), request.config.stash[ATTACKS]
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return everything(0).save(tmp_path_factory.mktemp("good") / "run.trace")


@pytest.fixture(scope="module")
def truth(good):
    return answers(good)


@pytest.fixture
def copies(tmp_path):
    """Copies of a trace, each gone when the next is made."""

    def copy(source):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return Path(shutil.copytree(source, tmp_path / "copy"))

    with bounded_memory():
        yield copy
