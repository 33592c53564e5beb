"""How often a sum over P would wait for a GPU, and that it still refuses what it must. Kernels are noted, not run."""

import importlib.util
import math

import pytest
import torch

from attention_cases import qk
from attnscope import probability
from attnscope.errors import NumbersError, ParameterError
from attnscope.probability import choose, verdicts
from device_reads import Counted, as_on_a_gpu

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not installed: it is made for Linux on x86-64",
)
KERNELS = {
    "row_statistics_kernel": "statistics", "over_heads_kernel": "heads", "over_queries_kernel": "queries",
    "over_keys_kernel": "keys",
}  # fmt: skip
HEADS, QUERIES, KEYS = 3, 50, 37
ASKED = {
    "a head mean": {"over": ("head",)},
    "weights": {"over": ("head",), "weights": {"head": torch.ones(HEADS)}},
    "a result to add to": {"over": ("head",), "into": torch.zeros(QUERIES, KEYS)},
    "a mask of numbers": {"over": ("head",), "mask": torch.zeros(1, 1, KEYS)},
    "a mask of bools": {"over": ("query",), "mask": torch.ones(1, 1, KEYS, dtype=torch.bool)},
    "a word's columns": {"over": ("head", "key"), "columns": torch.tensor([3, 5])},
    "a region": {"over": ("head", "query"), "weights": {"query": torch.rand(QUERIES)}},
    "all at once": {
        "over": ("head", "query", "key"), "columns": torch.tensor([3, 5]), "mask": torch.zeros(1, 1, KEYS),
        "weights": {"head": torch.ones(HEADS), "query": torch.ones(QUERIES), "key": torch.ones(2)},
    },
    "P itself": {},
}  # fmt: skip


@pytest.fixture
def launched(monkeypatch):
    """Triton's path on a CPU whose tensors pass for a GPU's: names of the kernels, noted in their turn and not run."""
    from attnscope.probability import triton_sums

    launched = []

    def launch(kernel, blocks, inputs, *rest, **switches):
        launched.append(kernel)
        Counted.note("kernel")

    as_on_a_gpu(monkeypatch)
    monkeypatch.setattr(choose, "why_not_triton", lambda query, key: "")
    monkeypatch.setattr(triton_sums, "_launch", launch)
    return launched


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("what", ASKED)
def test_a_sum_waits_for_the_gpu_once(what, dtype, launched):
    query, key = qk(dtype=dtype)
    with Counted() as counted:
        probability.reduce(query, key, scale=0.3, **ASKED[what])
    assert len(counted.reads) == 1, counted.reads
    assert len(launched) == (2 if what != "P itself" else 0)


def test_an_entropy_waits_for_the_gpu_once(launched):
    query, key = qk()
    with Counted() as counted:
        probability.entropy(query, key, scale=0.3)
    assert len(counted.reads) == 1, counted.reads
    assert counted.order[-1] == "read"
    assert len(launched) == 2


def test_kernels_are_launched_before_the_host_waits(launched):
    query, key = qk()
    with Counted() as counted:
        probability.reduce(query, key, scale=0.3, over=("head",))
    assert counted.order[-2:] == ["kernel", "read"]
    assert sum(counted.launches.values()) <= 7


@pytest.mark.parametrize("what", ["a result to add to", "a word's columns"])
def test_what_wrong_numbers_would_spoil_is_left_alone_until_they_are_known(what, launched):
    with Counted() as counted:
        probability.reduce(*qk(), scale=0.3, **ASKED[what])
    assert counted.order.index("read") < counted.order.index("kernel")


WRONG = {
    "a query": lambda query, key: {"query": with_number(query, math.nan)},
    "a key": lambda query, key: {"key": with_number(key, math.inf)},
    "products": lambda query, key: {"query": query * 1e20, "key": key * 1e20},
    "a mask": lambda query, key: {"mask": with_number(torch.zeros(1, 1, KEYS), math.inf)},
    "weights": lambda query, key: {"weights": {"head": torch.tensor([1, math.nan, 1])}},
    "columns": lambda query, key: {"columns": torch.tensor([3, KEYS])},
    "columns below 0": lambda query, key: {"columns": torch.tensor([-1, 3], dtype=torch.int32)},
}


def with_number(tensor, number):
    changed = tensor.clone()
    changed.view(-1)[7] = number
    return changed


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_with_the_words_of_a_cpu(what, monkeypatch, request):
    query, key = qk()
    given = {"query": query, "key": key, "scale": 0.3, "over": ("head",), **WRONG[what](query, key)}
    with pytest.raises(ParameterError) as on_cpu:
        probability.reduce(**given)
    launched, into = request.getfixturevalue("launched"), torch.zeros(QUERIES, KEYS)
    with pytest.raises(ParameterError) as on_gpu:
        probability.reduce(**given)
    assert (type(on_gpu.value), str(on_gpu.value)) == (type(on_cpu.value), str(on_cpu.value))
    launched.clear()
    if "columns" not in given:
        with pytest.raises(type(on_cpu.value)):
            probability.reduce(**given, into=into)
    assert not launched
    if {"mask", "weights", "columns"}.isdisjoint(given):
        with pytest.raises(NumbersError):
            probability.entropy(given["query"], given["key"], scale=0.3)


def test_numbers_that_the_quick_look_does_not_clear_are_looked_at_again(launched):
    """The bound of all numbers is beyond float32, their products are not."""
    query, key = (torch.full((HEADS, QUERIES, 8), 1e18) for _ in range(2))
    with Counted() as counted:
        probability.reduce(query, key, scale=1e-3, over=("head",))
    assert len(counted.reads) == 3


def test_a_read_waits_for_its_own_copy_and_not_for_what_is_queued_later(monkeypatch):
    """With stand-ins: there is no GPU here."""
    order = []

    class OnGPU(torch.Tensor):
        is_cuda = True

    class Event:
        def record(self):
            order.append("recorded")

        def synchronize(self):
            order.append("waited")

    as_on_a_gpu(monkeypatch)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(verdicts, "_page_locked", torch.empty_like)
    judged = verdicts.Verdicts()
    numbers = [torch.tensor(3.0).as_subclass(OnGPU), torch.tensor(True).as_subclass(OnGPU)]
    judged.add(numbers[:1], lambda number: order.append(number))
    judged.add(numbers, lambda *given: order.append(given))
    judged.queue()
    order.append("launched")
    judged.read()
    assert order == ["recorded", "launched", "waited", 3.0, (3.0, 1.0)]
    judged.read()  # nothing is left to judge
    assert len(order) == 5
