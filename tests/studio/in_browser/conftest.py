"""One studio with a model for the tests in a browser."""

import httpx2
import pytest
from studio_pages import STEPS

import attnscope
from attnscope.studio import create_app
from studio_client import PROMPT, StudioClient
from viewer.browser import chromium, running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studio") / "runs"


@pytest.fixture(scope="module")
def address(folder):
    with running(create_app("demo", folder=folder)) as address:
        yield address


@pytest.fixture(scope="module")
def studio(address, folder):
    with httpx2.Client(base_url=address, timeout=60) as client:
        studio = StudioClient(client, folder)
        assert studio.ready()["model"]["state"] == "ready"
        yield studio


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pipe():
    pipe = attnscope.load_pipeline("demo")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def plain(studio):
    """A run without any edit."""
    return studio.made(PROMPT, seed=3, steps=STEPS)
