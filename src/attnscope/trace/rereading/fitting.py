"""Which of the text encoders' layers a run read, told by the keys that it has of its own text."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnscope.errors import ParameterError, WordError
from attnscope.records import Call, LayerId
from attnscope.records.run import text_of_branch
from attnscope.storage.memory import Projections
from attnscope.trace.rereading.encoding import Encoded, Reader, States, encode
from attnscope.trace.rereading.projecting import keys_of
from attnscope.trace.texts import read_text
from attnscope.trace.tokens import are_named
from attnscope.trace.trace import Trace

_ROUNDING = {torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""What keys may be off, relative to the longest: encoder and layer in half precision, or on another machine."""
_EXACT = 5e-3
Keys = dict[LayerId, Float[Tensor, "head token dim"]]


class OtherPromptWarning(UserWarning):
    """The run's own prompt has other keys than the text encoder makes of it, as prompts with weights have."""


class _Known(NamedTuple):
    """A text that a row of the run read, as the encoders read it, and the row."""

    call: Call
    row: int
    encoded: Encoded


class Fitting:
    """Finds a text's keys in the layer of the encoders that a run read.

    Args:
        trace: The run's, with key projections.
        readers: The tokenizers and text encoders.
    """

    def __init__(self, trace: Trace, readers: Sequence[Reader]) -> None:
        self._trace, self._readers = trace, readers
        self._projections: Projections = dict(trace.records.projections)

    def keys(self, encoded: Encoded) -> Keys:
        """K of a text in every layer, in float32.

        Args:
            encoded: The text, as the same encoders read it.

        Raises:
            ParameterError: The run did not read what these encoders make.

        Warns:
            OtherPromptWarning: It did of the start token, but not of its prompt.
        """
        widths = {of.weight.shape[1] for of in self._projections.values()}
        fitting = [at for at, states in enumerate(encoded.states) if {states.shape[-1]} == widths]
        if not fitting:
            raise _of_other_width(widths, encoded.states)
        best = min(fitting, key=lambda at: self._of_own_text(at, self._ends)) if self._known else None
        if best is None or self._of_own_text(best, self._every) > 1:
            has_own = best is not None
            best = min(fitting, key=lambda at: self._of_start(encoded, at, self._ends))
            self._check_start(self._of_start(encoded, best, self._every), has_own=has_own)
        return self._project(encoded.states[best], self._every)

    def _check_start(self, off: float, *, has_own: bool) -> None:
        if off > 1:
            raise ParameterError(
                "the text encoder makes other states than the run read: the keys of its start token, which "
                f"are the same for every text, differ by {off:.3g} times what rounding explains. "
                "Give the run's own pipeline, with its LoRAs and their scale; a run with zeros or embeddings "
                "from elsewhere in place of a prompt can't be compared: capture one with a prompt"
            )
        if has_own:
            warnings.warn(
                "the run's prompt has other keys than this text encoder makes of it, and only the start token has the "
                "same: right for embeddings with weights; otherwise give the run's own pipeline, with its LoRAs",
                OtherPromptWarning,
                stacklevel=5,
            )

    @property
    def _every(self) -> Sequence[LayerId]:
        return list(self._projections)

    @property
    def _ends(self) -> Sequence[LayerId]:
        """The first and the last layer, which tell the encoders' layers apart."""
        return list({self._every[0]: None, self._every[-1]: None})

    def _project(self, states: States, of_layers: Sequence[LayerId]) -> Keys:
        on_host = states.detach().float().cpu()
        layers = self._trace.records.layers
        return {layer: keys_of(self._projections[layer], on_host, layers[layer].heads) for layer in of_layers}

    @cached_property
    def _known(self) -> list[_Known]:
        """Texts of the run's first call that are known, encoded anew; not where encoders read different ones."""
        run = self._trace.run
        if run.second_prompts or run.second_negative_prompts or not self._trace.calls:
            return []
        return list(self._encoded(self._first))

    @property
    def _first(self) -> Call:
        """The first call that reads a prompt, or the first."""
        calls = self._trace.calls
        return next((call for call in calls if call.has("cond")), calls[0])

    def _encoded(self, call: Call) -> Iterator[_Known]:
        done: set[str] = set()
        for at in _conditional(call):
            row = call.rows[at]
            read = read_text(self._trace.run, row.branch, row.image)
            if read.text and are_named(read.tokens) and read.text not in done:
                done.add(read.text)
                try:
                    yield _Known(call, at, encode(read.text, self._readers))
                except WordError:  # it was cut off
                    continue

    def _of_own_text(self, at: int, layers: Sequence[LayerId]) -> float:
        """How far the run's own keys are from those that a layer of the encoders makes of its texts; 1 is allowed."""
        return max(
            self._off(known.call, layer, keys, [known.row], known.encoded.dtype)
            for known in self._known
            for layer, keys in self._project(known.encoded.states[at], layers).items()
        )

    def _of_start(self, encoded: Encoded, at: int, layers: Sequence[LayerId]) -> float:
        """The same of the start token alone, by the row that is nearest."""
        first = self._first
        start = self._project(encoded.states[at][:1], layers)
        rows = _conditional(first)
        return max(self._off(first, layer, keys, rows, encoded.dtype) for layer, keys in start.items())

    def _off(
        self, call: Call, layer: LayerId, keys: Tensor, rows: Sequence[int], dtype: torch.dtype
    ) -> float:
        if not self._trace.records.has(call.index, layer):
            return 0.0
        record = self._trace.records.get(call.index, layer)
        there = [place for row in rows if (place := record.place_of(row)) is not None]
        if not there:
            return 0.0
        used = record.key.detach()[there][:, :, : keys.shape[1]].float().cpu().transpose(1, 2).flatten(2)
        made = keys.transpose(0, 1).flatten(1)[: used.shape[1]]
        off = (used - made).norm(dim=-1).amax(1) / made.norm(dim=-1).amax().clamp(min=1e-30)
        allowed = max(_ROUNDING.get(kind, _EXACT) for kind in (record.key.dtype, dtype))
        return float(off.amin()) / allowed


def _conditional(call: Call) -> Sequence[int]:
    """The rows that read prompts, or all if none does: pipelines apply clip_skip to prompts alone."""
    rows = range(len(call.rows))
    return [row for row in rows if text_of_branch(call.rows[row].branch) == "prompt"] or rows


def _of_other_width(widths: set[int], states: Sequence[Any]) -> ParameterError:
    wanted, there = sorted(widths), sorted({of_layer.shape[-1] for of_layer in states})
    return ParameterError(
        f"the text encoders give {' or '.join(map(str, there))} numbers a token, and the run's layers read "
        f"{' and '.join(map(str, wanted))}: give the run's own pipeline, or all of its text encoders"
    )
