"""Loading without the libraries' own messages and bars."""

from __future__ import annotations

import importlib.util
import os

_QUIET = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}


def quiet_libraries() -> None:
    """Switch off what diffusers and transformers print while they read a pipeline's parts; downloads keep their bars.

    Call it before they are imported: then their warnings are off, too, unless the environment says otherwise.
    """
    for name, level in _QUIET.items():
        os.environ.setdefault(name, level)
    if any(importlib.util.find_spec(package) is None for package in ("diffusers", "transformers")):
        return
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
