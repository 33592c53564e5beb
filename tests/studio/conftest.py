"""One studio for many tests: loading the model takes seconds."""

import pytest

from studio_client import studio_of


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    with studio_of(tmp_path_factory.mktemp("studio") / "runs") as opened:
        assert opened.ready()["model"]["state"] == "ready"
        yield opened
