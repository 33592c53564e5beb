"""A model folder from others, looked at before diffusers opens it: names, JSON and weights, and no code of its own.

Its model_index.json names a class for each part. Only classes of diffusers and transformers are taken, and only
weights in safetensors files, which hold numbers and nothing that could run.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attnscope.errors import ModelError

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
MAX_NUMBER = 1_000_000
"""Of a size in a network's or scheduler's configuration: vocabularies have some 250,000 words."""
MAX_JSON_BYTES = 64 << 20  # tokenizers have some MB
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle", ".msgpack", ".h5")
"""Of weights that can run a program when they are opened, or that nothing here reads."""


class Part(NamedTuple):
    """A part of a pipeline, as its folder names it.

    Attributes:
        name: Such as 'unet'; also its folder's name.
        folder: Where it is.
        kind: Its class in diffusers or transformers.
    """

    name: str
    folder: Path
    kind: type

    @property
    def has_weights(self) -> bool:
        """Whether it is a neural network."""
        import torch

        return issubclass(self.kind, torch.nn.Module)


def checked_parts(folder: Path, given: Container[str]) -> list[Part]:
    """The parts of a model folder.

    Args:
        folder: With a model_index.json in it.
        given: Names of the parts that the caller brings himself.

    Raises:
        ModelError: It names what is no part of a diffusers pipeline, a part is missing or broken, or weights are in
            no safetensors file.
    """
    index = _json_object(folder / INDEX)
    pipeline = _pipeline_class(index.get("_class_name"))
    parts = []
    for name, parameter in inspect.signature(pipeline).parameters.items():
        if name in given or name in ("self", "args", "kwargs"):
            continue
        entry = index.get(name)
        if isinstance(entry, list):
            if (part := _part(folder, name, entry, parameter.annotation)) is not None:
                parts.append(part)
        elif parameter.default is parameter.empty:
            raise ModelError(
                f'{INDEX} says {_short(entry)} of {name}; expected ["library", "class"]: {pipeline.__name__} needs one'
            )
    for part in parts:
        _check_folder(part)
    return parts


def _pipeline_class(name: object) -> type:
    import diffusers

    if isinstance(name, list):
        raise ModelError(
            f"{INDEX} names a pipeline with its own code, {_short(name)}; code from a model's folder is not "
            "run: read it, load the pipeline with diffusers yourself, and give the pipeline"
        )
    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise ModelError(
            f"{INDEX} says _class_name {_short(name)}; expected a pipeline of diffusers {diffusers.__version__}, such "
            "as 'StableDiffusionPipeline'"
        )
    return found


def _part(folder: Path, name: str, entry: list[Any], wanted: object) -> Part | None:
    """A part; None where the folder says [null, null], that it has none."""
    if entry == [None, None]:
        return None
    if len(entry) != 2 or not all(isinstance(word, str) for word in entry):
        raise ModelError(f'{INDEX} says {_short(entry)} of {name}; expected ["library", "class"]')
    kind = _class_of(*entry)
    if kind is None:
        raise ModelError(
            f"{INDEX} says {_short(entry)} of {name}; expected a class of {' or '.join(LIBRARIES)}, as they "
            "are installed. Code from a model's folder, or from other packages, is not run: load such a "
            "pipeline yourself"
        )
    part = Part(name, folder / name, kind)
    if _is_network(wanted) and not part.has_weights:
        raise ModelError(f"{INDEX} says {_short(entry)} of {name}; expected a model, not a {kind.__name__}")
    return part


def _class_of(library: str, name: str) -> type | None:
    """A class that diffusers or transformers has under this name."""
    import diffusers
    import transformers
    from diffusers import pipelines

    module = {"diffusers": diffusers, "transformers": transformers}.get(library)
    if module is None and library.isidentifier():
        module = getattr(pipelines, library, None)  # such as 'stable_diffusion', of its safety checker
        if not getattr(module, "__name__", "").startswith("diffusers.pipelines."):
            return None
    try:
        found = getattr(module, name, None)
    except (ImportError, RuntimeError):  # a class that wants a package which is not there
        return None
    inside = isinstance(found, type) and found.__module__.partition(".")[0] in LIBRARIES
    return found if inside and hasattr(found, "from_pretrained") else None


def _is_network(wanted: object) -> bool:
    import torch

    return isinstance(wanted, type) and issubclass(wanted, torch.nn.Module)


def _check_folder(part: Part) -> None:
    if not part.folder.is_dir():
        raise ModelError(
            f"{part.folder} is missing; {INDEX} names it a {part.kind.__name__}: copy the whole model"
        )
    for path in sorted(part.folder.glob("*.json")):
        if path.name.endswith("config.json") or ".index." in path.name:
            _check_sizes(path, contents := _json_object(path))
            _check_shards(path, contents)
    if part.has_weights:
        if not (part.folder / "config.json").is_file():
            raise ModelError(f"{part.folder} holds no config.json: copy the whole model")
        for path in _weights(part):
            _check_header(path)


def _check_shards(path: Path, index: dict[str, Any]) -> None:
    """Refuse an index that sends its reader to files of another kind, or out of its folder."""
    if ".safetensors.index." not in path.name:
        return
    shards = index.get("weight_map")
    for name in set(map(str, shards.values())) if isinstance(shards, dict) else ():
        if not name.endswith(".safetensors") or Path(name).name != name:
            raise ModelError(
                f"{path} says that weights are in {_short(name)}; expected .safetensors files beside it: copy the "
                "whole model again, from where you trust it"
            )


def _check_sizes(path: Path, configuration: dict[str, Any]) -> None:
    """Refuse sizes that would take all memory before anybody compares them with the weights."""
    if path.name not in ("config.json", "scheduler_config.json"):
        return
    for name, value in configuration.items():
        numbers = value if isinstance(value, list) else [value]
        if large := [number for number in numbers if isinstance(number, int) and number > MAX_NUMBER]:
            raise ModelError(f"{path}: {_short(name)} is {_short(large[0])}; expected at most {MAX_NUMBER:,}")


def broken_part(parts: Sequence[Part]) -> str:
    """The first part that can't be loaded by itself, with a colon; empty if there is none.

    Args:
        parts: Of a pipeline that could not be loaded.
    """
    for part in parts:
        kind: Any = part.kind
        only = {"use_safetensors": True} if part.has_weights else {}
        try:
            kind.from_pretrained(part.folder, local_files_only=True, **only)
        except Exception:  # what was caught already, this time of this part alone
            return f"{part.name}: "
    return ""


def _weights(part: Part) -> Iterator[Path]:
    """The safetensors files of a part, at least one."""
    files = sorted(path for path in part.folder.iterdir() if path.is_file())
    weights = [path for path in files if path.suffix == ".safetensors"]
    if pickles := [path.name for path in files if path.suffix.lower() in PICKLES and not weights]:
        raise ModelError(
            f"{part.folder} holds its weights in {_short(pickles[0])} only, a kind of file that can run any "
            "program when it is opened; expected .safetensors: look for such files of the same model, or "
            "convert it if you trust it"
        )
    if not weights:
        raise ModelError(f"{part.folder} holds no weights, no .safetensors file: copy the whole model")
    yield from weights


def _check_header(path: Path) -> None:
    """Open a file of weights, which reads its header and compares it with the file's size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or cut short ({_short(str(error))}): copy it again") from error


def _json_object(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        contents = json.loads(path.read_text("utf-8")) if size <= MAX_JSON_BYTES else None
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ModelError(f"{path} can't be read as JSON: {_short(str(error))}") from error
    if not isinstance(contents, dict):
        what = f"{size:,} bytes" if contents is None and size > MAX_JSON_BYTES else _short(contents)
        raise ModelError(
            f"{path} holds {what}; expected a JSON object, {{...}}, of at most {MAX_JSON_BYTES:,} bytes"
        )
    return contents


def _short(value: object) -> str:
    """A value as text for a message, printable and not endless."""
    text = value if isinstance(value, str) and " " in value else repr(value)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text):,} characters)"
