"""Models that the atlas knows without a file, by their names and their ids on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attnscope.atlas.families import FAMILIES, UNET, Config, Family, Known

DEMO_FOLDER = Path(__file__).parent.parent / "demo" / "model"
"""The shipped model, a diffusers folder for plain `StableDiffusionPipeline.from_pretrained`."""
DEMO_MERGE_THRESHOLD = 0.5
"""DiffSeg's merging threshold for the shipped model, in nats; docs/demo-model.md says how it was chosen."""

UNETS: Mapping[str, Config] = {name: known.config for name, known in UNET.known.items()}
MODELS: Mapping[str, tuple[Family, Known, str]] = {
    name: (family, known, known.pipeline)
    for family in (UNET, *FAMILIES)
    for name, known in family.known.items()
}
"""By name: the family, what is known, and the class of the pipeline."""
NAMES = (*MODELS, "demo")
HUB_MODELS: Mapping[str, tuple[Family, Known, str]] = {
    hub_id: (family, known, pipeline)
    for family, known, _ in MODELS.values()
    for hub_id, pipeline in {**dict.fromkeys(known.hub, known.pipeline), **known.others}.items()
}
"""By hub id."""
