"""Broken and hostile traces: the very numbers that were written, or one error of ours; never a gigabyte, never a wait.

A manifest that is changed and then signed again is another trace, not a damaged one: it must open or be refused.
"""

import shutil

import pytest
import torch
from hostile_traces import BYTES, everything, judge
from safetensors import safe_open
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return everything(50).save(tmp_path_factory.mktemp("other") / "run.trace")


# Bytes


@pytest.mark.thorough
def test_bytes_that_change_are_found_wherever_they_are(attack, copies, good, truth):
    for _ in attack.tries(250):
        folder = copies(good)
        path = attack.random.choice(sorted(folder.iterdir()))
        attack.random.choice(BYTES)(attack.random, path)
        judge(attack, folder, truth)


# Files and tensors in another's place


def tensors_of(path):
    with safe_open(path, framework="pt") as opened:
        return load_file(path), opened.metadata()


def exchange_files(random, folder, other):
    one, two = random.sample(sorted(folder.glob("*.safetensors")), 2)
    ours = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(ours)


def take_from_another(random, folder, other):
    name = random.choice(sorted(path.name for path in folder.iterdir()))
    shutil.copyfile(other / name, folder / name)


def exchange_tensors(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    one, two = random.sample(sorted(tensors), 2)
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, path, metadata=about)


def exchange_calls(random, folder, other):
    """Two shards with each other's tensors, each under its own header."""
    one, two = (random.choice(sorted(folder.glob("*call-*.safetensors"))) for _ in range(2))
    (_, about), (theirs, _) = tensors_of(one), tensors_of(two)
    save_file(theirs, one, metadata=about)


def reinterpret(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    name = random.choice(sorted(tensors))
    kinds = (
        torch.int32,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.complex64,
        torch.bool,
        torch.float64,
        torch.uint8,
    )
    kind, tensor = random.choice(kinds), tensors[name]
    same_size = tensor.element_size() == kind.itemsize
    tensors[name] = tensor.view(kind) if same_size and random.random() < 0.5 else tensor.to(kind)
    save_file(tensors, path, metadata=random.choice((about, None)))


def reshape(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    name = random.choice(sorted(tensors))
    tensors[name] = random.choice(
        (lambda t: t.transpose(0, 1), lambda t: t.flip(-1), lambda t: t[:1], torch.ravel)
    )(tensors[name]).contiguous()
    save_file(tensors, path, metadata=about)


def lose_or_add(random, folder, other):
    path = random.choice(sorted(folder.glob("*.safetensors")))
    tensors, about = tensors_of(path)
    if random.random() < 0.5:
        tensors["more"] = torch.zeros(3)
    else:
        tensors.pop(random.choice(sorted(tensors)))
    save_file(tensors, path, metadata=about)


PLACES = (
    exchange_files,
    take_from_another,
    exchange_tensors,
    exchange_calls,
    reinterpret,
    reshape,
    lose_or_add,
)


@pytest.mark.thorough
def test_files_and_tensors_in_anothers_place_are_found(attack, copies, good, other, truth):
    for _ in attack.tries(120):
        folder = copies(good)
        attack.random.choice(PLACES)(attack.random, folder, other)
        judge(attack, folder, truth)
