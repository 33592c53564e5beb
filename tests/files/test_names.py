"""Names of files made of words: safe on every system, and never two alike."""

import random
import unicodedata

import pytest

from attnscope.files.names import distinct_names, file_names

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["portal-2", "portal"], ["portal-2", "portal"]),
        (["portal", "portal", "portal-2"], ["portal", "portal-3", "portal-2"]),
        (["sd-3", "sd-2", "sd"], ["sd-3", "sd-2", "sd"]),
        (["Cat", "cat"], ["Cat", "cat-2"]),
        (["caf\u00e9", "cafe\u0301", "cafe"], ["caf\u00e9", "caf\u00e9-2", "cafe"]),
        (["con", "NUL", "con.txt"], ["word-con", "word-NUL", "con-txt"]),
        (["com1", "COM\u00b9"], ["word-com1", "word-COM\u00b9-2"]),
        (["///", "...", " "], ["word", "word-2", "word-3"]),
        (["../etc/passwd", "a\x00b", "-rf", "x. "], ["etc-passwd", "a-b", "rf", "x"]),
        (["👍🏽", "👍", "कमलों"], ["👍🏽", "👍", "कमलों"]),
        (["\ud800"], ["word"]),
    ],
)  # fmt: skip
def test_a_word_keeps_its_name_and_namesakes_are_numbered(words, names):
    assert file_names(words) == names


@pytest.mark.parametrize("letter", ["x", "漢", "한", "é", "👍", "\ud800"])
def test_long_words_are_cut_where_every_disk_takes_them(letter):
    names = file_names([letter * 300, letter * 299])
    for name in names:
        for form in ("NFC", "NFD"):
            assert len(unicodedata.normalize(form, name).encode("utf-8", "surrogatepass")) <= 230
    assert names[0] != names[1]


def test_names_of_pictures_stay_as_they_are_except_for_namesakes():
    assert distinct_names(["my photo", "photo.jpg", "photo", "Photo", "'a'"]) == [
        "my photo", "photo.jpg", "photo", "Photo-2", "'a'",
    ]  # fmt: skip


POOL = [
    "portal", "portal-2", "Portal", "sd", "sd-2", "sd-2-2", "con", "CON", "nul.", "aux.png", "a" * 250, "a" * 251,
    "漢" * 90, "漢" * 91, "é", "e\u0301", "É", "👍🏽", "👍", "///", "", "...", "-", "x\x00y", "ß", "SS", "word",
    "word-2", "İ", "ı", "i", "K", "\u212a", "ｃｏｎ", "a\u200db", "ab", "\ufe0f",
]  # fmt: skip


def random_words(dice):
    def letters():
        return "".join(
            chr(dice.choice([dice.randrange(32, 127), dice.randrange(0x3000), dice.randrange(0x1F9FF)]))
            for _ in range(dice.randrange(9))
        )

    return [dice.choice(POOL) if dice.random() < 0.7 else letters() for _ in range(dice.randrange(1, 12))]


def test_no_two_words_share_a_file_on_any_disk(tmp_path):
    dice = random.Random(7)
    for number in range(1500):
        words = random_words(dice)
        names = file_names(words)
        assert names == file_names(words)  # the same in every run
        folder = tmp_path / str(number)
        folder.mkdir()
        for at, name in enumerate(names):
            (folder / f"{name}.overlay.png").write_text(str(at))
            assert name.casefold() not in DEVICES
            assert name[:1] not in (" ", ".", "-")
            assert name[-1:] not in (" ", ".")
        assert [(folder / f"{name}.overlay.png").read_text() for name in names] == list(
            map(str, range(len(words)))
        )
        # what a disk that knows neither case nor accents written in two ways would compare
        for alike in (
            str.casefold,
            lambda name: unicodedata.normalize("NFD", name.upper()),
            lambda name: unicodedata.normalize("NFC", name.lower()),
        ):
            assert len(set(map(alike, names))) == len(words), names
