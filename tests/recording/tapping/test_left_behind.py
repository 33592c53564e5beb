"""What a capture leaves on disk: its folder where the user said it, whole; nothing where it recorded nothing."""

from __future__ import annotations

import os
import tempfile

import pytest
import torch
from PIL import Image

import attnscope
from attnscope.errors import CaptureError, OutputError, ParameterError
from attnscope.records.reduced import Reduced

PLACES = {
    "folder": {"folder": "a/b/run.trace"},
    "where": {"where": "run.trace"},
    "folder with a budget": {"folder": "run.trace", "budget": "1GB"},
    "memory with a budget": {"budget": "1GB"},
    "reduced maps, too": {"folder": "run.trace", "keep": {"words": Reduced("cross")}},
    "reduced maps alone": {"folder": "a/run.trace", "qk": False, "keep": {"words": Reduced("cross")}},
}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty working directory, beside a folder for temporary files."""
    (tmp_path / "work").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def left(work):
    return sorted(str(path.relative_to(work)) for path in work.rglob("*"))


EMPTY = ["temporary", "work"]


def raising(error):
    def hook(*_):
        raise error

    return hook


@pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_first_step_that_raises_leaves_nothing_and_the_place_can_be_used_again(pipe, work, options, error):
    hook = pipe.unet.mid_block.register_forward_pre_hook(raising(error))
    try:
        with pytest.raises(type(error)):
            with attnscope.capture(pipe, **options) as trace:
                pipe("a cat", num_inference_steps=1)
    finally:
        hook.remove()
    assert left(work) == EMPTY
    with attnscope.capture(pipe, **options) as trace:
        pipe("a cat", num_inference_steps=1)
    assert trace.reduced or trace.steps


@pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)
def test_an_interrupt_before_the_first_step_leaves_nothing(pipe, work, options):
    with pytest.raises(KeyboardInterrupt):
        with attnscope.capture(pipe, **options):
            raise KeyboardInterrupt
    assert left(work) == EMPTY


@pytest.mark.parametrize("folder", ["run.trace", "a/b/run.trace"])
def test_a_budget_that_was_too_small_and_then_is_not(pipe, work, folder):
    with pytest.raises(
        CaptureError, match=r"takes 1\.07 MB, and 2\.14 MB while it is written, more than .* 0\.001 MB"
    ):
        with attnscope.capture(pipe, folder=folder, budget="1KB"):
            pipe("a cat", num_inference_steps=1)
    assert left(work) == EMPTY
    with attnscope.capture(pipe, folder=folder, budget="1GB"):
        pipe("a cat", num_inference_steps=1)
    assert len(attnscope.load_trace(folder).steps) == 1


def test_a_refused_choice_leaves_nothing(pipe, work):
    for options in ({"steps": [99]}, {"branch": "nonsense"}):
        with pytest.raises(attnscope.AttnscopeError):
            with attnscope.capture(pipe, folder="a/run.trace", **options):
                pipe("a cat", num_inference_steps=1)
    assert left(work) == EMPTY


def test_a_run_of_which_nothing_was_kept_leaves_not_even_its_picture(pipe, work):
    with pytest.raises(CaptureError, match="nothing was recorded"):
        with attnscope.capture(pipe.unet, folder="run.trace", steps=[5]) as trace:
            pipe.unet(torch.zeros(1, 4, 16, 16), 1, encoder_hidden_states=torch.zeros(1, 77, 16))
            trace.run.pictures = [Image.new("RGB", (8, 8))]
    assert left(work) == EMPTY


def test_what_the_user_made_stays(pipe, work):
    os.mkdir("run.trace")  # noqa: PTH102
    with pytest.raises(CaptureError, match="budget"):
        with attnscope.capture(pipe, folder="run.trace", budget="1KB"):
            pipe("a cat", num_inference_steps=1)
    assert left(work) == ["temporary", "work", "work/run.trace"]
    (work / "work" / "run.trace" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"run\.trace exists already; a capture writes into a new folder"):
        with attnscope.capture(pipe, folder="run.trace"):
            pytest.fail("refused before anything runs")
    assert left(work) == ["temporary", "work", "work/run.trace", "work/run.trace/mine.txt"]


def test_steps_that_were_complete_before_an_error_stay(pipe, work):
    with pytest.raises(ZeroDivisionError):
        with attnscope.capture(pipe, folder="a/run.trace"):
            pipe("a cat", num_inference_steps=2, callback_on_step_end=raising(ZeroDivisionError()))
    assert len(attnscope.load_trace("a/run.trace").steps) == 1


@pytest.mark.parametrize(
    "spelling", [str, os.fspath, lambda path: f"./{path}", lambda path: f"../work/{path}"]
)
@pytest.mark.parametrize("options", [{}, {"budget": "100MB"}, {"keep": {"words": Reduced("cross")}}])
def test_the_folder_is_where_it_was_named_whatever_the_run_does(pipe, work, monkeypatch, options, spelling):
    (work / "work" / "elsewhere").mkdir()

    def move(pipe, step, timestep, tensors):
        monkeypatch.chdir(work / "work" / "elsewhere")
        return tensors

    asked = attnscope.capture(pipe, where=spelling("run.trace"), **options)
    monkeypatch.chdir(work)  # the name was given before
    with asked as trace:
        pipe("a cat", num_inference_steps=2, callback_on_step_end=move)
        first = trace.probabilities(block=1, kind="cross", step=0)
    loaded = attnscope.load_trace(work / "work" / "run.trace")
    assert len(loaded.steps) == 2
    assert loaded.picture is not None
    assert torch.equal(loaded.probabilities(block=1, kind="cross", step=0), first)
    assert not any((work / "work" / "elsewhere").iterdir())


def test_a_loaded_trace_is_read_from_where_it_was(pipe, work, monkeypatch):
    import pickle

    with attnscope.capture(pipe, folder="run.trace"):
        pipe("a cat", num_inference_steps=1)
    loaded = attnscope.load_trace("run.trace")
    monkeypatch.chdir(work)
    again = pickle.loads(pickle.dumps(loaded))
    assert (
        again.probabilities(block=1, kind="cross").shape == loaded.probabilities(block=1, kind="cross").shape
    )


def test_steps_beyond_the_budget_go_where_temporary_files_go_and_are_gone_with_the_trace(
    pipe, work, monkeypatch
):
    with attnscope.capture(pipe, budget="2.5MB") as trace:
        pipe(
            "a cat",
            num_inference_steps=3,
            callback_on_step_end=lambda p, s, t, tensors: os.chdir(work) or tensors,
        )
    assert any("safetensors" in name for name in left(work))
    assert trace.probabilities(block=1, kind="self", step=0, query=0).shape[-1] == 256
    del trace
    assert [name for name in left(work) if "attnscope" in name] == []


def test_no_place_for_temporary_files_is_said_with_what_to_do(pipe, work, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(work / "nowhere"))
    with pytest.raises(
        OutputError, match=r"set TMPDIR to a place with room, or name a folder of your own \(folder=\)"
    ):
        with attnscope.capture(pipe, budget="1GB"):
            pytest.fail("refused before anything runs")
    with attnscope.capture(pipe, budget="1GB", folder="run.trace"):  # the remedy
        pipe("a cat", num_inference_steps=1)


def test_reduced_maps_never_share_a_file(pipe):
    with pytest.raises(
        ParameterError, match="'words' and 'Words', which are the same file on disks that ignore case"
    ):
        attnscope.capture(pipe, keep={"words": Reduced("cross"), "Words": Reduced("self")})
