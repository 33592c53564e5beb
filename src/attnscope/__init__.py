"""See, measure and use the attention inside Stable Diffusion.

Nothing heavy is loaded here: torch, diffusers, transformers and matplotlib come with the first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attnscope._version import __version__

if TYPE_CHECKING:
    from attnscope import diffseg
    from attnscope.atlas import layers
    from attnscope.byte_plan import Policy, estimate
    from attnscope.capturing import capture
    from attnscope.errors import AttnscopeError
    from attnscope.heatmap import HeatMap, heat_map
    from attnscope.pipelines import load_pipeline
    from attnscope.reduced import Reduced
    from attnscope.segmentation import Segmentation, segment
    from attnscope.store import load_trace
    from attnscope.trace import Trace

_HOMES = {
    "layers": "attnscope.atlas",
    "Policy": "attnscope.byte_plan",
    "estimate": "attnscope.byte_plan",
    "capture": "attnscope.capturing",
    "AttnscopeError": "attnscope.errors",
    "HeatMap": "attnscope.heatmap",
    "heat_map": "attnscope.heatmap",
    "load_pipeline": "attnscope.pipelines",
    "Reduced": "attnscope.reduced",
    "Segmentation": "attnscope.segmentation",
    "segment": "attnscope.segmentation",
    "load_trace": "attnscope.store",
    "Trace": "attnscope.trace",
}
_MODULES = ("demo", "diffseg", "errors", "images", "probability", "records", "tokens")

__all__ = [
    "AttnscopeError",
    "HeatMap",
    "Policy",
    "Reduced",
    "Segmentation",
    "Trace",
    "__version__",
    "capture",
    "diffseg",
    "estimate",
    "heat_map",
    "layers",
    "load_pipeline",
    "load_trace",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"attnscope.{name}")
    raise AttributeError(f"module 'attnscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
