"""The demo model's own CLIP vocabulary: every word of its world is one token, any other text still tokenises.

Byte-pair encoding as in CLIP: letters stand for bytes, a word's last one carries "</w>", the pair of lowest
rank is joined first. All 256 bytes are in, so nothing is unknown; other words only take several tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizerFast

START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT_TOKENS = 77
"""Length of every prompt, as in Stable Diffusion v1 and v2."""

Pieces = tuple[str, ...]


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Join the commonest pair, ties by alphabet, until every word is a single piece.

    Args:
        words: All words that shall be one token.
    """
    spelled: list[Pieces] = [(*word[:-1], word[-1] + "</w>") for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for pieces in spelled for pair in pairwise(pieces)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = [_join(pieces, best) for pieces in spelled]
    return merges


def _join(pieces: Pieces, pair: tuple[str, str]) -> Pieces:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes in byte-pair encodings, in CLIP's order."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    hidden = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + i) for i in range(hidden)]


def write_tokenizer(folder: Path, words: Iterable[str]) -> None:
    """Write what CLIPTokenizer reads in transformers 4 (vocab.json, merges.txt) and 5 (tokenizer.json).

    Args:
        folder: Where to write.
        words: All words that shall be one token.
    """
    merges = learn_merges(words)
    letters = byte_letters()
    pieces = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", "utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    _write_json(folder / "special_tokens_map.json", special)
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": CONTEXT_TOKENS, "do_lower_case": True}
    _write_json(folder / "tokenizer_config.json", config | special)
    CLIPTokenizerFast.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
