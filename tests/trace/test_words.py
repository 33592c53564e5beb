"""Words of prompts of every kind: whole ones first, each with its own tokens, or the true cause why not."""

import unicodedata

import pytest

from attnscope.errors import ParameterError, WordError
from attnscope.testing.tiny_models import tiny_tokenizer
from attnscope.trace.characters import characters
from attnscope.trace.reading import read_prompt
from attnscope.trace.tokens import tokenize, unnamed_tokens
from attnscope.trace.words import find_span, prompt_words
from trace_prompts import clip_like, made_prompt, t5_like


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A few words, else letters."""
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def clip():
    return clip_like()


@pytest.fixture(scope="module")
def t5():
    return t5_like()


def found(tokenizer, prompt, word, **options):
    """Places of the word and its tokens' texts joined."""
    tokens = tokenize(tokenizer, prompt, 77).tokens
    span = find_span(prompt, tokens, word, **options)
    return span.start_char, "".join(tokens[at].text for at in span.tokens)


NFD_CAFE = unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    ("prompt", "word", "start"),
    [
        ("a photo-realistic photo", "photo", 18),
        ("a photo-realistic photo", "photo-realistic", 2),
        ("a cat's cat", "cat", 8),
        ("a cat’s cat", "CAT's", 2),
        ("the rock'n'roll rock", "rock", 16),
        ("👍🏽 and 👍", "👍", 7),
        ("👨\u200d👩\u200d👧 👨", "👨", 6),
        (f"{NFD_CAFE} cafe", "cafe", 6),
        (f"cafe {NFD_CAFE}", "café", 5),
        ("cafe café", NFD_CAFE, 5),
        ("blue_hair, hair", "hair", 11),
        ("red  house, red house", "red house", 0),
        ("catapult cat", "cat", 9),
        ("(red:1.3) house", "red", 1),
        ("(green)1.5 red++", "red", 11),
        ('("a red cat", "dog").and()', "dog", 15),
        ("[blue|red] ((sky)) BREAK sea", "sky", 13),
        ("🇩🇪🇫🇷", "🇫🇷", 2),
        ("photo\u2011real photo", "photo-real", 0),
    ],
)
def test_a_word_is_found_where_it_stands_by_itself(letters, clip, t5, prompt, word, start):
    for tokenizer in (letters, clip, t5):
        assert found(tokenizer, prompt, word)[0] == start


@pytest.mark.parametrize(
    ("prompt", "word", "start"),
    [
        ("a photo-realistic view", "photo", 2),
        ("a cat's tail", "cat", 2),
        ("blue_hair", "hair", 5),
        ("1girl", "girl", 1),
        ("一只猫和一只狗", "猫", 2),
        ("一只猫和一只狗", "一只狗", 4),
        ("赤い家と太陽", "太陽", 4),
        ("iPhone手机", "手机", 6),
    ],
)
def test_a_part_of_a_word_is_found_where_there_is_no_such_word(letters, prompt, word, start):
    at, text = found(letters, prompt, word)
    assert at == start
    assert set(text.lower()) == set(word)


@pytest.mark.parametrize(
    ("prompt", "word", "whole"),
    [("a catapult", "cat", "catapult"), ("고양이가 있다", "고양이", "고양이가"), ("कमलों", "कम", "कमलों")],
)
def test_a_part_of_a_word_in_a_script_with_spaces_is_refused_with_the_word(letters, prompt, word, whole):
    with pytest.raises(
        WordError, match=f"only a part of '{whole}'; ask for that, or for token numbers, such as"
    ):
        found(letters, prompt, word)
    found(letters, prompt, whole)


def test_a_character_is_never_divided(clip):
    for prompt, word in (
        ("👍🏽", "👍"),
        (NFD_CAFE, "cafe"),
        ("👨\u200d👩\u200d👧", "👨"),
        ("แมว", "แม\u0e31"),
    ):
        with pytest.raises(WordError, match="no word"):
            found(clip, prompt, word)


def test_a_token_is_never_divided_and_the_remedy_works(clip):
    prompt = "a 😂😂😂"
    tokens = tokenize(clip, prompt).tokens
    (laugh,) = [word for word in prompt_words(prompt, tokens) if "😂" in word.word]
    shared = [token for token in tokens if token.text.count("😂") > 1]
    assert shared, "the vocabulary should join them"
    with pytest.raises(WordError, match=f"only a part of '{laugh.word}'; ask for that"):
        find_span(prompt, tokens, "😂")
    assert find_span(prompt, tokens, laugh.word) == laugh


