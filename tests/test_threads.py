"""Kept threads for work in tiles."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from attention_cases import qk
from attnscope import probability, threads
from attnscope.errors import ParameterError


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    query, key = qk(heads=2, queries=1100, keys=600)
    probability.reduce(query, key, scale=1.0, over=("head",))
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == before


def test_a_tile_has_one_thread_whatever_was_computed_before():
    pool = threads.tile_threads(2)

    def threads_after_work(_):
        torch.ones(1 << 20).exp()
        return torch.get_num_threads()

    assert set(pool.map(threads_after_work, range(16))) == {1}


@pytest.mark.usefixtures("two_threads")
def test_an_exception_in_a_tile_comes_when_the_others_are_over():
    over = []

    def work(item):
        if item == 0:
            raise ParameterError("the first")
        time.sleep(0.05)
        over.append(item)

    with pytest.raises(ParameterError, match="the first"):
        threads.in_tile_threads(work, range(3))
    assert sorted(over) == [1, 2]
