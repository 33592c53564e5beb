"""Results that are on disk after every line: what a stage has when its time is up is never lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnscope.files import whole_file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one moment."""
    with whole_file(path) as file:
        file.write_text(json.dumps(content, indent=1, default=str) + "\n", "utf-8")
