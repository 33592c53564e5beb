"""Make the picture of docs/explain.md: a word that was not drawn.

python docs/images/make_explain_image.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from attnscope.cli import main

PROMPT, WORD = "a red elephant on the moon", "elephant"


def make() -> None:
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(__file__).with_name("explain.png")
        assert main(["generate", PROMPT, "-o", folder + "/output"]) == 0
        trace = folder + "/output/run.trace"
        assert main(["explain", trace, WORD, "--model", "demo", "-o", str(picture), "--force"]) == 0


if __name__ == "__main__":
    make()
