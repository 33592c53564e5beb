import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
import torch

from attack_counts import ATTACKS
from attnscope.testing.tiny_models import tiny_pipeline
from gpu_card import REHEARSAL

NO_GPU = "torch sees no GPU here (./dev gpu --rehearse tries it on a CPU)"


def pytest_addoption(parser):
    parser.addoption(
        "--attack-times", type=float, default=1.0, metavar="X", help="try X times as many inputs in attacks"
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="also further cases of a kind that the other tests have already, as -m, -k and FILE::TEST do",
    )


def pytest_configure(config):
    config.stash[ATTACKS] = {}


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one of several processes tells the first
        counts = session.config.stash[ATTACKS]
        session.config.workeroutput["attacks"] = {name: dict(count) for name, count in counts.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    for name, count in getattr(node, "workeroutput", {}).get("attacks", {}).items():
        node.config.stash[ATTACKS][name] = Counter(count)


def pytest_terminal_summary(terminalreporter, config):
    if counts := config.stash[ATTACKS]:
        terminalreporter.section("attacks")
    for name, outcomes in sorted(counts.items()):
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        terminalreporter.line(f"{name}: {said}")


def pytest_collection_modifyitems(config, items):
    """What is marked gpu needs one, except in a rehearsal; the lines of slow tests are not counted, to save time."""
    chosen = config.option.markexpr or config.option.keyword or any("::" in arg for arg in config.args)
    if not (config.option.thorough or chosen):
        further = [item for item in items if item.get_closest_marker("thorough")]
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=further)
    for item in items:
        if item.get_closest_marker("gpu") and not (torch.cuda.is_available() or REHEARSAL):
            item.add_marker(pytest.mark.skip(reason=NO_GPU))
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def _shared_pipe(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def pipe(_shared_pipe):
    """A tiny random pipeline; a test that changes its processors gets them put back."""
    processors = dict(_shared_pipe.unet.attn_processors)
    yield _shared_pipe
    if dict(_shared_pipe.unet.attn_processors) != processors:
        _shared_pipe.unet.set_attn_processor(processors)


@pytest.fixture
def seeded():
    """A fresh generator of one seed for every call."""
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture
def two_threads():
    """torch computes with two threads in the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def nobody(tmp_path):
    """Files are read and written as a user who is not root, who may everything, in a folder of that user's."""
    if not hasattr(os, "geteuid"):
        pytest.skip("there are no such permissions here")
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)
