"""What text a pipeline's encoders read, and the names of its tokens.

Naming is a courtesy: it never disturbs the run, and where it fails tokens are only numbered and the run says why.
Names are certain where the text encoder's own input was seen, which is compared with what the tokenizer makes of the
text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from attnscope.atlas.families import Written
from attnscope.errors import ParameterError
from attnscope.recording.calling.told import Told
from attnscope.recording.calling.written import within
from attnscope.recording.tapping.watching import Hook
from attnscope.records import Run, Token
from attnscope.trace.tokens import Tokenized, are_named, tokenize, unnamed_tokens

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3", "bert")
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_MOST_SEEN = 64  # calls of text encoders in one call of a pipeline


class _UnnamedError(Exception):
    """Why tokens have no names."""


class Prompts:
    """Reads the texts of one pipeline's calls.

    Args:
        pipeline: The pipeline.
        told: What the user says of embeddings from elsewhere.
    """

    def __init__(self, pipeline: Any, told: Told = Told()) -> None:  # noqa: B008  (it never changes)
        self.pipeline, self.told = pipeline, told
        self._handles: list[Any] = []
        self._seen: deque[Tensor] = deque(maxlen=_MOST_SEEN)

    # What the encoders are given

    def attach(self, is_followed: Callable[[], bool]) -> None:
        """Watch what the text encoders are given. A compiled one is left alone.

        Args:
            is_followed: Whether what runs here and now is followed.
        """
        note = Hook(lambda *call: self._note(*call) if is_followed() else None)
        for name in _ENCODERS:
            encoder = getattr(self.pipeline, name, None)
            if isinstance(encoder, nn.Module) and not _is_compiled(encoder):
                self._handles.append(encoder.register_forward_pre_hook(note, with_kwargs=True))

    def detach(self) -> None:
        """Leave the text encoders as they were."""
        while self._handles:
            self._handles.pop().remove()
        self._seen.clear()

    def _note(self, encoder: nn.Module, args: tuple, kwargs: dict) -> None:
        ids = args[0] if args else kwargs.get("input_ids")
        if isinstance(ids, Tensor) and ids.ndim == 2:
            self._seen.append(ids)

    # Names

    def read(
        self, run: Run, arguments: Mapping[str, Any], *, images: int, keys: int, negative_keys: int | None
    ) -> None:
        """The pipeline has encoded its texts: note them and name their tokens.

        Args:
            run: Is told of texts and tokens.
            arguments: What the pipeline's `encode_prompt` got.
            images: How many images the run makes.
            keys: How many tokens the prompt's embeddings have.
            negative_keys: The same of the negative prompt's, None if it has none.
        """
        run.tokens = [unnamed_tokens(keys)] * images
        run.negative_tokens = [] if negative_keys is None else [unnamed_tokens(negative_keys)] * images
        copies = whole_number(arguments.get("num_images_per_prompt"))
        prompt, negative = arguments.get("prompt"), arguments.get("negative_prompt")
        is_encoded = arguments.get("prompt_embeds") is None
        negative_is_encoded = arguments.get("negative_prompt_embeds") is None
        if negative is None and negative_is_encoded and negative_keys is not None:
            negative = ""
        with noting_trouble(run):
            told = prompt if self.told.prompt is None else self.told.prompt
            run.prompts = per_image(told, images, copies)
            second = per_image(arguments.get("prompt_2"), images, copies)
            run.second_prompts = second if second != run.prompts else []
            self.name(run.prompts, run.tokens, keys, is_seen=is_encoded)
            run.second_tokens = self._second(run.second_prompts, keys, is_seen=is_encoded)
        with noting_trouble(run):
            told = negative if self.told.negative_prompt is None else self.told.negative_prompt
            run.negative_prompts = per_image(told, images, copies)
            if negative_keys is not None:
                self.name(
                    run.negative_prompts, run.negative_tokens, negative_keys, is_seen=negative_is_encoded
                )
                second = per_image(arguments.get("negative_prompt_2"), images, copies)
                run.second_negative_prompts = second if second != run.negative_prompts else []
                run.second_negative_tokens = self._second(
                    run.second_negative_prompts, negative_keys, is_seen=negative_is_encoded
                )
        self._seen.clear()

    def _second(self, texts: list[str], keys: int, *, is_seen: bool) -> list[tuple[Token, ...]]:
        """Tokens of texts that a second encoder read, whose features share the keys of the first one's."""
        tokens = [unnamed_tokens(keys)] * len(texts)
        with suppress(_UnnamedError):  # whoever asks for one of its words is told
            self.name(texts, tokens, keys, is_seen=is_seen, tokenizers=_TOKENIZERS[1:])
        return tokens

    def fit(self, run: Run, *, images: int, keys: int) -> None:
        """The model has run: what was not read yet is, and names that do not fit its keys are given up.

        Args:
            run: The run.
            images: How many images its batch has.
            keys: How many keys its cross-attention has.
        """
        if not run.tokens:  # the pipeline encodes nothing that was seen
            unseen = None if self._seen else self.told
            embeddings = {"prompt_embeds": unseen, "negative_prompt_embeds": unseen}
            is_told = self.told.negative_prompt is not None
            self.read(run, embeddings, images=images, keys=keys, negative_keys=keys if is_told else None)
        for tokens in (run.tokens, run.negative_tokens, run.second_tokens, run.second_negative_tokens):
            for image, of_image in enumerate(tokens):
                if len(of_image) == keys:
                    continue
                if are_named(of_image):
                    run.unnamed = f"cross-attention has {keys} keys and the text {len(of_image)} tokens"
                tokens[image] = unnamed_tokens(keys)

    def name(
        self,
        texts: list[str],
        tokens: list[tuple[Token, ...]],
        keys: int,
        *,
        is_seen: bool,
        tokenizers: Sequence[str] = _TOKENIZERS,
        written: Callable[[str], Written] = Written,
    ) -> None:
        """Fill in tokens for the texts of all images, and the texts as they were tokenized.

        Args:
            texts: One an image.
            tokens: One an image, changed in place.
            keys: How many tokens an image has.
            is_seen: Whether the encoders read the texts in this call, so that what they got is known.
            tokenizers: The pipeline's attributes that hold a tokenizer; the first that fits counts.
            written: How a text is written for the tokenizer, such as in a template.
        """
        if not texts:
            return
        if len(texts) != len(tokens):
            raise _UnnamedError(f"there are {len(texts)} texts for {len(tokens)} images")
        seen = {tuple(row) for ids in self._seen for row in ids.tolist()} if is_seen else set()
        known: dict[str, tuple[str, tuple[Token, ...]]] = {}
        for image, text in enumerate(texts):
            if text not in known:
                known[text] = self._named(text, keys, seen, tokenizers, written)
            texts[image], tokens[image] = known[text]

    def _named(
        self,
        text: str,
        keys: int,
        seen: set[tuple[int, ...]],
        names: Sequence[str],
        written: Callable[[str], Written],
    ) -> tuple[str, tuple[Token, ...]]:
        """The text as it was tokenized, and its tokens."""
        tokenizers = [found for name in names if (found := getattr(self.pipeline, name, None)) is not None]
        tokenizers = [
            found if hasattr(found, "is_fast") else getattr(found, "tokenizer", found) for found in tokenizers
        ]  # a processor has one
        if not tokenizers:
            raise _UnnamedError(f"{type(self.pipeline).__name__} has no tokenizer")
        if not seen and _is_longer(tokenizers[0], keys):
            raise _UnnamedError(
                f"the embeddings have {keys} tokens and {type(tokenizers[0]).__name__} makes "
                f"{tokenizers[0].model_max_length}: the text was encoded in parts, or a picture's tokens follow it "
                "(Redux)"
            )
        for tokenizer in tokenizers:
            for candidate in self._candidates(text, tokenizer):
                whole = written(candidate)
                read = candidate if whole.prompt is None else whole.prompt
                length = keys + len(whole.dropped)
                made = tokenize(tokenizer, whole.text, length, is_complete=whole.is_complete)
                if not seen:
                    _check_fits(tokenizer, made.is_cut, keys)
                if not seen or _was_read(made, seen):
                    return read, within(made.tokens, whole, len(read))
        if not text:  # a pipeline may take zeros for the embeddings of no text
            return text, unnamed_tokens(keys)
        raise _UnnamedError("the text encoder read other tokens than the tokenizer makes of the text")

    def _candidates(self, text: str, tokenizer: Any) -> Iterator[str]:
        """What a pipeline may make of a text before it is tokenized."""
        convert = getattr(
            self.pipeline, "maybe_convert_prompt", None
        )  # textual inversion's names written out
        yield convert(text, tokenizer) if convert is not None else text
        clean = getattr(self.pipeline, "_text_preprocessing", None)  # DeepFloyd IF
        if clean is not None:
            yield from clean(text)
            yield from clean(text, clean_caption=True)