def test_occurrences_count_words_and_parts_only_where_there_is_none(letters):
    prompt = "photo-real photo, photo"
    assert [found(letters, prompt, "photo", occurrence=number)[0] for number in (0, 1, -1)] == [11, 18, 18]
    with pytest.raises(WordError, match=r"occurrence 2 of 'photo': .* holds it 2 time"):
        found(letters, prompt, "photo", occurrence=2)
    assert found(letters, "a-cat b-cat", "cat", occurrence=1)[0] == 8
    with pytest.raises(ParameterError, match="occurrence 'x': expected a whole number"):
        found(letters, prompt, "photo", occurrence="x")


def test_words_that_were_cut_off_say_so_also_in_part(letters):
    prompt = "a " * 73 + "zebra star"  # 73 + 2 of 5 letters
    tokens = tokenize(letters, prompt).tokens
    assert [word.word for word in prompt_words(prompt, tokens)] == ["a"] * 73
    for word, how in (("zebra", "is only partly read, it was cut off"), ("star", "was cut off")):
        with pytest.raises(
            WordError, match=f"'{word}' {how}: the model reads 77 tokens and the prompt is longer"
        ):
            find_span(prompt, tokens, word)
    exactly = "a " * 75
    assert len(prompt_words(exactly, tokenize(letters, exactly).tokens)) == 75


def test_pieces_of_textual_inversion_are_one_word(letters):
    letters.add_tokens(["easyneg", "easyneg_1", "easyneg_2", "<toy>", "<toy>_1"])
    prompt = "a easyneg easyneg_1 easyneg_2, <toy> <toy>_1 cat cat_1"
    tokens = tokenize(letters, prompt).tokens
    assert [word.word for word in prompt_words(prompt, tokens)] == [
        "a", "easyneg easyneg_1 easyneg_2", "<toy> <toy>_1", "cat", "cat_1",
    ]  # fmt: skip
    assert find_span(prompt, tokens, "easyneg").tokens == (2, 3, 4)
    assert find_span(prompt, tokens, "<toy>").tokens == (6, 7)
    assert find_span(prompt, tokens, "cat").tokens == (8,)


def test_true_causes(letters):
    tokens = tokenize(letters, "a cat").tokens
    with pytest.raises(
        WordError, match=r"which tokens the prompt 'a cat' has is unknown; use token numbers, 0 to 76"
    ):
        find_span("a cat", unnamed_tokens(77), "cat")
    with pytest.raises(WordError, match="the prompt is empty"):
        find_span(" ", tokenize(letters, " ").tokens, "cat")
    with pytest.raises(WordError, match=r"no word 'dog' in the prompt 'a cat'; the nearest: 'a', 'cat'"):
        find_span("a cat", tokens, "dog")
    with pytest.raises(WordError, match="which has no words"):
        find_span("!", tokenize(letters, "!").tokens, "dog")


def check(tokenizer, prompt):
    """Every word is found by its own text with its own tokens, and these are what the tokenizer itself says."""
    tokens = tokenize(tokenizer, prompt, 77).tokens
    words = prompt_words(prompt, tokens)
    raw = tokenizer(prompt, padding="max_length", truncation=True, max_length=77, return_offsets_mapping=True)
    seen = {}
    for word in words:
        alike = tuple(character.alike for character in characters(word.word))
        number = seen[alike] = seen.get(alike, -1) + 1
        assert find_span(prompt, tokens, word.word, occurrence=number) == word
        assert prompt[word.start_char : word.end_char] == word.word
        overlapping = {
            at
            for at, (start, end) in enumerate(raw["offset_mapping"])
            if start < word.end_char and end > word.start_char and prompt[start:end].strip()
        }
        assert overlapping <= set(word.tokens)
        marks = (
            set(word.tokens) - overlapping
        )  # tokens of marks alone, whose place the tokenizer gives to the letter
        assert all(
            tokens[at].start_char < word.end_char and tokens[at].end_char > word.start_char for at in marks
        )
    covered = {at for word in words for at in word.tokens}
    read = read_prompt(prompt, tokens)
    for token in read.read:
        if any(char.isalnum() for char in token.text) and token.index not in covered:
            assert read.lost((token.start_char, len(prompt))), (prompt, token)


def test_every_word_of_any_prompt_is_found_by_its_own_text(letters, clip, t5):
    for seed in range(300):
        check((letters, clip, t5)[seed % 3], made_prompt(seed))


@pytest.mark.thorough
@pytest.mark.slow
def test_every_word_of_6000_prompts_is_found_by_its_own_text(letters, clip, t5):
    for seed in range(6_000):
        check((letters, clip, t5)[seed % 3], made_prompt(1000 + seed))
