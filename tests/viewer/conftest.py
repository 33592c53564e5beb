"""A small trace with two branches, steps and images, and the server that shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from attnscope.testing.made_traces import made_trace
from attnscope.viewer.app import create_app


def picture(height=64, width=96):
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


@pytest.fixture(scope="session")
def trace():
    made = made_trace(grids=((8, 12), (4, 6)), steps=3, heads=2, images=2)
    made.run.pictures = [picture(), picture()]
    made.run = replace(made.run, image_size_hw=(64, 96))
    return made


@pytest.fixture
def client(trace):
    with TestClient(create_app([trace]), base_url="http://127.0.0.1") as opened:
        yield opened
