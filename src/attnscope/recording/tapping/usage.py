"""What becomes of an attention's result: whether something is computed from it, and whether P is edited before.

A processor may compute an attention and drop it (a warm-up), or change the probabilities before it multiplies them
with V (prompt-to-prompt). Either way Q and K alone would tell another story than the picture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attnscope.recording.tapping.attention import Attention

_PRODUCTS = {
    torch.bmm, torch.matmul, torch.einsum, torch.baddbmm,
    Tensor.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.baddbmm,
}  # fmt: skip
_SAME_NUMBERS = {
    "to", "type", "type_as", "half", "float", "bfloat16", "double", "contiguous", "clone", "detach",
    "view", "reshape", "unflatten", "flatten", "unsqueeze", "squeeze", "view_as", "reshape_as",
}  # fmt: skip
_GIVE_MEMORY_AWAY = {"numpy", "__array__", "__dlpack__", "data_ptr"}
"""Who has the memory may write into it without torch."""
_NOT_IN_PLACE = {"requires_grad_", "detach_", "retain_grad_"}


@dataclass
class _Awaited:
    """An attention by get_attention_scores whose probabilities have not been used yet.

    Attributes:
        attention: The attention.
        forms: The probabilities, and the same numbers under another shape or type.
        before: A copy from before the first change in place.
    """

    attention: Attention
    forms: list[Tensor] = field(default_factory=list)
    before: Tensor | None = None

    def about_to_change(self, target: Tensor) -> None:
        """A tensor is about to be written into: copy the probabilities first if they share its memory.

        Args:
            target: The tensor.
        """
        form = next((form for form in self.forms if _share_memory(target, form)), None)
        if form is not None and self.before is None:
            self.before = form.detach().clone()


@dataclass
class _Multiplied:
    """An attention whose probabilities have been multiplied. It holds none of their memory.

    Attributes:
        attention: The attention.
        shapes: Shapes of the probabilities.
        forms: The probabilities, as long as somebody else holds them.
    """

    attention: Attention
    shapes: set[torch.Size]
    forms: list[weakref.ref[Tensor]]

    @classmethod
    def of(cls, awaited: _Awaited) -> _Multiplied:
        """What is left of an attention that is awaited no longer.

        Args:
            awaited: The attention.
        """
        forms = awaited.forms
        return cls(awaited.attention, {form.shape for form in forms}, [weakref.ref(form) for form in forms])

    def alive(self) -> Iterator[Tensor]:
        """The probabilities that are still held."""
        return (form for reference in self.forms if (form := reference()) is not None)


class Usage:
    """Follows the results of one module's attentions, while the module runs."""

    def __init__(self) -> None:
        self._outputs: list[Attention] = []
        self._scores: list[_Awaited] = []
        self._multiplied: list[_Multiplied] = []
        self._product_of: Attention | None = None
        self.is_paused = False
        """Whether diffusers computes scores just now, whose own products are none of those with V."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to follow just now, as before the first attention and after its use."""
        return not (self._outputs or self._scores or self._multiplied)

    def await_use(self, attention: Attention) -> None:
        """An attention has a result: follow it.

        Args:
            attention: The attention.
        """
        if attention.probability is not None:
            self._scores.append(_Awaited(attention, [attention.probability]))
        else:
            self._outputs.append(attention)

    def before(self, func: Callable, args: tuple, kwargs: dict) -> None:
        """A function is about to run.

        Args:
            func: The function, and what it gets.
            args: Its arguments.
            kwargs: Its arguments by name.
        """
        self._product_of = None
        if not (self._scores or self._multiplied) or self.is_paused:
            return
        if targets := _written(func, args, kwargs):
            for awaited in self._scores:
                for target in targets:
                    awaited.about_to_change(target)
        if func in _PRODUCTS:
            is_added = func in (torch.baddbmm, Tensor.baddbmm)  # to its first tensor, which is no factor
            self._multiply(list(_tensors((*args, *kwargs.values())))[is_added:])

    def after(self, func: Callable, args: tuple, result: Any) -> None:
        """A function has run.

        Args:
            func: The function.
            args: Its arguments.
            result: What it gave.
        """
        if self._product_of is not None:
            if isinstance(result, Tensor):
                self._product_of.keep_result(result)
            self._product_of = None
        if not (self._outputs or self._scores) or not isinstance(result, (Tensor, tuple, list)):
            return
        if self._outputs and next(_tensors((result,)), None) is not None:  # not a shape or a type
            self._mark_used(args)
        if self._scores and isinstance(result, Tensor) and getattr(func, "__name__", "") in _SAME_NUMBERS:
            for awaited in self._scores:
                if args and any(args[0] is form for form in awaited.forms):
                    awaited.forms.append(result)

    def returned(self, output: Any) -> None:
        """The module has returned this.

        Args:
            output: What it returned.
        """
        self._mark_used((output,))

    def _mark_used(self, args: tuple) -> None:
        read = list(_tensors(args))
        for attention in self._outputs:
            if any(tensor is attention.output for tensor in read):
                attention.used = True
        self._outputs = [attention for attention in self._outputs if not attention.used]

    def _multiply(self, factors: list[Tensor]) -> None:
        """The product with V: what is multiplied must be the probabilities that the softmax gave."""
        known = [form for awaited in self._scores for form in awaited.forms]
        known += [form for multiplied in self._multiplied for form in multiplied.alive()]
        same = next((factor for factor in factors if any(factor is form for form in known)), None)
        if same is not None:
            self._use(factors, same, lambda awaited: any(same is form for form in awaited.forms))
            return
        shapes = {form.shape for awaited in self._scores for form in awaited.forms}
        alike = next((factor for factor in factors if factor.shape in shapes), None)
        if alike is not None:
            self._use(factors, alike, lambda awaited: alike.shape in {form.shape for form in awaited.forms})
            return
        for multiplied in self._multiplied:  # the first product was for something else
            multiplied.attention.edited |= any(factor.shape in multiplied.shapes for factor in factors)

    def _use(self, factors: list[Tensor], used: Tensor, is_it: Callable[[_Awaited], bool]) -> None:
        awaited = next((awaited for awaited in self._scores if is_it(awaited)), None)
        if awaited is None:
            self._use_again(factors, used)
            return
        attention = awaited.attention
        original = awaited.before if awaited.before is not None else awaited.forms[0]
        same = awaited.before is None and any(used is form for form in awaited.forms)
        attention.edited = not (same or _equal(used, original))
        attention.used = True
        self._multiply_with(attention, factors, used)
        self._scores.remove(awaited)
        self._multiplied.append(_Multiplied.of(awaited))

    def _use_again(self, factors: list[Tensor], used: Tensor) -> None:
        """A second product of the same probabilities: the first was for something else, such as a mean."""
        for multiplied in self._multiplied:
            if any(used is form for form in multiplied.alive()):
                self._multiply_with(multiplied.attention, factors, used)

    def _multiply_with(self, attention: Attention, factors: list[Tensor], used: Tensor) -> None:
        attention.value = next((f for f in factors if f is not used and f.ndim >= 3), None)
        self._product_of = attention


def _equal(used: Tensor, original: Tensor) -> bool:
    used = used if used.layout is torch.strided else used.to_dense()
    if used.is_meta or original.is_meta:
        return used is original
    same_shape = used.numel() == original.numel()
    return same_shape and torch.equal(used.detach(), original.to(used).reshape(used.shape))


def _written(func: Callable, args: tuple, kwargs: dict) -> list[Tensor]:
    """The tensors that a function writes into."""
    if isinstance(kwargs.get("out"), Tensor):
        return [kwargs["out"]]
    name = getattr(func, "__name__", "")
    in_place = name == "__setitem__" or (
        name.startswith("__i") and name not in ("__index__", "__invert__", "__int__")
    )
    in_place |= name.endswith("_") and not name.endswith("__") and name not in _NOT_IN_PLACE
    in_place |= kwargs.get("inplace") is True or name in _GIVE_MEMORY_AWAY
    return list(_tensors(args[:1])) if in_place else []


def _share_memory(one: Tensor, other: Tensor) -> bool:
    if one.is_meta or other.is_meta:
        return one is other
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _tensors(values: tuple | list) -> Iterator[Tensor]:
    """The tensors among some values, also one level down, as in torch.cat([...])."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from (inner for inner in value if isinstance(inner, Tensor))
