"""What a word's way to the model says: split, cut off, never taught."""

import pytest

import attnscope
from attnscope.atlas import DEMO_FOLDER
from attnscope.errors import WordError
from attnscope.explaining.reading import Vocabulary, asked_word, read_words
from attnscope.records import Run
from attnscope.testing import made_trace
from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.trace.contents import Pass
from attnscope.trace.texts import read_text
from attnscope.trace.tokens import tokenize
from attnscope.trace.trace import Trace


@pytest.fixture
def tokenizer(tmp_path):
    return tiny_tokenizer(tmp_path)


def reading(tokenizer, prompt, *, model=None, length=None, **more):
    tokens = tokenize(tokenizer, prompt, length).tokens
    run = Run(prompts=[prompt], tokens=[tokens], model=model, **more)
    return read_text(run, "cond", 0), Vocabulary(Trace(Pass(run=run)))


def test_a_word_that_is_taken_apart_says_its_pieces(tokenizer):
    words = {word.word: word for word in read_words(*reading(tokenizer, "a red yak"))}
    assert words["red"].pieces == ("red",)
    assert words["yak"].pieces == ("y", "a", "k")
    assert words["yak"].span.tokens == (3, 4, 5)


def test_words_without_a_meaning_of_their_own_are_told_from_others(tokenizer):
    words = read_words(*reading(tokenizer, "The cat on a star, in front of grass"))
    assert [word.word for word in words if not word.is_function] == ["cat", "star", "grass"]


@pytest.mark.parametrize("length", [4, 5])
def test_a_word_that_was_cut_off_is_an_answer_and_no_error(tokenizer, length):
    read, vocabulary = reading(tokenizer, "a red yak and the star", length=length)
    word = asked_word(read, "star", 0, vocabulary)
    assert (word.lost, word.span.tokens) == ("was cut off", ())
    assert "star" in [word.word for word in read_words(read, vocabulary) if word.lost]


def test_half_of_a_word_was_cut_off(tokenizer):
    read, vocabulary = reading(tokenizer, "a red yak", length=5)
    assert asked_word(read, "yak", 0, vocabulary).lost == "is only partly read, it was cut off"


def test_a_word_that_the_text_lacks_is_an_error_with_the_nearest(tokenizer):
    with pytest.raises(WordError, match="the nearest: 'star'"):
        asked_word(*reading(tokenizer, "a red star")[:1], "starr", 0, Vocabulary(made_trace()))


def test_the_second_of_two_words_is_meant_by_its_occurrence(tokenizer):
    read, vocabulary = reading(tokenizer, "a cat and a cat")
    assert asked_word(read, "cat", 1, vocabulary).span.tokens == (5,)


@pytest.mark.parametrize("model", ["demo", str(DEMO_FOLDER)])
def test_the_demo_model_says_which_words_it_was_taught(tokenizer, model):
    read, vocabulary = reading(tokenizer, "A Red house and an elephant, sunflowers", model=model)
    known = {word.word: word.known for word in read_words(read, vocabulary)}
    assert known == {
        "A": True,
        "Red": True,
        "house": True,
        "and": True,
        "an": True,
        "elephant": False,
        "sunflowers": False,
    }
    assert asked_word(read, "red house", 0, vocabulary).known is True
    assert asked_word(read, "house and an elephant", 0, vocabulary).known is False


def test_nobody_knows_what_another_model_was_taught(tokenizer):
    assert [word.known for word in read_words(*reading(tokenizer, "a red yak", model="someone/sd"))] == [
        None
    ] * 3


def test_a_tokenizer_with_a_token_for_what_it_does_not_know_says_so(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "cat": 2, "[PAD]": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", model_max_length=6
    )
    read, _ = reading(tokenizer, "red yak")

    class Pipe:
        pass

    pipe = Pipe()
    pipe.tokenizer = tokenizer
    vocabulary = Vocabulary(made_trace(), pipe)
    assert [word.known for word in read_words(read, vocabulary)] == [None, False]


def test_a_word_of_the_second_prompt_has_the_pieces_of_its_own_text(tokenizer):
    second = "a yak"
    read, vocabulary = reading(
        tokenizer, "a red star", second_prompts=[second], second_tokens=[tokenize(tokenizer, second).tokens]
    )
    words = {word.word: word.pieces for word in read_words(read, vocabulary)}
    assert words["yak"] == ("y", "a", "k")


def test_a_text_whose_words_are_unknown_says_why():
    trace = made_trace()
    trace.run.tokens, trace.run.prompts = [], []
    with pytest.raises(WordError, match="holds no prompt"):
        attnscope.explain(trace)
