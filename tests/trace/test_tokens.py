import pytest

from attnscope.errors import ParameterError, WordError
from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.trace.tokens import tokenize, unnamed_tokens
from attnscope.trace.words import find_span, prompt_words


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def span(tokenizer, prompt, word, **options):
    return find_span(prompt, tokenize(tokenizer, prompt).tokens, word, **options)


def test_tokens_are_what_the_model_receives(tokenizer):
    tokens = tokenize(tokenizer, "a red cat").tokens
    assert [token.text for token in tokens[1:4]] == ["a", "red", "cat"]
    assert [token.role for token in tokens[:6]] == ["start", "text", "text", "text", "end", "padding"]
    assert len(tokens) == tokenizer.model_max_length
    assert {token.role for token in tokens[5:]} == {"padding"}


def test_a_word_of_several_tokens_has_them_all(tokenizer):
    prompt = "a capybara, red"
    found = span(tokenizer, prompt, "Capybara")
    assert len(found.tokens) > 1
    assert prompt[found.start_char : found.end_char] == "capybara"
    tokens = tokenize(tokenizer, prompt).tokens
    assert "".join(tokens[index].text for index in found.tokens) == "capybara"


def test_repeated_words_are_told_apart(tokenizer):
    prompt = "a red cat and the red star"
    first, second = span(tokenizer, prompt, "red"), span(tokenizer, prompt, "red", occurrence=1)
    assert first.tokens == (2,)
    assert second.tokens == (6,)
    assert span(tokenizer, prompt, "red", occurrence=-1) == second
    with pytest.raises(WordError, match=r"holds it 2 time"):
        span(tokenizer, prompt, "red", occurrence=2)


def test_a_phrase_is_found_across_white_space(tokenizer):
    assert span(tokenizer, "a  red   cat", "red cat").tokens == (2, 3)


def test_a_part_of_a_word_is_not_the_word(tokenizer):
    with pytest.raises(WordError, match=r"only a part of 'star'; ask for that"):
        span(tokenizer, "the star", "sta")


def test_punctuation_and_special_tokens_are_tokens(tokenizer):
    prompt = "red, cat"
    assert span(tokenizer, prompt, ",").tokens == (2,)
    assert span(tokenizer, prompt, "<start>").tokens == (0,)
    assert span(tokenizer, prompt, "<end>").tokens == (4,)
    assert span(tokenizer, prompt, "<padding>").tokens[0] == 5


def test_letters_beyond_ascii_keep_their_place(tokenizer):
    prompt = "a 犬 star"
    assert prompt[span(tokenizer, prompt, "犬").start_char] == "犬"
    assert span(tokenizer, prompt, "star").tokens[0] == span(tokenizer, prompt, "犬").tokens[-1] + 1


def test_a_word_behind_the_last_token_says_it_was_cut(tokenizer):
    with pytest.raises(WordError, match="cut off"):
        span(tokenizer, "a " * 100 + "star", "star")


def test_words_of_the_prompt_in_order(tokenizer):
    prompt = "A red cat's star."
    assert [w.word for w in prompt_words(prompt, tokenize(tokenizer, prompt).tokens)] == [
        "A",
        "red",
        "cat's",
        "star",
    ]


def test_a_name_of_several_vectors_is_one_word(tokenizer):
    tokenizer.add_tokens(["<toy>", "<toy>_1", "<toy>_2"])
    prompt = "a <toy> <toy>_1 <toy>_2 on grass"
    assert span(tokenizer, prompt, "<toy>").tokens == (2, 3, 4)
    words = prompt_words(prompt, tokenize(tokenizer, prompt).tokens)
    assert [len(word.tokens) for word in words] == [1, 3, 1, 1]


def test_an_empty_prompt_has_no_words(tokenizer):
    assert prompt_words("", tokenize(tokenizer, "").tokens) == ()
    with pytest.raises(WordError, match="prompt is empty"):
        span(tokenizer, "", "cat")


@pytest.mark.parametrize("word", ["", "  ", None])
def test_an_empty_word_is_refused(tokenizer, word):
    with pytest.raises(ParameterError, match="expected a word"):
        span(tokenizer, "a cat", word)


def test_embeddings_without_a_prompt_have_numbered_tokens():
    assert [token.text for token in unnamed_tokens(2)] == ["[0]", "[1]"]
