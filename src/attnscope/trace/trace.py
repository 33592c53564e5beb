"""What a capture gives back: Q and K of every layer and step, and exact probabilities on demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from attnscope.errors import SelectionError
from attnscope.records import Kind, Layer
from attnscope.records.qkv import Record
from attnscope.spelling import both_spellings
from attnscope.storage.saving import save_passes
from attnscope.trace.asking import ask, pick_call
from attnscope.trace.contents import Pass
from attnscope.trace.facts import short_facts, trace_facts
from attnscope.trace.html import trace_html
from attnscope.trace.named import named_tensor
from attnscope.trace.outputs import Outputs
from attnscope.trace.query import Query, answer, check_into


class Trace(Outputs):
    """The attention of a run: ask by layer, step, branch, image, head, query and token.

    A trace fills while the capture runs and stays readable afterwards. After an exception it holds the steps that were
    complete. It needs neither the model nor a GPU.

    A capture that sees several calls of a pipeline gives a trace of several `passes`, each a trace by itself. A
    question to the whole then raises SelectionError, which lists them.

    Args:
        passes: What there is of each pass.
        coming: Stands for the first pass until that begins.
    """

    def __init__(self, *passes: Pass, coming: Pass | None = None) -> None:
        self._passes = list(passes)
        self._coming = coming or Pass()

    # Passes

    @property
    def passes(self) -> tuple[Trace, ...]:
        """Every pass as a trace of its own, in the order in which they ran."""
        return (self,) if len(self._passes) == 1 else tuple(Trace(contents) for contents in self._passes)

    def begin_pass(self, contents: Pass) -> None:
        """Add a pass, which has just begun.

        Args:
            contents: The pass.
        """
        self._passes.append(contents)

    def drop_pass(self) -> None:
        """Take away the last pass: it was another thread's run."""
        self._passes.pop()

    @property
    def _only(self) -> Pass:
        if not self._passes:
            return self._coming
        if len(self._passes) > 1:
            listed = "; ".join(f"trace.passes[{at}] is {trace!r}" for at, trace in enumerate(self.passes))
            raise SelectionError(
                f"this trace has {len(self._passes)} passes: say which one is meant. {listed}"
            )
        return self._passes[0]

    def record(self, *, block: int, kind: Kind, step: int | None = None, call: int | None = None) -> Record:
        """Q and K of one layer in one call, as the model computed them, with V and the mask if there are any.

        Args:
            block: Block number, from 1.
            kind: 'self' or 'cross'.
            step: Step number. Default: the first in the trace.
            call: Which call of the step, from 0. Default: the one that predicts the noise.

        Raises:
            SelectionError: The trace lacks the layer, the step or the call, or the layer did not run there.
        """
        layer, of_step = self.layer(block, kind), pick_call(self, step, call)
        if not self.records.has(of_step.index, layer.record_id):
            raise SelectionError(
                f"step {of_step.step} has no record of {layer.id}: that layer did not run there"
            )
        return self.records.get(of_step.index, layer.record_id)

    # Probabilities

    @both_spellings("step", "branch", "image", "head", "token")
    def probabilities(
        self,
        *,
        block: int | None = None,
        kind: Kind | None = None,
        layer: int | tuple[int, str] | str | Layer | None = None,
        step: int | Sequence[int] | slice | None = None,
        call: int | None = None,
        branch: str | Sequence[str] | None = None,
        image: int | Sequence[int] | None = None,
        head: int | Sequence[int] | slice | None = None,
        query: Any = None,
        key: Any = None,
        token: int | str | Sequence[int] | slice | None = None,
        part: str | None = None,
        relation: str | None = None,
        mean: str | Iterable[str] = (),
        into: Tensor | None = None,
        named: bool = False,
        before_edits: bool = False,
    ) -> Any:
        """Exact attention probability of one layer; only what is asked for is computed.

        The axes are (step, branch, image, head, query, key). A choice by a single number drops its axis, and so does
        a mean; nothing else does. Without any choice, `.reshape(-1, queries, keys)` has the model's own leading
        axis, branch x image x head, step after step.

        Args:
            block: Block number, from 1; with kind it says which layer.
            kind: "self", "cross" or a rarer one, see `attnscope.records.Kind`.
            layer: In place of block and kind: an entry of `trace.layers`, or whatever `trace.layers[...]` takes.
            step: Step numbers, as in `trace.steps`.
            call: Which call of each step, from 0; by default the one that predicts the noise.
            branch: Guidance branches, such as "cond".
            image: Numbers of images in the batch.
            head: Head numbers.
            query: (row, column), a flat index, a list of those, a slice, or a boolean region of the grid.
            key: The same for self-attention; token numbers for cross-attention.
            token: Cross-attention only: a number, several, or a word (all its tokens, axis kept) of the text that the
                chosen branch reads. Where several are chosen, each must have the word at the same numbers.
            part: Where keys come from several sources, the one that is meant: "own", "reference", "context" ..., see
                `Layer.parts`. Shares stay those of a softmax over all keys.
            relation: The part of the attention that is meant, queries first: "image->text", "image->image",
                "text->image", "text->text" of a joint attention. Queries and keys then count that part's own, and
                shares stay those of a softmax over all keys. A U-Net's attn1 is "image->image", attn2 "image->text".
            mean: Axes to average, of "step", "branch", "image", "head", "query". A mean over heads or queries is
                computed in tiles, never through (head, query, key). A mean over steps leaves out those that lack the
                layer or a branch, with a PartialMeanWarning.
            into: A tensor of the answer's shape, to which the answer is added and which is returned: sums over
                layers without a second array. Step, branch and image must be single or averaged then.
            named: Give a `NamedTensor`, which knows its axes and turns into an xarray.DataArray.
            before_edits: P as it was before `attnscope.edit` changed it; by default as it was used.

        Returns:
            float32 on the record's device, 0..1; rows sum to 1 over all keys, unless an edit left it otherwise.

        Raises:
            SelectionError: The trace lacks something that was chosen.
            ParameterError: An axis of mean is unknown, or into can't hold the answer.
        """
        asked = ask(
            self,
            layer=layer,
            block=block,
            kind=kind,
            step=step,
            call=call,
            branch=branch,
            image=image,
            head=head,
            query=query,
            key=key,
            token=token,
            part=part,
            relation=relation,
            mean=mean,
            before_edits=before_edits,
        ).over_steps_with(self.records.has)
        if into is not None:
            check_into(asked, into)
        tensor = answer(asked, self.records, into)
        return named_tensor(tensor, asked, self._texts(asked)) if named else tensor

    def _texts(self, asked: Query) -> Sequence[str]:
        """Texts of the keys, where all rows that go into an answer read the same ones."""
        texts = {
            tuple(token.text for token in self.tokens(asked.images[image], asked.branches[branch]))
            for branch in asked.picks["branch"].positions
            for image in asked.picks["image"].positions
        }
        return texts.pop() if len(texts) == 1 else ()

    # Files and faces

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the trace as a folder (docs/trace-format.md), whole or not at all, and return its path.

        Args:
            folder: Where to write.
            overwrite: Replace an older trace. Anything else that is there is left alone.

        Raises:
            OutputError: Something is there already, or the folder can't be written.
            SelectionError: Nothing has run.
        """
        if not self._passes:
            raise SelectionError("there is nothing to save: the model has not run inside the capture")
        passes = [(contents.records, contents.run, contents.reduced) for contents in self._passes]
        return save_passes(passes, folder, overwrite=overwrite)

    def facts(self) -> dict[str, Any]:
        """Everything about a trace of one pass except its tensors and pictures, as plain values for JSON."""
        return trace_facts(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return "".join(trace_html(trace) for trace in self.passes)

    def __repr__(self) -> str:
        if not self._passes:
            return "<Trace: nothing has run yet>"
        if len(self._passes) > 1:
            return f"<Trace of {len(self._passes)} passes: {', '.join(map(repr, self.passes))}>"
        return short_facts(self)
