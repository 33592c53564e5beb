"""Kept threads for work in tiles."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from attention_cases import qk
from attnscope import probability
from attnscope.errors import ParameterError
from attnscope.probability import threads


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    query, key = qk(heads=2, queries=1100, keys=600)
    probability.reduce(query, key, scale=1.0, over=("head",))
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == before


@pytest.mark.usefixtures("two_threads")
def test_work_has_one_thread_whatever_was_computed_before_and_however_little_it_is():
    def threads_after_work(_):
        torch.ones(1 << 20).exp()
        return torch.get_num_threads()

    for items in (1, 2, 5):
        assert threads.in_tile_threads(threads_after_work, range(items)) == [1] * items


@pytest.mark.usefixtures("two_threads")
def test_after_an_exception_nothing_more_is_begun_and_what_has_begun_ends_first():
    begun, over, second_has_begun = [], [], threading.Event()

    def work(item):
        begun.append(item)
        if item == 0:
            second_has_begun.wait()
            raise ParameterError("the first")
        second_has_begun.set()
        time.sleep(0.2)
        over.append(item)

    with pytest.raises(ParameterError, match="the first"):
        threads.in_tile_threads(work, range(20))
    assert sorted(over) == sorted(begun)[1:]
    assert len(begun) < 20


INTERRUPTED = """
import signal, threading, time, torch
from attnscope.probability import threads
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
torch.set_num_threads(2)
begun, over = [], []
def work(item):
    begun.append(item)
    time.sleep(0.3)
    if item == 0:  # by now the main thread waits
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    over.append(item)
try:
    threads.in_tile_threads(work, range(20))
except KeyboardInterrupt:
    print(len(begun), sorted(over) == sorted(begun))
    time.sleep(0.5)
    print(len(begun))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal as POSIX has it")
def test_after_an_interrupt_nothing_goes_on():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, check=True, text=True)
    begun, all_over, later = done.stdout.split()
    assert int(begun) == int(later) < 20
    assert all_over == "True"


def test_callers_with_other_numbers_of_threads_do_not_stop_each_others_work():
    before = torch.get_num_threads()

    def caller(count):
        torch.set_num_threads(count)
        return [threads.in_tile_threads(abs, range(4)) for _ in range(300)]

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as callers:
            assert all(answer == [[0, 1, 2, 3]] * 300 for answer in callers.map(caller, (2, 3)))
    finally:
        sys.setswitchinterval(switch)
        torch.set_num_threads(before)
