"""See, measure and use the attention inside diffusion models.

Nothing heavy is loaded here: torch, diffusers, transformers and matplotlib come with the first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attnscope._version import __version__

if TYPE_CHECKING:
    from attnscope import diffseg, markov, ncut
    from attnscope.atlas import layers
    from attnscope.editing.context import edit
    from attnscope.editing.custom import Custom
    from attnscope.editing.edits import Ablate, Region, Reweight, Temperature
    from attnscope.editing.prompt_to_prompt import prompt_to_prompt
    from attnscope.editing.sources import Freeze, Replace
    from attnscope.errors import AttnscopeError
    from attnscope.evaluation.comparing import Comparison, compare
    from attnscope.explaining.explain import explain
    from attnscope.explaining.result import Explanation
    from attnscope.heatmap.difference import MapDifference, difference
    from attnscope.heatmap.head_grid import HeadGrid, head_grid
    from attnscope.heatmap.heat_map import heat_map, heat_maps
    from attnscope.heatmap.over_steps import animate, heat_maps_by_step
    from attnscope.heatmap.result import HeatMap
    from attnscope.heatmap.word_table import word_table
    from attnscope.measuring.rank import rank_layers
    from attnscope.measuring.ranking import Ranking
    from attnscope.measuring.result import AttentionStatistics
    from attnscope.measuring.statistics import statistics
    from attnscope.photos.inversion import Inversion, invert_photo
    from attnscope.photos.reading import read_photo
    from attnscope.pipelines import load_pipeline
    from attnscope.recording.capture import capture
    from attnscope.recording.doctor.report import doctor
    from attnscope.recording.planning.estimate import Policy, estimate
    from attnscope.records.reduced import Reduced
    from attnscope.reporting.report import report
    from attnscope.reporting.result import Report
    from attnscope.segmentation.clicking import click
    from attnscope.segmentation.clicks import ClickMask
    from attnscope.segmentation.result import Segmentation
    from attnscope.segmentation.segment import segment, segment_many, segment_trace
    from attnscope.trace.files import load_trace
    from attnscope.trace.rereading.reread import reread
    from attnscope.trace.trace import Trace

_HOMES = {
    "edit": "attnscope.editing.context",
    **dict.fromkeys(("Ablate", "Region", "Reweight", "Temperature"), "attnscope.editing.edits"),
    "Custom": "attnscope.editing.custom",
    "prompt_to_prompt": "attnscope.editing.prompt_to_prompt",
    **dict.fromkeys(("Freeze", "Replace"), "attnscope.editing.sources"),
    "layers": "attnscope.atlas",
    "Policy": "attnscope.recording.planning.estimate",
    "estimate": "attnscope.recording.planning.estimate",
    "capture": "attnscope.recording.capture",
    "doctor": "attnscope.recording.doctor.report",
    "AttnscopeError": "attnscope.errors",
    **dict.fromkeys(("Comparison", "compare"), "attnscope.evaluation.comparing"),
    "explain": "attnscope.explaining.explain",
    "Explanation": "attnscope.explaining.result",
    **dict.fromkeys(("MapDifference", "difference"), "attnscope.heatmap.difference"),
    **dict.fromkeys(("HeadGrid", "head_grid"), "attnscope.heatmap.head_grid"),
    **dict.fromkeys(("animate", "heat_maps_by_step"), "attnscope.heatmap.over_steps"),
    "HeatMap": "attnscope.heatmap.result",
    "heat_map": "attnscope.heatmap.heat_map",
    "heat_maps": "attnscope.heatmap.heat_map",
    "word_table": "attnscope.heatmap.word_table",
    "AttentionStatistics": "attnscope.measuring.result",
    "Ranking": "attnscope.measuring.ranking",
    "rank_layers": "attnscope.measuring.rank",
    "statistics": "attnscope.measuring.statistics",
    "Inversion": "attnscope.photos.inversion",
    "invert_photo": "attnscope.photos.inversion",
    "read_photo": "attnscope.photos.reading",
    "load_pipeline": "attnscope.pipelines",
    "Reduced": "attnscope.records.reduced",
    "Report": "attnscope.reporting.result",
    "report": "attnscope.reporting.report",
    "reread": "attnscope.trace.rereading.reread",
    "ClickMask": "attnscope.segmentation.clicks",
    "click": "attnscope.segmentation.clicking",
    "Segmentation": "attnscope.segmentation.result",
    "segment": "attnscope.segmentation.segment",
    "segment_many": "attnscope.segmentation.segment",
    "segment_trace": "attnscope.segmentation.segment",
    "load_trace": "attnscope.trace.files",
    "Trace": "attnscope.trace.trace",
}
_MODULES = (
    "demo",
    "diffseg",
    "editing",
    "errors",
    "evaluation",
    "guidance",
    "jobs",
    "markov",
    "ncut",
    "pictures",
    "places",
    "probability",
    "records",
    "testing",
    "viewer",
)

__all__ = [
    "Ablate",
    "AttentionStatistics",
    "AttnscopeError",
    "ClickMask",
    "Comparison",
    "Custom",
    "Explanation",
    "Freeze",
    "HeadGrid",
    "HeatMap",
    "Inversion",
    "MapDifference",
    "Policy",
    "Ranking",
    "Reduced",
    "Region",
    "Replace",
    "Report",
    "Reweight",
    "Segmentation",
    "Temperature",
    "Trace",
    "__version__",
    "animate",
    "capture",
    "click",
    "compare",
    "difference",
    "diffseg",
    "doctor",
    "edit",
    "estimate",
    "explain",
    "head_grid",
    "heat_map",
    "heat_maps",
    "heat_maps_by_step",
    "invert_photo",
    "layers",
    "load_pipeline",
    "load_trace",
    "markov",
    "ncut",
    "prompt_to_prompt",
    "rank_layers",
    "read_photo",
    "report",
    "reread",
    "segment",
    "segment_many",
    "segment_trace",
    "statistics",
    "word_table",
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
