"""A capture within a budget of memory: everything is kept, never more than the budget is held, errors are said."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import attnscope
from attnscope.errors import CaptureError, OutputError, ParameterError
from attnscope.recording.planning import keeping
from attnscope.storage.budgeted import BudgetedStore
from attnscope.storage.folder import FolderRecords, TraceFolder
from attnscope.storage.memory import bytes_of
from attnscope.storage.sizes import parse_bytes
from attnscope.testing.made_traces import made_trace

PROMPT = "a red cat"


def budgeted(tmp_path, made, steps_in_memory, *, spill):
    """A store, and the records of its first pass."""
    layers = made.records.layers
    size = bytes_of({layer: made.records.get(0, layer) for layer in layers})
    store = BudgetedStore(
        TraceFolder.create(tmp_path / "run.trace"), int(size * (steps_in_memory + 1)), spill=spill
    )
    records = store.begin_pass(made.run)
    records.layers.update(layers)
    return store, records


def add_all(records, made):
    for call in made.calls:
        records.add_call(call, {layer: made.records.get(call.index, layer) for layer in made.records.layers})


@pytest.mark.parametrize("spill", [True, False])
@pytest.mark.parametrize("steps_in_memory", [1, 3, 100])
def test_every_step_can_be_read_and_no_more_than_the_budget_is_held(tmp_path, spill, steps_in_memory):
    made = made_trace(steps=7)
    store, records = budgeted(tmp_path, made, steps_in_memory, spill=spill)
    most = []
    write = records.folder.add_call

    def slow_write(call, *kept):
        most.append(store._used)
        time.sleep(0.01)
        write(call, *kept)

    records.folder.add_call = slow_write
    add_all(records, made)
    records.finish({})
    store.close()
    assert max(most, default=0) <= store._budget
    assert records.calls == list(made.calls)
    for call in made.calls:
        for layer in made.records.layers:
            assert torch.equal(
                records.get(call.index, layer).query, made.records.get(call.index, layer).query
            )
    written = len(records.folder.calls)
    assert written == (7 if not spill else max(0, 7 - steps_in_memory))
    assert not store._writer.is_alive()


def test_two_threads_can_read_while_the_oldest_steps_go_to_disk(tmp_path):
    made = made_trace(steps=40)
    store, records = budgeted(tmp_path, made, 2, spill=True)
    all_there = threading.Event()

    def read_at_random(seed):
        chance, count = random.Random(seed), 0
        while count < 200 or not all_there.is_set():
            if known := len(records.calls):
                step, layer = chance.randrange(known), chance.choice(list(records.layers))
                assert records.has(step, layer)
                assert torch.equal(records.get(step, layer).key, made.records.get(step, layer).key)
                count += 1
        return count

    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read_at_random, seed) for seed in range(2)]
        try:
            add_all(records, made)
        finally:
            all_there.set()
        assert all(done.result(timeout=60) >= 200 for done in reading)
    store.close()
    assert len(records.folder.calls) == 38


def test_a_capture_into_a_folder_with_a_budget_gives_the_trace_that_it_gives_without(pipe, seeded, tmp_path):
    for name, options in (("plain", {}), ("budgeted", {"budget": "20MB"})):
        with attnscope.capture(pipe, where=tmp_path / name, **options) as trace:
            pipe(PROMPT, num_inference_steps=4, generator=seeded())
        assert len(trace.steps) == 4
    plain, budgeted = (attnscope.load_trace(tmp_path / name) for name in ("plain", "budgeted"))
    assert plain.steps == budgeted.steps
    assert plain.layers == budgeted.layers
    choice = {"block": 7, "kind": "self"}
    assert torch.equal(plain.probabilities(**choice), budgeted.probabilities(**choice))


def test_a_capture_in_memory_with_a_budget_puts_the_oldest_steps_on_disk_and_cleans_up(pipe, seeded):
    with attnscope.capture(pipe, budget="4MB") as trace:
        pipe(PROMPT, num_inference_steps=6, output_type="pt", generator=seeded())
    with attnscope.capture(pipe) as whole:
        pipe(PROMPT, num_inference_steps=6, output_type="pt", generator=seeded())
    folder = trace.records.folder.folder
    assert 0 < len(list(folder.glob("call-*"))) < 6
    for step in range(6):
        choice = {"block": 16, "kind": "cross", "step": step}
        assert torch.equal(trace.probabilities(**choice), whole.probabilities(**choice))
    del trace
    assert not folder.exists()


def test_a_full_disk_stops_the_run_and_leaves_a_trace_that_opens(pipe, tmp_path, monkeypatch):
    write, written = FolderRecords.add_call, []

    def two_steps_then_full(self, step, *kept):
        if len(written) == 2:
            raise OutputError("can't write: no space left on device")
        written.append(step)
        write(self, step, *kept)

    monkeypatch.setattr(FolderRecords, "add_call", two_steps_then_full)
    with (
        pytest.raises(OutputError, match="no space left"),
        attnscope.capture(pipe, where=tmp_path / "run.trace", budget="4MB") as trace,
    ):
        pipe(PROMPT, num_inference_steps=20, output_type="latent")
    assert [step.index for step in attnscope.load_trace(tmp_path / "run.trace").steps] == [0, 1]
    assert [step.index for step in trace.steps] == [0, 1]
    assert not [thread for thread in threading.enumerate() if thread.name == "attnscope-writer"]


def test_after_an_error_every_further_step_says_it_again(tmp_path):
    made = made_trace(steps=4)
    store, records = budgeted(tmp_path, made, 1, spill=False)
    records.folder.add_call = lambda call, *kept: (_ for _ in ()).throw(OutputError("full"))
    for _ in range(2):
        with pytest.raises(OutputError, match="full"):
            add_all(records, made)
    records.finish({})
    store.close()  # it has been told


def test_a_budget_smaller_than_two_steps_is_refused_at_the_first(pipe, tmp_path):
    with (
        pytest.raises(CaptureError, match=r"a step of this capture takes .* more than the budget of 1 MB"),
        attnscope.capture(pipe, where=tmp_path / "run.trace", budget="1MB"),
    ):
        pipe(PROMPT, num_inference_steps=2, output_type="latent")


class Queued(torch.Tensor):
    """Memory that a copy is only queued into."""

    def copy_(self, source, non_blocking=False):
        assert non_blocking
        waiting.append((self, source.clone()))
        return self


waiting, waits, staged = [], [], {}


@pytest.fixture
def as_if_on_a_gpu(monkeypatch):
    """Copies go as they go from a GPU, into memory that stands for page-locked memory and fills when waited for."""
    for happened in (waiting, waits, staged):
        happened.clear()

    def page_locked(like, dtype):
        tensor = torch.full(like.shape, 7, dtype=dtype).as_subclass(Queued)
        staged[tensor.data_ptr()] = tensor  # held, lest its address is used again
        return tensor

    def synchronize(device):
        waits.append(len(waiting))
        for target, source in waiting:
            target.as_subclass(torch.Tensor).copy_(source)
        waiting.clear()

    monkeypatch.setattr(keeping, "_is_on_gpu", lambda tensor: True)
    monkeypatch.setattr(keeping, "_page_locked", page_locked)
    monkeypatch.setattr(keeping, "_is_staged", lambda tensor: tensor.data_ptr() in staged)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)


@pytest.mark.parametrize("budget", [None, "6MB"])
def test_copies_from_a_gpu_are_waited_for_once_a_step_and_leave_page_locked_memory(
    pipe, seeded, tmp_path, as_if_on_a_gpu, monkeypatch, budget
):
    def run():
        pipe(PROMPT, num_inference_steps=3, output_type="latent", generator=seeded())

    records, write = [], FolderRecords.add_call

    def noted(self, step, given, outputs):
        records.extend(given.values())
        write(self, step, given, outputs)

    monkeypatch.setattr(FolderRecords, "add_call", noted)
    with attnscope.capture(pipe, where=tmp_path / "run.trace", budget=budget, branch="cond"):
        run()
    assert waits == [64] * 3  # each for 32 of Q and 32 of K
    assert not any(keeping._is_staged(tensor) for record in records for tensor in record.tensors.values())
    monkeypatch.undo()
    with attnscope.capture(pipe, branch="cond") as plain:
        run()
    expected = [
        plain.records.get(step.index, layer) for step in plain.steps for layer in plain.records.layers
    ]
    assert len(records) == len(expected) == 96
    for got, wanted in zip(records, expected, strict=True):
        assert torch.equal(got.query.as_subclass(torch.Tensor), wanted.query)
        assert torch.equal(got.key.as_subclass(torch.Tensor), wanted.key)


def test_page_locked_memory_counts(pipe, tmp_path, as_if_on_a_gpu):
    with (
        pytest.raises(CaptureError, match=r"more than the budget of 3 MB"),
        attnscope.capture(pipe, where=tmp_path / "run.trace", budget="3MB"),
    ):
        pipe(PROMPT, num_inference_steps=2, output_type="latent")


@pytest.mark.parametrize(
    ("text", "count"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("7", 7), (12, 12), ("500kb", 500_000)]
)
def test_sizes_are_read(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["much", "-2GB", "0", "nan", "", "2TB", True])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ParameterError, match="budget is"):
        parse_bytes(text)
