"""What the manifest says of the outputs of modules besides their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from attnscope.storage.values import brief, items, number, text

MAX_OUTPUTS = 1 << 12  # a U-Net of Stable Diffusion XL has some 2,500 modules
MAX_PATH = 500
MAX_AXES = 8


class OutputFacts(NamedTuple):
    """What is known of a module's output in one call.

    Attributes:
        shape: Its shape, rows first.
        digest: Of its bytes.
    """

    shape: tuple[int, ...]
    digest: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"shape": list(self.shape), "digest": self.digest}


def output_name(path: str) -> str:
    """The name of a module's output in a shard, such as 'mid_block.attentions.0.output'.

    Args:
        path: The module's path.
    """
    return f"{path}.output"


def parse_outputs(item: Any) -> dict[str, str]:
    """The modules of a pass: class by path.

    Args:
        item: Their JSON value.

    Raises:
        TypeError, ValueError, AttributeError: It is no such thing.
    """
    outputs = {_path(path): text(of_class) for path, of_class in item.items()}
    if len(outputs) > MAX_OUTPUTS:
        raise ValueError(f"outputs of {len(outputs)} modules; expected at most {MAX_OUTPUTS}")
    return outputs


def parse_output_facts(item: Any, known: Mapping[str, str], rows: int) -> dict[str, OutputFacts]:
    """The outputs of a call.

    Args:
        item: Their JSON value.
        known: The modules of the pass.
        rows: How many rows the call has.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It is no such thing.
    """
    facts = {path: _facts(of_output, rows) for path, of_output in item.items()}
    if strange := sorted(set(facts) - set(known)):
        raise ValueError(f"an output of {brief(strange[0])}, which is none of the pass")
    return facts


def _facts(item: Mapping[str, Any], rows: int) -> OutputFacts:
    shape = tuple(number(side) for side in items(item["shape"]))
    if not 1 <= len(shape) <= MAX_AXES or shape[0] != rows:
        raise ValueError(f"an output of shape {shape} in a call of {rows} rows")
    return OutputFacts(shape, number(item["digest"], least=0, most=2**32 - 1))


def _path(path: str) -> str:
    if not 0 < len(path) <= MAX_PATH or text(path) != path:
        raise ValueError(f"{brief(path)} is no module's path")
    return path
