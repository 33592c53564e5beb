"""What the attention layers of a model really compute, seen by hooks on their projections. Knows nothing of attnscope.

P follows in float64 from what to_q and to_k gave, or from what norm_q and norm_k made of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

QUERIES = ("to_q", "to_q_custom_diffusion", "norm_q")
KEYS = ("to_k", "to_k_custom_diffusion", "norm_k")
FUSED = {"to_qkv": (0, 1, 3), "to_kv": (None, 0, 2)}


@dataclass
class Seen:
    """One run of one attention module.

    Attributes:
        heads: Its heads.
        scale: Its factor before the softmax.
        is_cross: Whether its keys come from elsewhere.
        with_objects: Whether grounded objects (GLIGEN's) come after the places.
        pictures: Keys of adapters' pictures, each with a softmax of its own.
        positions: Lengths of its queries and keys.
        edit: What a processor makes of P before it uses it.
        map_hw: Height and width of the feature map that its queries are places of; None where there is no such map.
    """

    heads: int
    scale: float
    is_cross: bool
    map_hw: tuple[int, int] | None = None
    query: Tensor | None = None
    key: Tensor | None = None
    added: Tensor | None = None
    mask: Tensor | None = None
    with_objects: bool = False
    pictures: list[Tensor] = field(default_factory=list)
    positions: set[int] = field(default_factory=set)
    edit: Any = None

    def probability(self) -> Tensor:
        """P of all rows and heads in float64: (row, head, query, key)."""
        query, key = (self._split(tensor).double() for tensor in (self.query, self.key))
        scores = query @ key.transpose(-1, -2) * self.scale
        p = (scores if self.mask is None else scores + self._mask(scores)).softmax(-1)
        return p if self.edit is None else self.edit(p)

    @property
    def relations(self) -> dict[str, tuple[slice, slice]]:
        """Parts of P with a name of their own; a U-Net's are the whole P."""
        return {}

    def share(self, row: int, tokens: tuple[int, ...]) -> Tensor:
        """Mean over heads of what places give to tokens of the text, as a map.

        Args:
            row: Of the batch.
            tokens: Their numbers.
        """
        return self.probability()[row][:, :, list(tokens)].mean((0, 2)).reshape(1, 1, *self.map_hw)

    def of_picture(self, number: int) -> Seen:
        """What the same queries made of an adapter's pictures.

        Args:
            number: Which keys, from 0.
        """
        return replace(self, key=self.pictures[number], mask=None, edit=None)

    def _split(self, tensor: Tensor) -> Tensor:
        """(row, head, position, dim). What a norm made of heads is (row, position, head, dim) in some processors."""
        if tensor.ndim == 3:
            tensor = tensor.unflatten(-1, (-1, self.query_dim)).transpose(1, 2)
        elif tensor.shape[1] in self.positions:
            tensor = tensor.transpose(1, 2)
        return tensor.repeat_interleave(self.heads // tensor.shape[1], dim=1)

    @property
    def query_dim(self) -> int:
        """Channels of one head."""
        return self.query.shape[-1] if self.query.ndim == 4 else self.query.shape[-1] // self.heads

    def _mask(self, scores: Tensor) -> Tensor:
        mask = self.mask
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
        if mask.shape[-1] < scores.shape[-1]:  # added keys come first and are never masked
            mask = nn.functional.pad(mask, (scores.shape[-1] - mask.shape[-1], 0))
        mask = mask.double()
        if mask.ndim == 3 and mask.shape[0] == scores.shape[0] * scores.shape[1]:
            return mask.reshape(*scores.shape[:2], *mask.shape[1:])
        return mask if mask.ndim == 4 else mask.reshape(mask.shape[0], 1, -1, mask.shape[-1])


@dataclass
class ModelCall:
    """One call of a denoising model: its rows, what it got of the text, and each attention by module path."""

    rows: int
    size_hw: tuple[int, ...]
    text: Any = None
    layers: dict[str, list[Seen]] = field(default_factory=dict)


class Watched:
    """Hooks on one model. `calls` fills while it runs.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.calls = model, []
        self._maps: dict[str, tuple[int, int]] = {}
        self._open: list[Seen] = []
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Put the hooks on."""
        self._pre(self.model, self._begin)
        for path, module in self.model.named_modules():
            self._pre(module, self._noter(path))
            if is_attention(module):
                self._pre(module, self._opener(path))
                self._handles.append(module.register_forward_hook(self._close, prepend=True))
                self._watch_projections(module)

    def detach(self) -> None:
        """Take them off."""
        for handle in self._handles:
            handle.remove()

    def _pre(self, module: nn.Module, hook: Any) -> None:
        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _watch_projections(self, attention: nn.Module) -> None:
        owners = [
            attention,
            *([p] if isinstance(p := getattr(attention, "processor", None), nn.Module) else []),
        ]
        for owner in owners:
            for name in (*QUERIES, *KEYS, "add_k_proj", *FUSED):
                if isinstance(module := getattr(owner, name, None), nn.Module):
                    self._handles.append(module.register_forward_hook(self._taker(name)))
            for module in getattr(owner, "to_k_ip", ()):
                self._handles.append(module.register_forward_hook(self._picture))

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        sample = args[0] if args else kwargs["sample"]
        self._maps = {}
        text = args[2] if len(args) > 2 else kwargs.get("encoder_hidden_states")
        self.calls.append(ModelCall(sample.shape[0], tuple(sample.shape[-2:]), text))

    def _noter(self, path: str) -> Any:
        def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
            tensor = args[0] if args else kwargs.get("hidden_states", kwargs.get("sample"))
            if isinstance(tensor, Tensor) and tensor.ndim >= 4:
                self._maps[path] = tuple(tensor.shape[-2:])

        return note

    def _opener(self, path: str) -> Any:
        def begin(module: nn.Module, args: tuple, kwargs: dict) -> None:
            seen = Seen(
                module.heads, float(module.scale), bool(getattr(module, "is_cross_attention", False)),
                self._map_of(path), mask=args[2] if len(args) > 2 else kwargs.get("attention_mask"),
                with_objects=path.endswith("fuser.attn"),
            )  # fmt: skip
            self._open.append(seen)
            if self.calls:
                self.calls[-1].layers.setdefault(path, []).append(seen)

        return begin

    def _map_of(self, path: str) -> tuple[int, int] | None:
        """The feature map nearest to an attention: that of the first module around it which reads one."""
        parts = path.split(".")
        return next(
            (
                self._maps[around]
                for n in range(len(parts), 0, -1)
                if (around := ".".join(parts[:n])) in self._maps
            ),
            None,
        )

    def _close(self, module: nn.Module, args: tuple, output: Any) -> None:
        seen = self._open.pop()
        if seen.query is None:  # something answered in its place, such as a cache
            self._forget(seen)
            return
        if seen.added is not None:
            seen.is_cross = True
            seen.key = seen.added if seen.key is None else torch.cat([seen.added, seen.key], dim=1)
        if seen.map_hw is not None and seen.with_objects:
            seen.query = seen.query[:, : seen.map_hw[0] * seen.map_hw[1]]
        if seen.map_hw is not None:
            places = seen.query.shape[-2] if seen.query.ndim == 3 else seen._split(seen.query).shape[-2]
            seen.map_hw = seen.map_hw if seen.map_hw[0] * seen.map_hw[1] == places else None

    def _forget(self, seen: Seen) -> None:
        for runs in self.calls[-1].layers.values() if self.calls else ():
            if runs and runs[-1] is seen:
                runs.pop()
        if self.calls:
            self.calls[-1].layers = {path: runs for path, runs in self.calls[-1].layers.items() if runs}

    def _picture(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self._open[-1].pictures.append(output.detach().clone().flatten(1, -2))

    def _taker(self, name: str) -> Any:
        def take(module: nn.Module, args: tuple, output: Tensor) -> None:
            seen, kept = self._open[-1], output.detach().clone()
            if name in FUSED:
                query, key, parts = FUSED[name]
                pieces = kept.chunk(parts, dim=-1)
                seen.query = seen.query if query is None else pieces[query]
                seen.key = pieces[key]
            elif name == "add_k_proj":
                seen.added = kept
            elif name in QUERIES:
                seen.query = kept
            else:
                seen.key = kept
            if kept.ndim == 3:
                seen.positions.add(kept.shape[1])

        return take


def is_of_unet(path: str) -> bool:
    """Whether an attention is of a U-Net: not of an adapter's resampler, nor of the control branch of a ControlNet-XS.

    Args:
        path: Its module's path.
    """
    return path.startswith(("down_blocks", "mid_block", "up_blocks")) and "ctrl_" not in path


def is_attention(module: nn.Module) -> bool:
    """Whether a module makes queries and keys.

    Args:
        module: Any module of a model.
    """
    return all(hasattr(module, name) for name in ("to_q", "to_out", "heads", "scale"))


@contextmanager
def watched(models: list[nn.Module]):
    """Hooks on several models, for the time of a `with`."""
    watches = [Watched(model) for model in models]
    try:
        for watch in watches:
            watch.attach()
        yield watches
    finally:
        for watch in watches:
            watch.detach()
