"""An attnscope trace of what was seen of a run: the same records that `attnscope.capture` makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnscope.errors import CaptureError
from attnscope.records import Call, Layer, LayerId, Run
from attnscope.records.qkv import Record
from attnscope.storage.memory import bytes_of
from attnscope.storage.opening import open_store
from attnscope.trace.contents import Pass
from attnscope.trace.trace import Trace

from .conditioning import Text, tokens_for
from .seen import SeenCall
from .sites import Site, SiteKey

UNNAMED = "Capture attention got no CLIP and text, or another text than this branch reads"


@dataclass(frozen=True)
class Facts:
    """What is known of a run before its first step.

    Attributes:
        positive: The text of the positive conditioning, None if unknown.
        negative: The text of the negative one.
        has_negative: Whether rows of the negative one may be kept.
        images: Pictures in the batch.
        latent_size_hw: (height, width) of the latent.
        planned_steps: How many steps the sampler is to take.
        sampler: Its name, None if unknown.
        seed: The seed.
        guidance_scale: CFG.
        versions: Version of ComfyUI, if known.
    """

    positive: Text | None
    negative: Text | None
    has_negative: bool
    images: int
    latent_size_hw: tuple[int, int]
    planned_steps: int
    sampler: str | None
    seed: int | None
    guidance_scale: float | None
    versions: dict[str, str]


class TraceWriter:
    """Puts the calls of one run into a trace.

    Args:
        facts: What is known of the run.
        budget: Bytes of memory for Q and K; older calls go to a temporary folder.
    """

    def __init__(self, facts: Facts, budget: int) -> None:
        self._facts, self._budget = facts, budget
        self._store = open_store(None, budget)
        self._run = _run_of(facts)
        self._records = self._store.begin_pass(self._run)

    def add(self, step: int, seen: SeenCall, *, extra: bool = False) -> None:
        """Take one call of the model.

        Args:
            step: The step that it belongs to, from 0.
            seen: What it left.
            extra: Whether it looks again at what the step has been predicted from.

        Raises:
            CaptureError: A layer has other shapes than in an earlier call, or the budget is too small.
        """
        records: dict[LayerId, Record] = {}
        for key, record in seen.records.items():
            layer = self._layer(key, seen.expected[key], record, seen)
            records[layer.id] = record
        self._check_budget(records)
        self._name_tokens(records)
        call = Call(len(self._records.calls), step, seen.timestep, seen.rows, extra=extra)
        self._records.add_call(call, records)

    def finish(self) -> Trace:
        """The trace of all calls.

        Raises:
            CaptureError: There were none.
        """
        if not self._records.calls:
            raise CaptureError(
                "no step of this run was kept: it has fewer steps than the number in steps of Capture attention, or "
                "no row of the branch that is kept"
            )
        self._records.finish({})
        self._store.close()
        return Trace(Pass(self._records, self._run))

    def drop(self) -> None:
        """The run failed: forget its calls."""
        self._store.drop_pass()
        self._store.close()

    def _layer(self, key: SiteKey, site: Site, record: Record, seen: SeenCall) -> Layer:
        layer = Layer(
            site.block,
            site.kind,
            site.path,
            site.stage,
            seen.grids[key],
            site.heads,
            site.head_dim,
            keys=record.key.shape[2],
            batch=self._facts.images,
            branches=len(seen.rows) // self._facts.images,
        )
        known = self._records.layers.setdefault(layer.id, layer)
        if (known.grid, known.keys) != (layer.grid, layer.keys):
            raise CaptureError(
                f"{key} has {layer.keys} keys on a {layer.grid} grid, and had {known.keys} on {known.grid} before: "
                "the prompts have different lengths and ran one after the other; keep the branch cond only, or make "
                "both prompts equally long"
            )
        return known

    def _check_budget(self, records: dict[LayerId, Record]) -> None:
        needed = 2 * bytes_of(records)  # a call and the copy of it that is written
        if needed > self._budget:
            raise CaptureError(
                f"one call of the model takes {needed / 1e9:.3g} GB while it is written, and max_gb is "
                f"{self._budget / 1e9:.3g}: give more, or keep less (kinds, blocks, branches)"
            )

    def _name_tokens(self, records: dict[LayerId, Record]) -> None:
        keys = next((record.key.shape[2] for layer, record in records.items() if layer.kind == "cross"), None)
        if keys is None or self._run.tokens:
            return
        facts, run = self._facts, self._run
        run.tokens = [tokens_for(facts.positive, keys)] * facts.images
        if facts.has_negative:
            run.negative_tokens = [tokens_for(facts.negative, keys)] * facts.images


def _run_of(facts: Facts) -> Run:
    positive, negative = facts.positive, facts.negative
    return Run(
        pipeline="ComfyUI",
        scheduler=facts.sampler,
        prompts=[] if positive is None else [positive.prompt] * facts.images,
        negative_prompts=[]
        if negative is None or not facts.has_negative
        else [negative.prompt] * facts.images,
        unnamed=UNNAMED if positive is None or (facts.has_negative and negative is None) else None,
        seed=facts.seed,
        guidance_scale=facts.guidance_scale,
        latent_size_hw=facts.latent_size_hw,
        planned_steps=facts.planned_steps,
        versions=facts.versions,
    )


def with_pictures(trace: Trace, pictures: Sequence[Any]) -> Trace:
    """The same trace with the pictures that its run became; Q and K are shared.

    Args:
        trace: A trace of one run.
        pictures: One an image, of one size.
    """
    width, height = pictures[0].size
    run = replace(trace.run, pictures=list(pictures), image_size_hw=(height, width))
    return Trace(Pass(trace.records, run))
