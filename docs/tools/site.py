"""Hooks of MkDocs: pages that include files from above docs/, links to the repository, docstrings checked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docstrings import problems  # beside this file
from mkdocs.plugins import get_plugin_logger

REPOSITORY = "https://github.com/attnscope/attnscope/blob/main"
DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
PAGES_FOR = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "notebooks.md",
    "integrations/comfyui/README.md": "comfyui.md",
}
_INCLUDE = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]+)")
_log = get_plugin_logger("attnscope")


def on_pre_build(**_: Any) -> None:
    """Warn of docstrings that do not fit their functions; `--strict` makes an error of it."""
    for problem in problems(ROOT / "src" / "attnscope"):
        _log.warning("docstring: %s", problem)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's text with the files that it includes, and with links that hold on the site."""
    folder = (DOCS / page.file.src_uri).parent

    def included(match: re.Match[str]) -> str:
        return _with_links((ROOT / match[1]).read_text("utf-8"), (ROOT / match[1]).parent, folder)

    return (
        _INCLUDE.sub(included, markdown)
        if _INCLUDE.search(markdown)
        else _with_links(markdown, folder, folder)
    )


def _with_links(text: str, written_in: Path, read_in: Path) -> str:
    """A text whose links hold in another folder than it was written in; those out of docs/ lead to the repository."""

    def link(match: re.Match[str]) -> str:
        target = (written_in / match[1]).resolve()
        name = os.path.relpath(target, ROOT)
        if name in PAGES_FOR:
            target = DOCS / PAGES_FOR[name]
        if target.is_relative_to(DOCS):
            return os.path.relpath(target, read_in)
        return f"{REPOSITORY}/{name}" if target.exists() else match[1]  # which MkDocs then reports

    return _LINK.sub(link, text)
