"""What must be known of numbers before a result is handed out, read from a GPU at once and as late as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Verdicts:
    """Judges of numbers. On a CPU each judges at once; a GPU's numbers are gathered and read together.

    A read waits for all that was queued on the GPU before. So the copy is queued first (`queue`), then the work that
    the numbers are about is launched, and while that goes on the host reads (`read`).
    """

    def __init__(self) -> None:
        self._numbers: list[Tensor] = []
        self._judges: list[tuple[int, Callable[..., None]]] = []
        self._arrive: Callable[[], list[float]] = list

    def add(self, numbers: Sequence[Tensor], judge: Callable[..., None]) -> None:
        """Have some numbers judged.

        Args:
            numbers: Tensors of one number each.
            judge: Called with the numbers; raises if they are wrong.
        """
        if is_read_at_once(numbers[0]):
            judge(*(float(number) for number in numbers))
        else:
            self._numbers += numbers
            self._judges.append((len(numbers), judge))

    def queue(self) -> None:
        """No more numbers come: queue their copy to the host, before the work that is launched next."""
        if self._numbers:
            self._arrive = _queued_copy(_in_one(self._numbers))
            self._numbers = []

    def read(self) -> None:
        """Wait for the numbers and let the judges have them. They judge once.

        Raises:
            ParameterError: What a judge says.
        """
        self.queue()
        arrive, judges = self._arrive, self._judges
        self._arrive, self._judges = list, []
        numbers = arrive()
        for count, judge in judges:
            judge(*numbers[:count])
            numbers = numbers[count:]


def is_read_at_once(tensor: Tensor) -> bool:
    """Whether the host reads a tensor's numbers without waiting.

    Args:
        tensor: Any tensor.
    """
    return tensor.device.type == "cpu"


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device. From ordinary memory to a GPU that is only queued; the memory may be used again at once.

    Args:
        tensor: Any tensor.
        device: Where it is wanted.
    """
    return tensor.to(device, non_blocking=is_read_at_once(tensor))


def _in_one(numbers: list[Tensor]) -> Tensor:
    if len(numbers) == 1:
        return numbers[0].reshape(1)
    wide = torch.float64 if any(number.dtype == torch.float64 for number in numbers) else torch.float32
    return torch.stack([number.to(wide) for number in numbers])


def _queued_copy(numbers: Tensor) -> Callable[[], list[float]]:
    """Queue a copy to the host; what is returned waits for it, and not for what is queued later."""
    if not numbers.is_cuda:
        return numbers.tolist
    with torch.cuda.device_of(numbers):
        there = _page_locked(numbers).copy_(numbers, non_blocking=True)
        has_arrived = torch.cuda.Event()
        has_arrived.record()

    def arrive() -> list[float]:
        has_arrived.synchronize()
        return there.tolist()

    return arrive


def _page_locked(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device="cpu", pin_memory=True)
