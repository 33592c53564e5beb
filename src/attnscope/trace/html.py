"""A trace as a notebook shows it: its picture, its prompt, and what was captured."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

from attnscope.errors import describe_numbers

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_PX = 256
_NAMES = {"joint": "joint (its parts are self and cross)"}
LEFT = "text-align:left;padding-right:1em"


def trace_html(trace: Any) -> str:
    """What a trace holds, as a small table beside its first picture.

    Args:
        trace: A trace of one pass.
    """
    rows = "".join(
        f"<tr><th style='{LEFT}'>{name}</th><td style='{LEFT}'>{escape(text)}</td></tr>"
        for name, text in _facts(trace)
        if text
    )
    picture = _picture_html(trace.picture) if trace.picture is not None else ""
    return f"<div style='display:flex;gap:1em;align-items:flex-start'>{picture}<table>{rows}</table></div>"


def _facts(trace: Any) -> list[tuple[str, str]]:
    run, steps = trace.run, [step.index for step in trace.steps]
    blocks = {
        kind: [layer.block for layer in trace.layers if layer.kind == kind] for kind in trace.layers.kinds
    }
    kinds = [f"{_NAMES.get(kind, kind)}: blocks {describe_numbers(at)}" for kind, at in blocks.items()]
    return [
        ("Trace", run.model or "a model without a name"),
        ("Family", run.family or ""),
        ("Prompt", " | ".join(run.prompts)),
        ("Steps", f"{len(steps)} ({describe_numbers(steps)})" if steps else "none"),
        ("Branches", ", ".join(trace.branches)),
        ("Images", str(trace.images)),
        ("Attention", "; ".join(kinds)),
        ("Reduced maps", ", ".join(trace.reduced)),
    ]


def _picture_html(picture: Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((PICTURE_PX, PICTURE_PX))
    body = io.BytesIO()
    small.save(body, format="PNG")
    return f"<img alt='the picture' src='data:image/png;base64,{base64.b64encode(body.getvalue()).decode()}'>"
