"""The demo's tokenizer: its world's words are single tokens, everything else still tokenises."""

from __future__ import annotations

import pytest

from attnscope.demo.architecture import new_tokenizer
from attnscope.demo.scenes import WORDS
from attnscope.demo.vocabulary import byte_letters, learn_merges


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer()


def test_every_word_of_the_world_is_one_token(tokenizer):
    assert [word for word in WORDS if len(tokenizer.tokenize(word)) != 1] == []


@pytest.mark.parametrize(
    "text", ["zebra", "an astronaut riding a horse", "naïve café", "星空", "🎈", "x" * 300]
)
def test_any_text_tokenises_without_unknown_tokens(tokenizer, text):
    ids = tokenizer(text)["input_ids"][1:-1]
    assert ids
    assert tokenizer.unk_token_id not in ids


def test_an_unknown_word_takes_several_tokens(tokenizer):
    assert len(tokenizer.tokenize("astronaut")) > 1


def test_prompts_are_padded_as_in_stable_diffusion(tokenizer):
    ids = tokenizer("a red house", padding="max_length")["input_ids"]
    assert len(ids) == tokenizer.model_max_length == 77
    assert ids[0] == tokenizer.bos_token_id
    assert set(ids[4:]) == {tokenizer.eos_token_id}


def test_merges_join_the_commonest_pair_first():
    assert learn_merges(["ab", "abc"]) == [("a", "b"), ("a", "b</w>"), ("ab", "c</w>")]


def test_there_is_a_letter_for_every_byte():
    assert len(set(byte_letters())) == 256
