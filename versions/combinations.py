"""A combination is a file of pins; its first line says for which Python. Beside it lies what came of its last run."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        date: When it ended.
        versions: Version of Python and of each library that was there, by name.
        passed: Tests that passed.
        failed: Names of tests that did not.
        skipped: Tests that were skipped.
        tests: Files and folders of the tests that ran.
    """

    date: str
    versions: dict[str, str]
    passed: int
    failed: list[str]
    skipped: int
    tests: list[str]


@dataclass(frozen=True)
class Combination:
    """Versions that are tried together.

    Attributes:
        name: The name of its files.
    """

    name: str

    @property
    def file(self) -> Path:
        """Its pins, as pip takes them for constraints."""
        return HERE / f"{self.name}.txt"

    @property
    def pins(self) -> dict[str, str]:
        """The version of each library, by name."""
        return dict(re.findall(r"^([\w-]+)==(\S+)$", self.file.read_text("utf-8"), re.MULTILINE))

    @property
    def python(self) -> str:
        """The Python that it is for, as in "3.12"."""
        said = re.match(r"# Python (\d+\.\d+)\. ", self.file.read_text("utf-8"))
        if said is None:
            raise SystemExit(
                f'{self.file} should begin with a line like "# Python 3.12. What these versions are."'
            )
        return said[1]

    @property
    def what(self) -> str:
        """What these versions are, in a sentence."""
        first_line = self.file.read_text("utf-8").splitlines()[0]
        return first_line.removeprefix(f"# Python {self.python}. ")

    @property
    def result(self) -> Result | None:
        """What came of its last run; None: it was not run."""
        stored = self.file.with_suffix(".json")
        return Result(**json.loads(stored.read_text("utf-8"))) if stored.exists() else None

    def store(self, result: Result) -> None:
        """Keep what came of a run in place of the one before."""
        self.file.with_suffix(".json").write_text(json.dumps(asdict(result), indent=1) + "\n", "utf-8")


def combinations() -> list[Combination]:
    """All of them, from oldest to newest."""
    names = sorted(path.stem for path in HERE.glob("*.txt"))
    return [Combination(name) for name in sorted(names, key=lambda name: (name != "oldest", name))]
