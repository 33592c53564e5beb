"""Characters as readers see them (grapheme clusters), and which of them read alike."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

CharacterKind = Literal["letter", "digit", "line", "joint", "picture", "space", "other"]

_JOINER = "\u200d"
_EXTENDING = re.compile(
    "[\u00ad\u200c\u200d\u2060"  # soft hyphen, the joiners, word joiner
    "\u0e33\u0eb3\uff9e\uff9f"  # vowel signs and sound marks that Unicode counts as letters
    "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"  # skin tones, tags of flags
)
_HANGUL = re.compile("[\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb]")
_HANGUL_TAIL = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb]")
_FLAG_LETTER = re.compile("[\U0001f1e6-\U0001f1ff]")
_UNSPACED = re.compile(  # Thai, Lao, Tibetan, Myanmar, Khmer, Tai and Balinese scripts, Han, kana, bopomofo, Yi
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aad\u1b00-\u1b7f\u3005-\u3007\u3021-\u3029"
    "\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9df\uaa60-\uaadf\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af]"
)
_JOINTS = "'-"
_ALIKE = str.maketrans("’‘ʼ＇‐‑", "''''--", "\ufe0e\ufe0f")  # apostrophes, hyphens; text or picture style


class Character(NamedTuple):
    """One character as readers see it: a letter with its marks, an emoji with its skin tone, a flag.

    Attributes:
        start: Where it begins in the text.
        end: Where the next one begins.
        alike: The same for characters that read alike: in upper and lower case, composed or not, ' and ’. White
            space of any length is one character.
        kind: Letters, digits and low lines make words; a joint, ' or -, holds two parts of a word together; a
            picture such as an emoji is a word by itself.
    """

    start: int
    end: int
    alike: str
    kind: CharacterKind


def characters(text: str) -> tuple[Character, ...]:
    """The characters of a text, in order.

    Args:
        text: Any text.

    >>> [character.alike for character in characters("Éa  👍🏽")]
    ['é', 'a', ' ', '👍🏽']
    """
    starts: list[int] = []
    for at, char in enumerate(text):
        if not starts or not _belongs(text[starts[-1] : at], char):
            starts.append(at)
    ends = [*starts[1:], len(text)][: len(starts)]
    return tuple(Character(a, b, *_read(text[a:b])) for a, b in zip(starts, ends, strict=True))


def is_unspaced(character: str) -> bool:
    """Whether a script has no spaces between its words.

    Args:
        character: A character of that script.
    """
    return _UNSPACED.match(character) is not None


def _belongs(so_far: str, char: str) -> bool:
    """Whether a code point belongs to the character that has begun. Unicode 15, annex 29, where words meet it."""
    if so_far.isspace():
        return char.isspace()
    if unicodedata.category(char).startswith("M") or _EXTENDING.match(char):
        return unicodedata.category(so_far[-1]) not in ("Cc", "Cf") or bool(_EXTENDING.match(so_far[-1]))
    if so_far[-1] == _JOINER:
        return unicodedata.category(so_far[0]) == "So" and unicodedata.category(char).startswith("S")
    if _FLAG_LETTER.match(char):
        return len(so_far) == 1 and _FLAG_LETTER.match(so_far) is not None
    return _HANGUL_TAIL.match(char) is not None and _HANGUL.match(so_far[-1]) is not None


@lru_cache(maxsize=4096)
def _read(cluster: str) -> tuple[str, CharacterKind]:
    if cluster.isspace():
        return " ", "space"
    decomposed = unicodedata.normalize("NFD", cluster).casefold()
    alike = unicodedata.normalize("NFC", decomposed.translate(_ALIKE)) or cluster
    return alike, _kind(cluster, alike)


def _kind(cluster: str, alike: str) -> CharacterKind:
    category = unicodedata.category(cluster[0])
    if category[0] in "LM":
        return "letter"
    if category[0] == "N":
        return "digit"
    if category == "So" or "\ufe0f" in cluster or "\u20e3" in cluster or _EXTENDING.match(cluster[0]):
        return "picture" if category != "Cf" else "other"
    if cluster == "_":
        return "line"
    return "joint" if alike in _JOINTS else "other"
