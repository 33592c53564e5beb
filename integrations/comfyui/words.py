"""The tokens of a prompt as ComfyUI's CLIP makes them, each with its place in the prompt without weights.

ComfyUI cuts '(tree:1.2)' out of a prompt before it tokenises. The tokens are taken from `clip.tokenize` itself, and
each must continue the text where the one before it ended, byte by byte. So a token never gets a wrong place: what
does not fit is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from attnscope.errors import WordError
from attnscope.records import Token
from attnscope.trace.characters import characters

_OPEN, _CLOSE = "\ue0f1", "\ue0f2"
"""Stand for brackets that are written as \\( and \\): private characters, which no prompt has."""
_ENCODERS = ("l", "h", "g")
"""The CLIP models of SD 1.x, SD 2.x and SDXL. SDXL has l and g, whose tokens have the same places."""
_WORD_END = "</w>"


def plain_text(text: str) -> str:
    """A prompt without the marks of weights: '(old tree:1.2) in (fog)' is 'old tree in fog'.

    Args:
        text: The prompt as it was typed.
    """
    hidden = text.replace("\\)", _CLOSE).replace("\\(", _OPEN)
    return "".join(_unweighted(hidden)).replace(_OPEN, "(").replace(_CLOSE, ")")


def _unweighted(text: str) -> Iterator[str]:
    for part in _top_level(text):
        if len(part) < 2 or (part[0], part[-1]) != ("(", ")"):
            yield part
            continue
        inner = part[1:-1]
        before, colon, weight = inner.rpartition(":")
        yield from _unweighted(before if colon and before and _is_number(weight) else inner)


def _top_level(text: str) -> Iterator[str]:
    """Groups in brackets, and what is between them."""
    begin = depth = 0
    for at, character in enumerate(text):
        if character == "(":
            if depth == 0:
                yield text[begin:at]
                begin = at
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[begin : at + 1]
                begin = at + 1
    yield text[begin:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def encoder_of(clip: Any, text: str) -> tuple[Any, list[list[tuple[Any, ...]]]]:
    """The tokenizer that names a text's tokens, and the tokens that it makes: (id, weight, word) in chunks.

    Args:
        clip: ComfyUI's CLIP.
        text: The prompt as it was typed.

    Raises:
        WordError: The CLIP is of another sort than CLIP-L, -H or -G.
    """
    coded = clip.tokenize(text, return_word_ids=True)
    name = next((name for name in _ENCODERS if name in coded), None)
    tokenizer = getattr(clip.tokenizer, f"clip_{name}", None)
    if name is None or tokenizer is None or set(coded) - set(_ENCODERS):
        raise WordError(
            f"the CLIP has text encoders {sorted(coded)}; expected those of SD 1.x, SD 2.x or SDXL: connect the CLIP "
            "of the checkpoint, or leave clip unconnected, which leaves words unnamed"
        )
    return tokenizer, coded[name]


def tokens_of(clip: Any, text: str) -> tuple[str, tuple[Token, ...]]:
    """A prompt without weights, and its tokens: the keys of cross-attention in order.

    Args:
        clip: ComfyUI's CLIP.
        text: The prompt as it was typed.

    Raises:
        WordError: A token has no place in the text, as an embedding has none.
    """
    tokenizer, chunks = encoder_of(clip, text)
    plain = plain_text(text)
    return plain, tuple(
        _placed(plain, tokenizer, [entry for chunk in _with_roles(chunks) for entry in chunk])
    )


def _with_roles(chunks: Sequence[Sequence[tuple[Any, ...]]]) -> Iterator[list[tuple[Any, str]]]:
    """Each token's id and role. ComfyUI says word 0 for tokens that are no text: start, end, then padding."""
    for chunk in chunks:
        roles: list[tuple[Any, str]] = []
        ended = False
        for at, (number, _, word) in enumerate(chunk):
            role = "text" if word else "start" if at == 0 else "padding" if ended else "end"
            ended |= role == "end"
            roles.append((number, role))
        yield roles


def _placed(plain: str, tokenizer: Any, entries: Sequence[tuple[Any, str]]) -> Iterator[Token]:
    written, at = list(_bytes(plain)), 0
    for index, (number, role) in enumerate(entries):
        if role != "text":
            yield Token(index, _name(tokenizer, number), 0, 0, role)  # type: ignore[arg-type]
            continue
        piece = _piece(tokenizer, number, plain)
        here = written[at : at + len(piece)]
        if bytes(byte for byte, _, _ in here) != piece:
            raise WordError(_misplaced(plain, piece, written, at))
        start, end = here[0][1], here[-1][2]
        yield Token(index, plain[start:end], start, end, "text")
        at += len(piece)
    if at < len(written):
        raise WordError(_misplaced(plain, b"", written, at))


def _bytes(plain: str) -> Iterator[tuple[int, int, int]]:
    """Each byte of a text as CLIP's tokenizer reads it, lower case without spaces, and the place of its character."""
    for character in characters(plain):
        read = unicodedata.normalize("NFC", plain[character.start : character.end]).lower()
        for byte in "".join(read.split()).encode():
            yield byte, character.start, character.end


def _name(tokenizer: Any, number: Any) -> str:
    return str(tokenizer.inv_vocab.get(number, number))


def _piece(tokenizer: Any, number: Any, plain: str) -> bytes:
    if not isinstance(number, int):
        raise WordError(
            f"the text {plain!r} has an embedding, whose vectors are no words: leave clip unconnected (places and "
            "segments need no words), or write the text without it"
        )
    codes = _byte_of_code()
    name = _name(tokenizer, number).removesuffix(_WORD_END)
    if unknown := [code for code in name if code not in codes]:
        raise WordError(f"the token {name!r} has characters that CLIP's vocabulary does not: {unknown}")
    return bytes(codes[code] for code in name)


@lru_cache(maxsize=1)
def _byte_of_code() -> dict[str, int]:
    """The characters that stand for bytes in CLIP's and GPT-2's vocabularies: printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in set(printable)]
    codes = {chr(byte): byte for byte in printable}
    return codes | {chr(0x100 + at): byte for at, byte in enumerate(others)}


def _misplaced(plain: str, piece: bytes, written: Sequence[tuple[int, int, int]], at: int) -> str:
    rest = plain[written[at][1] :][:20] if at < len(written) else ""
    return (
        f"the token {piece.decode(errors='replace')!r} does not continue the text {plain!r} at {rest!r}, so the "
        "places of words are unknown: look for brackets without a partner, or leave clip unconnected"
    )
