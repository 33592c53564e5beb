"""A report: as a page, as a file, as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnscope.errors import ParameterError
from attnscope.files import check_free, whole_file
from attnscope.reporting.contents import Contents
from attnscope.reporting.page import page

ENDINGS = (".html", ".htm")


class Report(Contents):
    """What one page says of one image of a trace: `Contents`, as a page, as a file, and for JSON."""

    def __repr__(self) -> str:
        there = {"words": self.words, "segments": self.segments, "statistics": self.statistics}
        held = ", ".join(name for name, part in there.items() if part is not None) or "settings alone"
        return f"<Report of {self.prompt!r}: {held}; {len(self.gaps)} gaps>"

    def html(self) -> str:
        """The page: nothing in it is loaded from elsewhere, and it has no scripts."""
        return page(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        Args:
            path: Ends in .html.
            overwrite: Write over a file that is there already.

        Raises:
            OutputError: The file is there already, or can't be written.
            ParameterError: The name has another ending.
        """
        target = Path(path)
        check_ending(target)
        check_free([target], overwrite=overwrite)
        text = self.html()
        with whole_file(target) as partial:
            partial.write_text(text, "utf-8")
        return target

    def to_dict(self) -> dict[str, Any]:
        """The numbers of the page, as plain values for JSON."""
        return {
            "prompt": self.prompt,
            "branch": self.branch,
            "image": self.image,
            "gaps": list(self.gaps),
            "words": None if self.words is None else self.words.to_dict(),
            "segments": None if self.segments is None else self.segments.to_dict(),
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
        }


def check_ending(path: Path) -> None:
    """Refuse a name that is no page's.

    Args:
        path: The file.

    Raises:
        ParameterError: It ends otherwise.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ParameterError(f"{path}: a report is a page; expected a name that ends in .html")
