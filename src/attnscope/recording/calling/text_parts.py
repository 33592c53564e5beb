"""The texts of a transformer's call, encoder after encoder: which words its tokens are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from attnscope.atlas.families import TextPart, Written
from attnscope.recording.calling.callers import Asking
from attnscope.recording.calling.pipeline_call import PipelineCall
from attnscope.recording.calling.prompts import Prompts, noting_trouble, per_image, whole_number
from attnscope.records import Row, Run, Token
from attnscope.records.run import TextName, text_of_branch
from attnscope.trace.tokens import are_named, unnamed_tokens

Parts = Sequence[tuple[TextPart, int, int]]
"""The parts of a conditioning, each with its number of tokens, and how many its encoder gave."""


def read_text_parts(
    prompts: Prompts, call: PipelineCall, texts: Sequence[TextPart], asked: Asking, rows: Sequence[Row]
) -> None:
    """Note the texts that a call of the model reads, each once: some pipelines call it for one branch at a time.

    Args:
        prompts: Names tokens.
        call: The pipeline's call; its run is told.
        texts: The parts of the family's conditioning.
        asked: What the model is called with.
        rows: The rows of its batch.
    """
    assert asked.attended is not None
    assert asked.caller is not None
    counts = dict(asked.attended.tokens_of(["context"]))
    encoded = asked.attended.encoded
    parts = [
        (part, counts[part.name], encoded.get(part.name, counts[part.name]))
        for part in texts
        if part.name in counts
    ]
    for branch in dict.fromkeys(row.branch for row in rows):
        name = text_of_branch(branch)
        if name is not None and name not in call.texts_read:
            call.texts_read.add(name)
            images = sum(row.branch == branch for row in rows)
            _read(prompts, call.run, name, asked.caller.variables, parts, images)


def _read(
    prompts: Prompts, run: Run, name: TextName, variables: Mapping[str, Any], parts: Parts, images: int
) -> None:
    is_prompt = name == "prompt"
    told = prompts.told.prompt if is_prompt else prompts.told.negative_prompt
    copies = whole_number(variables.get("num_images_per_prompt", variables.get("num_videos_per_prompt")))
    tokens = second = [unnamed_tokens(sum(count for _, count, _ in parts))] * images
    texts, others = list[str](), list[str]()
    with noting_trouble(run):
        start = 0
        for part, count, encoded in parts:
            text = _text(part, prompts.pipeline, variables, is_prompt=is_prompt) if told is None else told
            of_part, named = per_image(text, images, copies), [unnamed_tokens(encoded)] * images
            if of_part:
                prompts.name(
                    of_part,
                    named,
                    encoded,
                    is_seen=told is None,
                    tokenizers=part.tokenizers,
                    written=_writing(part, prompts.pipeline, variables, is_prompt=is_prompt),
                )
            named = [_of_length(some, count) for some in named]
            if texts and of_part not in (texts, []):
                others, second = of_part, _all_with(second, start, named)
            else:
                texts, tokens = texts or of_part, _all_with(tokens, start, named)
            start += count
    negative = "" if is_prompt else "negative_"
    setattr(run, f"{negative}prompts", texts)
    setattr(run, f"{negative}tokens", tokens)
    setattr(run, f"second_{negative}prompts", others)
    setattr(run, f"second_{negative}tokens", second if others else [])


def _text(part: TextPart, pipeline: Any, variables: Mapping[str, Any], *, is_prompt: bool) -> Any:
    """What a part's encoder reads, None without an encoder; no negative prompt is an empty one."""
    if part.encoder and getattr(pipeline, part.encoder, None) is None:
        return None
    names = part.prompts if is_prompt else tuple(f"negative_{name}" for name in part.prompts)
    given = (variables.get(name) for name in names)
    return next((found for found in given if found is not None), None if is_prompt else "")


def _writing(
    part: TextPart, pipeline: Any, variables: Mapping[str, Any], *, is_prompt: bool
) -> Callable[[str], Written]:
    """How the pipeline writes a text of a part for its tokenizer."""
    write = part.write
    return Written if write is None else lambda text: write(pipeline, variables, text, is_prompt)


def _of_length(tokens: tuple[Token, ...], count: int) -> tuple[Token, ...]:
    """As many tokens as all texts of the run have places: those past the end of a text are padding."""
    if not are_named(tokens):
        return unnamed_tokens(count)
    more = (Token(index, "", 0, 0, "padding") for index in range(len(tokens), count))
    return (*tokens[:count], *more)


def _all_with(
    wholes: list[tuple[Token, ...]], start: int, parts: list[tuple[Token, ...]]
) -> list[tuple[Token, ...]]:
    return [_with(whole, start, part) for whole, part in zip(wholes, parts, strict=True)]


def _with(whole: tuple[Token, ...], start: int, part: tuple[Token, ...]) -> tuple[Token, ...]:
    """Tokens with some of them replaced from a number on."""
    moved = tuple(
        replace(
            token,
            index=start + token.index,
            text=token.text if are_named(part) else f"[{start + token.index}]",
        )
        for token in part
    )
    return (*whole[:start], *moved, *whole[start + len(part) :])