class noting_trouble:
    """Whatever goes wrong inside is written down in the run, which goes on.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        said = isinstance(error, (_UnnamedError, ParameterError))
        why = str(error) if said else f"naming failed: {type(error).__name__}: {error}"
        self.run.unnamed = self.run.unnamed or why.split("\n")[0][:400]
        return True


def per_image(prompt: Any, images: int, copies: int) -> list[str]:
    """One text for each image. A pipeline repeats each prompt `copies` times in a row.

    Args:
        prompt: One or several, None for none.
        images: How many images there are.
        copies: How many images each prompt has.
    """
    if prompt is None:
        return []
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not all(isinstance(text, str) for text in prompts):
        raise _UnnamedError(f"the prompt is not a text: {prompt!r:.100}")
    if len(prompts) == images:
        return prompts
    if len(prompts) == 1:
        copies = images
    return [text for text in prompts for _ in range(copies)]


def whole_number(value: Any) -> int:
    """A number of copies, 1 where nothing is said.

    Args:
        value: As a pipeline got it.
    """
    return value if isinstance(value, int) and value > 0 else 1


def _is_compiled(module: nn.Module) -> bool:
    compiled = getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
    return compiled or isinstance(module, torch.jit.ScriptModule)


def _was_read(made: Tokenized, seen: Collection[tuple[int, ...]]) -> bool:
    """Whether an encoder read a text: filled up, or not since what is encoded is, or as a part of what it read."""
    if made.ids in seen:
        return True
    bare = tuple(made.ids[token.index] for token in made.tokens if token.role != "padding")
    count = len(made.ids)
    parts = (row[at : at + count] for row in seen for at in range(len(row) - count + 1))
    return bare in seen or any(part == made.ids for part in parts)


def _is_longer(tokenizer: Any, keys: int) -> bool:
    return keys > getattr(tokenizer, "model_max_length", keys)


def _check_fits(tokenizer: Any, is_cut: bool, keys: int) -> None:
    """A text may be cut at the tokenizer's own length, where every pipeline cuts it, and nowhere else."""
    if is_cut and keys != tokenizer.model_max_length:
        raise _UnnamedError(f"the text has more tokens than the {keys} of its embeddings")
