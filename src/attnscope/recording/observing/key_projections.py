"""How each cross-attention makes its keys of the text: read while it first runs, and compared in every call.

A linear layer's weights are read as they are. Whatever else stands in its place (a LoRA, weights in fewer bits, weights
that are elsewhere until they are used) is asked what it makes of each single number of a state, which tells all that is
linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnscope.errors import CaptureError
from attnscope.recording.planning.modules import TappedLayer
from attnscope.recording.tapping.attention import ordinary_tensors
from attnscope.records import LayerId
from attnscope.records.projections import KeyProjection
from attnscope.records.qkv import Record
from attnscope.trace.rereading.projecting import normed

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ROUNDING = {torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""What keys may be off, relative to the longest; 5e-3 for others, since a GPU may multiply float32 in fewer bits."""
_WITHOUT = "capture without open_words=True"


class _Sample(NamedTuple):
    """One number a token that tells whether keys are a projection's: a sum of the key's numbers with random signs."""

    signs: Tensor
    direction: Tensor
    offset: float

    @classmethod
    def of(cls, projection: KeyProjection) -> _Sample:
        drawn = torch.randint(0, 2, (projection.weight.shape[0],), generator=torch.Generator().manual_seed(0))
        signs = (2 * drawn - 1).float()
        offset = 0.0 if projection.bias is None else float(signs @ projection.bias.float())
        return cls(signs, signs @ projection.weight.float(), offset)

    def to(self, device: torch.device) -> _Sample:
        return _Sample(self.signs.to(device), self.direction.to(device), self.offset)


class KeyProjections:
    """The key projections of a pass."""

    def __init__(self) -> None:
        self.known: dict[LayerId, KeyProjection] = {}
        """By layer, those that were read."""
        self._layers: dict[LayerId, TappedLayer] = {}
        self._samples: dict[LayerId, _Sample] = {}
        self._states: dict[str, Tensor] = {}
        self._gaps: dict[LayerId, Tensor] = {}

    def note_states(self, path: str, context: Any) -> None:
        """An attention is about to run.

        Args:
            path: Its module's path.
            context: What it gets to look at: the text's states, before those of an IP-Adapter's pictures if any.
        """
        states = context[0] if isinstance(context, (tuple, list)) else context
        if isinstance(states, Tensor):
            self._states[path] = states.detach()

    def look(self, tapped: TappedLayer, record: Record) -> None:
        """An attention has run: read its projection, if that is not known, and see whether its keys are those.

        Args:
            tapped: Its layer.
            record: What it computed, of all rows.

        Raises:
            CaptureError: Its projection can't be read, or its keys have another number.
        """
        states, layer = self._states.pop(tapped.path, None), tapped.layer
        if states is None or record.key.is_meta:
            raise CaptureError(
                f"{_name(tapped)}: no states of a text were seen, so its keys belong to no text; {_WITHOUT}"
            )
        with ordinary_tensors(), torch.no_grad():
            if layer not in self.known:
                self._read(tapped, states, record.key)
            gap = _gap(tapped, self.known[layer], self._samples[layer], states, record.key)
            self._gaps[layer] = torch.maximum(gap, self._gaps[layer]) if layer in self._gaps else gap

    def _read(self, tapped: TappedLayer, states: Tensor, key: Tensor) -> None:
        """Keep the projection; of a layer with two, fused and apart, the one that made the keys."""
        read = [(of, _Sample.of(of).to(key.device)) for of in read_projections(tapped, states)]
        if len(read) > 1:
            read.sort(key=lambda pair: float(_gap(tapped, pair[0], pair[1], states, key)))
        self.known[tapped.layer], self._samples[tapped.layer] = read[0]
        self._layers[tapped.layer] = tapped

    def check(self) -> None:
        """Look at the layers of the first call.

        Raises:
            CaptureError: The keys of one are not what its projection makes.
        """
        for layer in self._off():
            raise CaptureError(_otherwise(self._layers[layer]))

    def why_lost(self) -> str | None:
        """Why the projections don't hold for all calls; None if they do."""
        if not (off := list(self._off())):
            return None
        return (
            f"no words that are not in the prompt can be read: {_name(self._layers[off[0]])} made its keys in another "
            "way in a later step, as when a LoRA is switched while the pipeline runs"
        )

    def _off(self) -> Iterator[LayerId]:
        """Layers whose keys were not what their projections make. A GPU is waited for once."""
        if self._gaps:
            gaps = torch.stack(
                [gap.float().cpu() if gap.device.type == "mps" else gap for gap in self._gaps.values()]
            )
            yield from (layer for layer, gap in zip(self._gaps, gaps.tolist(), strict=True) if gap > 1)


