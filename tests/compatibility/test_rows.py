"""The rows that stand in each case by hand: those called by the prompt's branch are those that read the prompt."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from compatibility.case import PROMPT, WORD
from compatibility.cases import PICTURES, PIPELINES, VIDEOS
from compatibility.page import PAGE, read_page
from compatibility.report import quiet
from compatibility.running import called, made_pipe

READ_THE_PROMPT = {"cond", "perturbed"}
KNOWN = read_page(PAGE.read_text())
CASES = [
    case
    for kind in (*PIPELINES, *PICTURES, *VIDEOS)
    for case in kind.CASES
    if case.word == WORD and KNOWN[case.name]["rows right"].verdict != "refused"
]


def texts(case, *, another_word=False):
    """What the model got of the text in each call; with another word, the embedding of `cat` is another vector."""
    pipe = made_pipe(case)
    models = [model for model in case.models(pipe) if isinstance(model, nn.Module)]
    for name, part in pipe.components.items() if another_word else ():
        if isinstance(part, nn.Module) and all(part is not model for model in models):
            _change_word(part, _tokenizers(pipe, name))
    with case.around() if case.around else nullcontext(), case.watch(models) as watches:
        called(case, pipe)
    return [call.text for watch in watches for call in watch.calls]


def _tokenizers(pipe, encoder):
    """That of an encoder by its name; all where none is called as it is."""
    every = {
        name: known for name, known in pipe.components.items() if "tokenizer" in name and known is not None
    }
    own = every.get(encoder.replace("text_encoder", "tokenizer"))
    return every.values() if own is None else [own]


def _change_word(part, tokenizers):
    for known in tokenizers:
        (number,) = {*known(PROMPT)["input_ids"]} - {*known(PROMPT.replace(WORD, "star"))["input_ids"]}
        for path, module in part.named_modules():
            is_of_words = isinstance(module, nn.Embedding) and "position" not in path
            if is_of_words and module.num_embeddings >= len(known):
                module.weight.data[number] += 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.thorough] * (number % 10 > 0))
        for number, case in enumerate(CASES)
    ],
    ids=lambda case: case.name,
)
def test_the_prompts_rows_are_those_that_change_with_its_word(case):
    with quiet():
        before, after = texts(case), texts(case, another_word=True)
    compared = 0
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        rows = case.true_rows(number)
        if not isinstance(old, torch.Tensor) or len(old) != len(rows):
            continue
        changed = {row for row, one, other in zip(rows, old, new, strict=True) if not torch.equal(one, other)}
        has_prompt = any(branch == "cond" for branch, _ in rows)
        reads = (
            READ_THE_PROMPT if has_prompt else READ_THE_PROMPT | {"edit"}
        )  # LEDITS++: the edit's is the only text
        assert changed == {row for row in rows if row[0] in reads}
        compared += 1
    if not compared:
        pytest.skip("the text does not come as one embedding a row")
