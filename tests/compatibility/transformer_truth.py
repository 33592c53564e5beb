"""What the attention of a transformer really computes: every scaled_dot_product_attention of each of its calls, in
float64. Knows nothing of attnscope: the order and the lengths of its sequences are a case's, by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

import transformer_cases
from compatibility.truth import ModelCall
from transformer_cases import HEIGHT, WIDTH, in_equal_places, seen_attention, text_tokens

OUTSIDE = ("context_refiner.", "context_embedder.", "siglip_refiner.")
"""Where attention of the text, or of another picture, to itself is, before the image comes in."""


@dataclass(frozen=True)
class Computed:
    """One run of one attention.

    Attributes:
        p: P of all rows and heads: (row, head, query, key).
        queries: Where each part lies among the queries.
        keys: The same of the keys.
        map_hw: Height and width of the image's part.
        pictures: P over the keys of adapters' pictures, each with a softmax of its own.
    """

    p: Tensor
    queries: Mapping[str, slice]
    keys: Mapping[str, slice]
    map_hw: tuple[int, int]
    pictures: list[Tensor] = field(default_factory=list)

    @property
    def is_cross(self) -> bool:
        """Whether places of the image see the text."""
        return "image" in self.queries and "text" in self.keys

    @property
    def relations(self) -> dict[str, tuple[slice, slice]]:
        """Where each relation lies in P, by its name."""
        return {f"{q}->{k}": (self.queries[q], self.keys[k]) for q in self.queries for k in self.keys}

    def probability(self) -> Tensor:
        """P of all rows and heads."""
        return self.p

    def share(self, row: int, tokens: tuple[int, ...]) -> Tensor:
        """Mean over heads of what the places of the first picture give to tokens of the text.

        Args:
            row: Of the batch.
            tokens: Their numbers in the text.
        """
        to_text = self.p[row][:, self.queries["image"], self.keys["text"]][..., list(tokens)]
        places = self.map_hw[0] * self.map_hw[1]
        return to_text.mean((0, 2))[:places].reshape(1, 1, *self.map_hw)

    def of_picture(self, number: int) -> Computed:
        """What the same queries made of an adapter's pictures.

        Args:
            number: Which ones, from 0.
        """
        return replace(self, p=self.pictures[number], keys={})


class Watched:
    """One model. `calls` fills while it runs.

    Args:
        model: The model.
        known: What is true of it.
        main: Which attention of a module is over the sequence, where it computes several. None: each is, of some rows.
        latent: Pixels along the side of a place of a heat map.
    """

    def __init__(
        self, model: nn.Module, known: transformer_cases.Case, main: int | None, latent: int
    ) -> None:
        self.calls: list[ModelCall] = []
        self._model, self._known, self._main = model, known, main
        self._size_hw = (HEIGHT // latent, WIDTH // latent)

    @contextmanager
    def running(self):
        """Watches, for the time of a `with`."""
        with seen_attention(self._model) as seen:
            ran: list[str] = []
            handles = [
                module.register_forward_pre_hook(lambda *_, path=path: ran.append(path))
                for path, module in self._model.named_modules()
                if hasattr(module, "processor") and hasattr(module, "heads")
            ]

            def begin(*_: Any) -> None:
                """A ControlNet may run modules of the model before it."""
                ran.clear()
                seen.clear()

            def end(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
                text = kwargs.get("encoder_hidden_states")
                there = {path: self._computed(path, seen.get(path, [])) for path in ran}
                self.calls.append(ModelCall(0, self._size_hw, text, there))

            handles.append(self._model.register_forward_pre_hook(begin))
            handles.append(self._model.register_forward_hook(end, with_kwargs=True))
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def _computed(self, path: str, seen: list[Tensor]) -> list[Computed]:
        """What one module computed in one call; nothing for attention without a softmax or outside the blocks."""
        known = self._known
        if not seen or path.startswith(OUTSIDE):
            return []
        queries, keys = (known.lengths(parts) for parts in known.sides_of(path))
        pictures: list[Tensor] = []
        if self._main is None:
            counts = known.there or (text_tokens(known),) * len(seen)
        else:
            main = self._main if len(seen) > 1 else 0
            pictures = [p for at, p in enumerate(seen) if at != main]
            seen = [seen[main]]
            number = len(self.calls) % len(known.branches)
            counts = known.there[number : number + 1] or (text_tokens(known),)
        rows = [in_equal_places(p, queries, keys, count) for p, count in zip(seen, counts, strict=True)]
        map_hw = (HEIGHT // known.place, WIDTH // known.place)
        return [Computed(torch.cat(rows), _spans(queries), _spans(keys), map_hw, pictures)]


def _spans(lengths: Mapping[str, int]) -> dict[str, slice]:
    """Where each part lies; 'text' is all that begins so."""
    ends = list(accumulate(lengths.values()))
    spans = {
        name: slice(end - length, end) for (name, length), end in zip(lengths.items(), ends, strict=True)
    }
    texts = [span for name, span in spans.items() if name.startswith("text")]
    return spans | ({"text": slice(texts[0].start, texts[-1].stop)} if texts else {})


def watching(
    known: transformer_cases.Case, main: int | None = 0, latent: int = 8
) -> Callable[[list[nn.Module]], Any]:
    """What watches the models of a case: a context manager that gives one `Watched` for each.

    Args:
        known: What is true of the case.
        main: Which attention of a module is over the sequence, where it computes several. None: each is, of some rows.
        latent: Pixels along the side of a place of a heat map: of the latent that the pipeline says it has.
    """

    @contextmanager
    def watch(models: list[nn.Module]):
        watches = [Watched(model, known, main, latent) for model in models]
        with ExitStack() as stack:
            for each in watches:
                stack.enter_context(each.running())
            yield watches

    return watch
