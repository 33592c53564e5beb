"""The model hub: whether it can be reached, and where what came from it is kept."""

from __future__ import annotations

import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnscope.recording.obstacles.obstacle import Obstacle

ENDPOINT = "https://huggingface.co"
SECONDS = 2.0
"""How long an answer is waited for."""
_YES = ("1", "on", "yes", "true")


@dataclass(frozen=True)
class Hub:
    """Where models come from.

    Attributes:
        offline: Whether HF_HUB_OFFLINE forbids to ask it.
        endpoint: Its address, from HF_ENDPOINT.
        reachable: Whether it answered; None if it was not asked.
        note: Why it did not answer.
        cache: Folder of the models that came from it, from HF_HOME and its like.
        writable: Whether more can be written there.
        free: Bytes that are free there, None if unknown.
    """

    offline: bool
    endpoint: str
    reachable: bool | None
    note: str
    cache: Path
    writable: bool
    free: int | None


def hub() -> Hub:
    """The hub as the environment names it, asked once.

    Cost: at most two seconds.
    """
    offline = any(
        os.environ.get(name, "").lower() in _YES for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    why = "" if offline else _why_silent(endpoint)
    cache = _cache()
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    return Hub(
        offline,
        endpoint,
        None if offline else not why,
        why,
        cache,
        there.is_dir() and os.access(there, os.W_OK),
        _free(there),
    )


def _cache() -> Path:
    home = Path(
        os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    )
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _why_silent(endpoint: str) -> str:
    """Why an address does not answer in time; "" if it does. Names are looked up in a thread, which may hang."""
    if not endpoint.startswith(("http://", "https://")):
        return "HF_ENDPOINT is no http address"
    answer = [f"no answer in {SECONDS:g} s"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=SECONDS).close()
            answer.append("")
        except urllib.error.HTTPError:  # it answered
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)) or type(error).__name__)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return answer[-1]


def hub_obstacles(found: Hub) -> Iterator[Obstacle]:
    """What keeps models from being kept. A hub that is out of reach stands in nobody's way who has the model.

    Args:
        found: The hub.
    """
    if not found.offline and not found.writable:
        yield Obstacle(
            f"models can't be kept in {found.cache}, which is not writable", "name another folder in HF_HOME"
        )
