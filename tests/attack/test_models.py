"""Model folders with one to three things broken: the model as it was, or one ModelError; no program ever runs."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import torch

import attnscope
from attnscope.demo.architecture import untrained_pipeline
from attnscope.errors import ModelError

pytestmark = pytest.mark.attack

SECONDS_EACH = 10
VALUES = (
    None, True, -1, 0, 10**12, 10**400, 0.5, float("nan"), "", "x", "X" * 5000, "../../etc", "\x1b]0;title\x07", [],
    [1], {}, ["os", "system"], ["diffusers", "DDIMScheduler"], ["transformers", "CLIPTextModel"], ["mine", "Mine"],
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "whole"
    untrained_pipeline().save_pretrained(folder)
    return folder


def broken_field(path, random):
    """A field of a JSON file becomes something else, is lost, or is new."""
    contents = json.loads(path.read_text())
    name = random.choice([*contents, "extra"])
    if random.random() < 0.15:
        contents.pop(name, None)
    else:
        contents[name] = random.choice(VALUES)
    path.write_text(json.dumps(contents))


def broken_bytes(path, random):
    contents = bytearray(path.read_bytes())
    how = random.randrange(3)
    if how == 0:
        contents = contents[: random.randrange(len(contents) + 1)]
    elif how == 1:
        for _ in range(random.choice((1, 5, 50))):
            contents[random.randrange(min(len(contents), 3000))] = random.randrange(256)
    else:
        contents[:8] = random.choice((0, 7, 2**31, 2**40, 2**63)).to_bytes(8, "little")
    path.write_bytes(contents)


def lost(path, random):
    path.unlink()


def pickled(path, random):
    """Weights become a program."""
    path.unlink()
    torch.save({"weight": Program(path.parent)}, path.with_suffix(".bin"))


class Program:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (str(self.place / "RAN"), "w")


def break_something(folder, random):
    path = random.choice(
        sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    )
    ways = {".json": (broken_field, broken_field, broken_field, broken_bytes, lost)}
    random.choice(ways.get(path.suffix, (broken_bytes, broken_bytes, lost, pickled)))(path, random)


@pytest.mark.thorough
def test_broken_folders_are_refused_or_load(attack, whole, tmp_path):
    for number in attack.tries(110):
        folder = shutil.copytree(whole, tmp_path / f"model-{number}")
        for place in ("pipeline.py", "unet/mine.py"):
            (folder / place).write_text(f"open({str(folder / 'RAN')!r}, 'w')\nclass Mine: pass\n")
        try:
            for _ in range(attack.random.choice((1, 1, 2, 3))):
                break_something(folder, attack.random)
        except (ValueError, IndexError, TypeError, AttributeError):
            pass  # broken twice at one place
        began = time.monotonic()
        result = outcome(folder)
        assert result in ("right", "refused")
        attack.count(result)
        assert time.monotonic() - began < SECONDS_EACH
        assert not list(folder.rglob("RAN"))
        shutil.rmtree(folder)


def outcome(folder):
    try:
        pipe = attnscope.load_pipeline(folder, device="cpu")
    except ModelError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 1000 else f"a long refusal: {error}"
    lacking = [
        name for part in (pipe.unet, pipe.vae) for name, tensor in part.named_parameters() if tensor.is_meta
    ]
    return "lacking weights" if lacking else "right"
