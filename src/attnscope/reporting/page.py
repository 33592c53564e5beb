"""The page of a report: plain markup with its own style sheet, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from attnscope._version import __version__
from attnscope.reporting.contents import Contents
from attnscope.reporting.figures import level_styles
from attnscope.reporting.markup import foreign, picture, section, text
from attnscope.reporting.segments import segments_section
from attnscope.reporting.statistics import statistics_section
from attnscope.reporting.words import words_section

SIDE_PX = 640
LONG = 48
"""Facts with more letters have a line for themselves."""


def page(report: Contents) -> str:
    """The page.

    Args:
        report: What it says.
    """
    return document(report.prompt or "a run without a text", _body(report))


def document(title: str, body: str) -> str:
    """A whole page, with the style sheet and a policy that lets nothing else in.

    Args:
        title: Its title, as text.
        body: Its content, as markup.
    """
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)} · attnscope</title><style>{style()}</style></head><body><main>{body}"
        f"<footer>Made by attnscope {text(__version__)}.</footer></main></body></html>\n"
    )


@cache
def style() -> str:
    """The style sheet."""
    return files("attnscope.reporting").joinpath("style.css").read_text("utf-8") + level_styles()


def _body(report: Contents) -> str:
    parts = [_head(report)]
    if report.words is not None:
        parts.append(words_section(report.words))
    if report.segments is not None:
        parts.append(segments_section(report.segments))
    if report.statistics is not None:
        parts.append(statistics_section(report.statistics))
    if report.gaps:
        told = "".join(f"<li>{text(gap)}</li>" for gap in report.gaps)
        parts.append(section("What is not here", "", [f'<ul class="gaps">{told}</ul>']))
    return "".join(parts)


def _head(report: Contents) -> str:
    shown = ""
    if report.picture is not None:
        shown = picture(report.picture, "the picture", SIDE_PX)
    prompt = foreign(report.prompt) if report.prompt else "A run without a text"
    return (
        f'<header>{shown}<div><p class="kicker">attnscope report</p><h1>{prompt}</h1>'
        f"{facts_list(_facts(report))}</div></header>"
    )


def facts_list(facts: Iterable[tuple[str, str]]) -> str:
    """Short facts beside each other; long ones have a line for themselves.

    Args:
        facts: Their names and values, as texts.
    """
    told = "".join(
        f"<div{' class=long' if len(value) > LONG else ''}><dt>{text(name)}</dt><dd>{foreign(value)}</dd></div>"
        for name, value in facts
    )
    return f'<dl class="facts">{told}</dl>'


def _facts(report: Contents) -> Iterator[tuple[str, str]]:
    trace, run = report.trace, report.trace.run
    planned = f" of {run.planned_steps}" if run.planned_steps else ""
    facts = {
        "Model": None if run.model is None else _without_folders(run.model),
        "Pipeline": run.pipeline,
        "Scheduler": run.scheduler,
        "Seed": run.seed,
        "Guidance scale": None if run.guidance_scale is None else f"{run.guidance_scale:g}",
        "Size": " × ".join(map(str, run.image_size_hw)) if run.image_size_hw else None,
        "Steps captured": f"{len(trace.steps)}{planned}",
        "Negative prompt": trace.prompt(report.image, "uncond"),
        "Edits": ", ".join(run.edits),
        "Attention layers": len(trace.layers) or None,
    }
    yield from ((name, str(value)) for name, value in facts.items() if value not in (None, ""))


def _without_folders(model: str) -> str:
    """A model's name; of a folder of this machine only its own name, since pages are given to others."""
    return Path(model).name if Path(model).is_absolute() else model
