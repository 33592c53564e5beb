"""A trace as if its cross-attention had read another text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from attnscope.errors import ParameterError, SelectionError
from attnscope.records import TEXT_KINDS, Call, Layer, LayerId, Run, Token
from attnscope.records.qkv import Record
from attnscope.records.reduced import ReducedMaps
from attnscope.storage.memory import NO_OUTPUTS, Outputs, Projections, Records
from attnscope.trace.contents import Pass
from attnscope.trace.files import TraceSource, as_trace
from attnscope.trace.rereading.encoding import encode, readers_of
from attnscope.trace.rereading.fitting import Fitting
from attnscope.trace.trace import Trace


def reread(
    trace: TraceSource,
    text: str,
    *,
    pipe: Any = None,
    tokenizer: Any = None,
    text_encoder: Any = None,
) -> Trace:
    """A trace as if its cross-attention had read another text: the same queries, with that text's keys.

    The picture was not made with the text: this says where its places would look in it. All questions can be asked,
    of the text's words; shares are among the text's own tokens with start and end, and without padding.

    Args:
        trace: From `attnscope.capture(..., open_words=True)`, or its folder.
        text: Any text that the text encoders read whole.
        pipe: The pipeline of the run, for its tokenizers and text encoders.
        tokenizer: In place of `pipe`: the tokenizer, or a list of two for SDXL.
        text_encoder: In place of `pipe`: the text encoder, or a list of two.

    Returns:
        A trace that reads Q from the given one. Its branches differ in Q alone: each reads the text.

    Raises:
        SelectionError: The trace holds no key projections.
        ParameterError: The encoders are not those of the run, or of no known kind.
        WordError: The text is empty, or longer than the encoders read.

    Warns:
        OtherPromptWarning: The encoders are the run's by the start token, but not by its prompt.

    Cost: a few runs of the text encoder and a small product a layer.
    Source: Marcos-Manchón et al. 2024 (OVAM). Differs: the conditional branch by default, where theirs reads row 0.

    >>> import attnscope
    >>> pipe = attnscope.load_pipeline("demo")
    >>> pipe.set_progress_bar_config(disable=True)
    >>> with attnscope.capture(pipe, kind="cross", open_words=True) as trace:
    ...     result = pipe("a red house", num_inference_steps=2)
    >>> other = attnscope.reread(trace, "green grass", pipe=pipe)
    >>> [attnscope.heat_map(other, word).word for word in other.words()]
    ['green', 'grass']
    >>> other.layer(7, "cross").keys
    4
    """
    asked = as_trace(trace)
    if not asked.calls:
        raise SelectionError("this trace holds no Q and K yet: read other words when the pipeline has run")
    if not asked.records.projections:
        raise SelectionError(
            "this trace does not hold how its layers turn a text into keys: capture with open_words=True, "
            "`capture(pipe, open_words=True)`, to read words that are not in the prompt"
        )
    readers = readers_of(pipe, tokenizer, text_encoder)
    encoded = encode(text, readers)
    keys = Fitting(asked, readers).keys(encoded)
    records = RereadRecords(asked.records, keys, len(encoded.tokens))
    return Trace(Pass(records, _run_with(asked.run, encoded.text, encoded.tokens)))


def _run_with(run: Run, text: str, tokens: tuple[Token, ...]) -> Run:
    """The run with another text in all its branches."""
    images = max(1, len(run.tokens))
    return replace(
        run,
        prompts=[text] * images,
        negative_prompts=[text] * images,
        tokens=[tokens] * images,
        negative_tokens=[tokens] * images,
        second_prompts=[],
        second_tokens=[],
        second_negative_prompts=[],
        second_negative_tokens=[],
        unnamed=None,
    )


class RereadRecords:
    """Records whose cross-attention has another text's keys. Nothing can be added.

    Args:
        records: Those of the run.
        keys: K of the text, by layer.
        tokens: How many tokens it has.
    """

    def __init__(self, records: Records, keys: Mapping[LayerId, Tensor], tokens: int) -> None:
        self._records, self._keys = records, keys
        self.calls: list[Call] = list(records.calls)
        self.layers: dict[LayerId, Layer] = {
            name: replace(layer, keys=tokens) if name in keys else layer
            for name, layer in records.layers.items()
            if name in keys or name.kind not in TEXT_KINDS
        }
        self.outputs = records.outputs
        self.projections: Projections = records.projections

    def has(self, call_index: int, what: LayerId | str) -> bool:
        """Whether there is the record of a layer, or the output of a module, in a call.

        Args:
            call_index: Number of the call in its pass.
            what: The layer, or the module's path.
        """
        return (what in self.layers or what in self.outputs) and self._records.has(call_index, what)

    def output(self, call_index: int, path: str) -> Tensor:
        """What a module gave in a call of the run, whose own text it read.

        Args:
            call_index: Number of the call in its pass.
            path: The module's path.
        """
        return self._records.output(call_index, path)

    def get(self, call_index: int, layer: LayerId) -> Record:
        """The record of a layer in a call, with the text's keys.

        Args:
            call_index: Number of the call in its pass.
            layer: The layer.

        Raises:
            SelectionError: The layer had a mask that says which places may see which tokens.
        """
        record = self._records.get(call_index, layer)
        if layer not in self._keys:
            return record
        if record.mask is not None and record.mask.shape[-2] > 1:
            raise SelectionError(
                f"{layer} had a mask that says which places see which tokens of the prompt, so none for another text: "
                "choose other blocks, or capture a run without regions"
            )
        query = record.query
        key = self._keys[layer].to(query).expand(query.shape[0], -1, -1, -1)
        return replace(record, key=key, value=None, mask=None, edited=None)

    def add_call(self, call: Call, records: dict[LayerId, Record], outputs: Outputs = NO_OUTPUTS) -> None:
        """Refuse: what a run computed is added to its own trace.

        Args:
            call: A call.
            records: Its records.
            outputs: Its outputs.

        Raises:
            ParameterError: Always.
        """
        raise ParameterError("a trace that is read with another text takes no more records")

    def keep_projections(self, projections: Projections) -> None:
        """Keep other projections.

        Args:
            projections: By layer.
        """
        self.projections = projections

    def finish(self, reduced: Mapping[str, ReducedMaps]) -> None:
        """Nothing is left to do.

        Args:
            reduced: The maps reduced over the pass.
        """