def _gap(
    tapped: TappedLayer, projection: KeyProjection, sample: _Sample, states: Tensor, key: Tensor
) -> Tensor:
    """How far keys are from those that a projection makes of states; 1 is allowed."""
    used = key.transpose(1, 2).flatten(2).float()
    inner, width = projection.weight.shape
    if states.shape != (*used.shape[:2], width) or used.shape[2] != inner:
        raise CaptureError(_otherwise(tapped))
    made = normed(states, projection) @ sample.direction + sample.offset
    off = (made - used @ sample.signs).abs().amax() / used.norm(dim=-1).amax().clamp(min=1e-30)
    return off / _ROUNDING.get(key.dtype, 5e-3)


def read_projections(tapped: TappedLayer, states: Tensor) -> list[KeyProjection]:
    """How an attention makes K of the text, as it is just now; two where projections were fused, of which it uses one.

    Args:
        tapped: The attention, which has no norms but those that are kept.
        states: The text's states that it got, for their type and device.

    Raises:
        CaptureError: It draws random numbers.
    """
    module: Any = tapped.module
    weight, bias = _weight_and_bias(tapped, module.to_k, states)
    read = [(weight, bias)]
    if hasattr(module, "to_kv"):  # it stays when projections are parted again; keys come first, then values
        weight, bias = _weight_and_bias(tapped, module.to_kv, states)
        half = len(weight) // 2
        read.append((weight[:half].clone(), None if bias is None else bias[:half].clone()))
    norm = getattr(module, "norm_cross", None)
    return [KeyProjection(*of) if norm is None else _with_norm(*of, norm) for of in read]


def _with_norm(weight: Tensor, bias: Tensor | None, norm: nn.LayerNorm) -> KeyProjection:
    """The norm's own factors go into weight and bias, in float32."""
    scale, shift = (
        None if part is None else part.detach().float().cpu() for part in (norm.weight, norm.bias)
    )
    wide = weight.float()
    moved = None if shift is None else wide @ shift
    if bias is not None:
        moved = bias.float() if moved is None else moved + bias.float()
    return KeyProjection(wide if scale is None else wide * scale, moved, float(norm.eps))


def _weight_and_bias(tapped: TappedLayer, project: nn.Module, states: Tensor) -> tuple[Tensor, Tensor | None]:
    if (dropout := _dropout(project)) is not None:
        raise CaptureError(
            f"{_name(tapped)} draws random numbers for its keys ({dropout}): {_eval()}, or {_WITHOUT}"
        )
    weight, bias = _plain(project) or _probed(project, states)
    return _kept(weight), None if bias is None else _kept(bias)


def _plain(project: nn.Module) -> tuple[Tensor, Tensor | None] | None:
    """Of a linear layer that nothing was done to; None of others."""
    if type(project) is not nn.Linear or "forward" in vars(project):
        return None
    weight, bias = project.weight, project.bias
    if type(weight) is not nn.Parameter or weight.dtype not in _FLOATS or weight.is_meta:
        return None
    return weight, bias


def _probed(project: nn.Module, states: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a layer makes of zeros is its bias, and of each unit its weights. Hooks on it are not called once more."""
    width = states.shape[-1]
    nothing = project.forward(states.new_zeros(1, width)).float()
    units = project.forward(torch.eye(width, dtype=states.dtype, device=states.device)).float()
    weight = (units - nothing).mT.to(states.dtype)
    return weight, nothing[0] if bool(nothing.any()) else None


def _dropout(project: nn.Module) -> str | None:
    return next(
        (
            type(part).__name__
            for part in project.modules()
            if isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p
        ),
        None,
    )


def _kept(tensor: Tensor) -> Tensor:
    """A copy on the host: the model's weights may change or go."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _eval() -> str:
    return "put the model into evaluation mode, .eval()"


def _name(tapped: TappedLayer) -> str:
    return f"{tapped.layer} ({tapped.path})"


def _otherwise(tapped: TappedLayer) -> str:
    processor = type(getattr(tapped.module, "processor", None)).__name__
    return (
        f"{_name(tapped)}: its keys are not what its to_k makes of the text's states, so keys of another text can't be "
        f"known; its processor {processor}, a hook, or weights in few bits make them otherwise: use diffusers' own "
        f"processor and weights, or {_WITHOUT}"
    )
