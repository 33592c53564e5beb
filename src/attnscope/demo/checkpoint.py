"""Save and resume a training, and write the model as a diffusers folder; always whole or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from attnscope.demo.scenes import WORDS
from attnscope.demo.vocabulary import write_tokenizer
from attnscope.files import whole_file, whole_folder

RECORD = "training.json"


@dataclass
class PhaseRecord:
    """What one phase of the training did so far.

    Attributes:
        steps: Steps taken.
        batch: Samples in the last step.
        samples: Samples seen.
        scenes_before: Scenes that this phase drew in earlier trainings. None of them comes again.
        scenes_drawn: Scenes drawn in this training.
        seconds: Seconds of work.
        done: Whether the phase is over.
        losses: (step, mean of each loss since the entry before).
    """

    steps: int = 0
    batch: int = 0
    samples: int = 0
    scenes_before: int = 0
    scenes_drawn: int = 0
    seconds: float = 0.0
    done: bool = False
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)


@dataclass
class Record:
    """The history of a model, shipped beside its weights as training.json.

    Attributes:
        seed: Seed of the first weights.
        machine: Processor, threads and device.
        versions: Version of each library, by name.
        settings: Minutes, phases, and the weights of losses.
        started: Date and time.
        phases: What each phase did, by its name.
        scores: The evaluation, empty until then.
        earlier: Records of the trainings that these weights come from, oldest first.
    """

    seed: int
    machine: str
    versions: dict[str, str]
    settings: dict[str, Any]
    started: str
    phases: dict[str, PhaseRecord] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """A record from its file.

        Args:
            text: The content of training.json.
        """
        content = json.loads(text)
        content["phases"] = {name: PhaseRecord(**phase) for name, phase in content["phases"].items()}
        return cls(**content)

    def go_on_from(self, start: Record) -> None:
        """Begin with the weights of another training: keep its history and its autoencoder.

        Args:
            start: Its record.
        """
        self.earlier = [*start.earlier, asdict(replace(start, earlier=[]))]
        self.phases["vae"] = PhaseRecord(done=True)

    def new_phase(self, name: str) -> PhaseRecord:
        """An empty record of a phase. Its scenes come after those of the earlier trainings.

        Args:
            name: The phase.
        """
        before = (past["phases"].get(name, {}).get("scenes_drawn", 0) for past in self.earlier)
        self.phases[name] = PhaseRecord(scenes_before=sum(before))
        return self.phases[name]

    def to_json(self) -> str:
        """The content of training.json."""
        return json.dumps(asdict(self), indent=1) + "\n"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to one file, whole or not at all.

    Args:
        path: The file. An older one is replaced.
        state: What to write.
    """
    with whole_file(path) as partial:
        torch.save(state, partial)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote. Anything but tensors and plain values is refused.

    Args:
        path: The file.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def export_model(pipe: StableDiffusionPipeline, record: Record, folder: Path) -> None:
    """Write the pipeline in half precision as a diffusers folder, replacing an older one in a moment.

    The text encoder stays in single precision: it is small, and transformers 5 would run it in half.

    Args:
        pipe: The pipeline.
        record: Its history, which goes into the folder.
        folder: Where to write.
    """
    with whole_folder(folder, overwrite=True) as partial:
        _write_model(pipe, record, partial)


def _write_model(pipe: StableDiffusionPipeline, record: Record, partial: Path) -> None:
    pipe.scheduler.save_pretrained(partial / "scheduler")
    pipe.text_encoder.save_pretrained(partial / "text_encoder")
    name_as_transformers_4(partial / "text_encoder" / "model.safetensors")
    for name in ("unet", "vae"):
        half = type(getattr(pipe, name)).from_config(getattr(pipe, name).config)
        half.load_state_dict(getattr(pipe, name).state_dict())
        half.half().save_pretrained(partial / name)
    write_tokenizer(partial / "tokenizer", WORDS)
    pipe.save_config(partial)
    for config in partial.rglob("*config.json"):
        _forget_where_it_was(config)
    _forget_where_it_was(partial / "model_index.json")
    (partial / RECORD).write_text(record.to_json(), "utf-8")


def _forget_where_it_was(config: Path) -> None:
    """Remove the folder that a model was loaded from: it means nothing elsewhere."""
    content = json.loads(config.read_text("utf-8"))
    if content.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def name_as_transformers_4(weights: Path) -> None:
    """Put "text_model." before the names of a CLIP text encoder's weights, where it is missing.

    transformers 5 leaves it out when it saves, and reads both. transformers 4 reads only names with it, and would
    start from random weights without an error.

    Args:
        weights: The safetensors file, which is changed.
    """
    prefix = "text_model."
    named = {prefix + name.removeprefix(prefix): tensor for name, tensor in load_file(weights).items()}
    save_file(named, weights, metadata={"format": "pt"})
