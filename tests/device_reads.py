"""What would make the host wait if its tensors were a GPU's, counted on a CPU.

A read takes a number out of a tensor, so the host waits for all that was queued before. A launch is an operation that
a GPU computes; it costs the host some 5 us. Copies to another device can't be seen here.
"""

import traceback
from collections import Counter
from contextlib import ExitStack

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from attnscope.probability import choose, contraction, verdicts

_READS = {
    "_local_scalar_dense", "is_nonzero", "item", "equal", "allclose", "nonzero", "masked_select", "unique_dim",
    "unique_consecutive", "_unique", "_unique2",
}  # fmt: skip
"""Operations that give the host a number, or a tensor whose size is one. item, bool() and float() are the first."""
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
_METHODS = {Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.cpu, Tensor.__contains__}
"""What gives the numbers without an operation that can be seen."""
_NO_LAUNCH = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "detach",
    "lift_fresh",
    "is_pinned",
}


class Counted:
    """Reads and launches inside `with Counted() as counted:`, and where in the package each read was."""

    now = None

    @classmethod
    def note(cls, name):
        """A launch that torch does not see, such as a kernel's."""
        if cls.now is not None:
            cls.now.launch(name)

    def __enter__(self):
        Counted.now = self
        self.reads, self.launches = [], Counter()
        self.order = []
        """Names of reads and launches as they came."""
        self._modes = ExitStack()
        self._modes.enter_context(_Methods(self))
        self._modes.enter_context(_Operations(self))
        return self

    def __exit__(self, *error):
        self._modes.close()
        Counted.now = None

    def read(self, name):
        places = [f"{frame.filename.rpartition('attnscope/')[2]}:{frame.lineno}" for frame in _own_frames()]
        self.reads.append(f"{name} at {places[-1] if places else 'no line of the package'}")
        self.order.append("read")

    def launch(self, name):
        self.launches[name] += 1
        self.order.append(name)


class _Methods(TorchFunctionMode):
    def __init__(self, counted):
        super().__init__()
        self._counted = counted

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _METHODS or (func in (Tensor.__getitem__, Tensor.__setitem__) and _has_list(args[1])):
            self._counted.read(func.__name__)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, counted):
        super().__init__()
        self._counted = counted

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.partition("::")[2]
        is_masked = name in _INDEXED and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in _READS or is_masked:
            self._counted.read(name)
        elif not _is_view(func) and name not in _NO_LAUNCH:
            self._counted.launch(name)
        return func(*args, **(kwargs or {}))


def _has_list(index):
    """A list of numbers is sent to the device, which the host waits for."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list) for part in parts)


def _is_view(func):
    aliases = [argument.alias_info for argument in func._schema.arguments]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _own_frames():
    return [frame for frame in traceback.extract_stack() if "attnscope/" in frame.filename]


def as_on_a_gpu(monkeypatch):
    """Let the package take a CPU's tensors for a GPU's, whose numbers are not read at once."""
    for module in (verdicts, contraction, choose):
        monkeypatch.setattr(module, "is_read_at_once", lambda tensor: False)
