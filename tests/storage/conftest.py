import pytest
from PIL import Image

from attnscope.testing.made_traces import made_trace


@pytest.fixture
def folder(tmp_path):
    trace = made_trace(mask=True)
    trace.run.pictures = [Image.new("RGB", (48, 32), (9, 8, 7))]
    return trace.save(tmp_path / "run.trace")
