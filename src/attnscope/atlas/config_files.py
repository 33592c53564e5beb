"""Configurations in files: a config.json, and those of models in the hub's local cache."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attnscope.errors import ModelError

MAX_CONFIG_BYTES = 1_000_000  # a model's config.json has about 2 kB


def read_config(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The contents of a config.json.

    Args:
        path: The file.
        optional: Whether a file that is not there is an empty one.

    Raises:
        ModelError: It can't be read, or is no JSON object.
    """
    if optional and not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"{path} is larger than {MAX_CONFIG_BYTES} bytes, so it is not a model configuration"
            )
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"the configuration {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not a JSON configuration; give a model's config.json or its folder"
        ) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"{path} holds a {type(config).__name__}, expected a JSON object with a model's configuration"
        )
    return config


def cached_folder(hub_id: str, components: Iterable[str]) -> Path | None:
    """Where the local cache has a model's files; None where it has no configuration of it.

    Args:
        hub_id: Its id, owner/name.
        components: Folders of a pipeline that may hold its denoising model.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for component in (*components, ""):
        file = f"{component}/config.json" if component else "config.json"
        try:
            found = try_to_load_from_cache(hub_id, file)
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parents[1] if component else Path(found).parent
    return None
