"""Which attention of a module reads the pictures of which IP-Adapter.

An IP-Adapter adds an attention over its pictures' tokens to each cross-attention, with keys of its own (`to_k_ip`): one
for each adapter, or one for each picture where pictures have masks. That of Stable Diffusion 3 is over the image's
places, too, which come first. Some models have such an attention themselves, over a picture that they are given.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from attnscope.recording.tapping.attention import Attention
from attnscope.recording.tapping.watching import Hook, is_in
from attnscope.records import KeyPart, Kind


class AdapterKeys:
    """Watches `to_k_ip` of one processor while its module runs in this thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._handles: list[Any] = []
        self._making: tuple[int, int] | None = None
        """The adapter that has just made keys, and how many."""
        self._noted: list[tuple[Attention, int, int]] = []
        self._tokens: Any = ()
        self._own = ""
        """What the keys are of that the module itself makes of a picture."""

    def attach(self, attention: Any, picture_keys: Sequence[str] = ()) -> None:
        """The module is about to run.

        Args:
            attention: The module.
            picture_keys: Parts of it that make keys of a picture which the model is given.
        """
        for name in picture_keys:
            if isinstance(maker := getattr(attention, name, None), nn.Module):
                self._own = "picture"
                self._handles.append(maker.register_forward_hook(Hook(partial(self._made_keys, 0))))
        processor = attention.processor
        self._tokens = getattr(processor, "num_tokens", ())
        makers = getattr(processor, "to_k_ip", None)
        if isinstance(makers, nn.Module):
            for adapter, maker in enumerate(makers if isinstance(makers, nn.ModuleList) else [makers]):
                self._handles.append(maker.register_forward_hook(Hook(partial(self._made_keys, adapter))))

    def detach(self) -> None:
        """The module has run."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _made_keys(self, adapter: int, module: nn.Module, args: tuple, output: Tensor) -> None:
        if is_in(self._thread):
            self._making = adapter, output[0].numel() // output.shape[-1]

    def note(self, attention: Attention) -> None:
        """The module computes an attention, which is an adapter's if the adapter has just made keys.

        Args:
            attention: The attention.
        """
        if self._making is not None:
            self._noted.append((attention, *self._making))
        self._making = None

    def sources(self) -> dict[int, tuple[Kind, tuple[KeyPart, ...]]]:
        """Kind and parts of each adapter's attention, by its id(). An adapter with several has one for each picture."""
        calls = Counter(adapter for _, adapter, _ in self._noted)
        pictures: Counter[int] = Counter()
        sources = {}
        for attention, adapter, keys in self._noted:
            pictures[adapter] += 1
            places = int(attention.key.shape[-2]) - keys
            own = (KeyPart("own", places),) if places > 0 else ()
            kind = "image" if adapter == 0 else f"image{adapter + 1}"
            if calls[adapter] == 1:
                sources[id(attention)] = (kind, own + self._parts(adapter, keys))
            else:
                picture = pictures[adapter]
                part = KeyPart(f"adapter {adapter + 1}, picture {picture}", keys)
                sources[id(attention)] = (f"{kind}-{picture}", (*own, part))
        return sources

    def _parts(self, adapter: int, keys: int) -> tuple[KeyPart, ...]:
        """One part for each picture, where the processor says how many tokens a picture has."""
        tokens = self._tokens
        if isinstance(tokens, (list, tuple)):
            tokens = tokens[adapter] if adapter < len(tokens) else 0
        if not isinstance(tokens, int) or tokens < 1 or keys % tokens:
            return (KeyPart(self._own or f"adapter {adapter + 1}", keys),)
        count = keys // tokens
        return tuple(
            KeyPart(f"adapter {adapter + 1}, picture {picture}", tokens) for picture in range(1, count + 1)
        )
