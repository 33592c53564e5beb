"""Edits that make no sense, or that nothing comes of: each is refused, or warned of, with the reason."""

import numpy as np
import pytest
import torch

import attnscope
from attnscope import Ablate, Custom, Region, Replace, Reweight, Temperature
from attnscope.editing import UnusedEditWarning
from attnscope.errors import EditError, KeywordError, ParameterError, SelectionError, WordError
from capture_cases import PROMPT, leftovers, run

OTHER = "the grass and a star"


def edited(pipe, seeded, *edits, prompt=PROMPT):
    with attnscope.edit(pipe, *edits):
        return run(pipe, seeded, prompt, output_type="latent")


@pytest.fixture(autouse=True)
def nothing_is_left(pipe):
    yield
    assert leftovers(pipe) == []


def test_a_word_that_no_prompt_has(pipe, seeded):
    with pytest.raises(WordError, match="no word 'dog' in the prompt"):
        edited(pipe, seeded, Reweight("dog", 2.0))
    with pytest.raises(WordError, match="no word 'cat' in the prompt 'the grass and a star'"):
        edited(pipe, seeded, Reweight("cat", 2.0, image=1), prompt=[PROMPT, OTHER])


def test_what_the_model_lacks(pipe):
    with pytest.raises(SelectionError, match=r"Ablate\(block=99\)"):
        attnscope.edit(pipe, Ablate(block=99))
    with pytest.raises(SelectionError):
        attnscope.edit(pipe, Ablate(kind="fuser"))


def test_a_head_that_the_layer_lacks(pipe, seeded):
    with pytest.raises(SelectionError, match="head 99"):
        edited(pipe, seeded, Ablate(head=99))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ablate("cat", to="nothing"),
        lambda: Reweight("cat", float("nan")),
        lambda: Reweight("cat", "2"),
        lambda: Temperature(0.0),
        lambda: Region("cat", (0.5, 0, 0.5, 1)),
        lambda: Region("cat", np.zeros((8, 8))),
        lambda: Region("cat", "upper half"),
        lambda: Custom(3),
        lambda: Replace("trace"),
        lambda: Replace(0, words="cat", mapping=torch.eye(77)),
        lambda: Ablate(kind="crossed"),
        lambda: Ablate(kind="image"),
    ],
)
def test_an_edit_that_makes_no_sense(make):
    with pytest.raises(ParameterError, match="expected|both|can't"):
        make()


def test_an_unknown_choice():
    with pytest.raises(KeywordError, match="the nearest"):
        Ablate(blok=3)
    assert Ablate(blocks=3) == Ablate(block=3)


@pytest.mark.parametrize("edits", [(), ("Ablate",), (Ablate,)])
def test_something_else_than_edits(pipe, edits):
    with pytest.raises(ParameterError, match="edits are"):
        attnscope.edit(pipe, *edits)


def test_an_edit_that_is_never_made_warns(pipe, seeded):
    with pytest.warns(UnusedEditWarning, match=r"Reweight\('cat', 2.0, steps=7\) changed nothing"):
        edited(pipe, seeded, Reweight("cat", 2.0, steps=7))


@pytest.mark.parametrize("function", [lambda p: p[:1], lambda p: None, lambda p: p * float("nan")])
def test_a_function_that_gives_no_attention(pipe, seeded, function):
    with pytest.raises(EditError, match="gave"):
        edited(pipe, seeded, Custom(function, kind="cross"))


def test_slices_are_refused(pipe, seeded):
    pipe.enable_attention_slicing(1)
    with pytest.raises(EditError, match="disable_attention_slicing"):
        edited(pipe, seeded, Reweight("cat", 2.0))
    pipe.disable_attention_slicing()
    assert leftovers(pipe) == []
