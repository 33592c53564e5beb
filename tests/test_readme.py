"""The README's Python runs as it stands, on the demo model."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})
    assert {path.name for path in tmp_path.iterdir()} >= {"tree.png", "run.trace", "segments.labels.png"}
