"""Characters as readers see them."""

import random
import unicodedata

import pytest
import regex

from attnscope.trace.characters import characters, is_unspaced

PIECES = [
    *"aéßİ猫家あแมकम한3½.,!_-'’ ",
    *("e\u0301\u0323", "👍🏽", "👨\u200d👩\u200d👧", "🇩🇪", "🇫", "❤\ufe0f", "1\ufe0f\u20e3", "ों", "ำ"),
    "ᄀ\u1161\u11a8",
]


@pytest.mark.parametrize("seed", range(20))
def test_characters_are_unicodes_grapheme_clusters(seed):
    chosen = random.Random(seed)
    for _ in range(100):
        text = "".join(chosen.choice(PIECES) for _ in range(chosen.randrange(9)))
        found = [text[character.start : character.end] for character in characters(text)]
        spaced = [
            part for cluster in regex.findall(r"\X", text) for part in regex.split(r"(?<= )(?=[^ ])", cluster)
        ]
        assert regex.sub(" +", " ", "|".join(found)) == regex.sub(r" (\| )*", " ", "|".join(spaced))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("É", "e\u0301"), ("’", "'"), ("\u2011", "-"), ("❤\ufe0f", "❤"), ("Σ", "ς"), ("  \t", " "), ("ẞ", "ß"),
        (unicodedata.normalize("NFD", "고"), "고"),
    ],
)  # fmt: skip
def test_characters_that_read_alike_are_alike(one, other):
    (first,), (second,) = characters(one), characters(other)
    assert first.alike == second.alike


@pytest.mark.parametrize(
    ("one", "other"), [("é", "e"), ("👍🏽", "👍"), ("👩\u200d🚀", "👩"), ("ß", "ss"), ("が", "か")]
)
def test_characters_that_read_differently_are_not(one, other):
    assert [c.alike for c in characters(one)] != [c.alike for c in characters(other)]


def test_scripts_without_spaces_are_known():
    assert all(map(is_unspaced, "猫あカแລខက"))
    assert not any(map(is_unspaced, "aéкक한ب"))
