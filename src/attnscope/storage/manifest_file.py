"""The manifest of a trace as a file: all passes as one text with a digest, written and read with suspicion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnscope.errors import TraceFormatError
from attnscope.storage.digests import json_digest
from attnscope.storage.manifest import MANIFEST, PassManifest, digest_of_pass
from attnscope.storage.plain import text_length
from attnscope.storage.plain_files import RESTORE, bytes_at, damaged, plain_file, stamp_of, strict_json
from attnscope.storage.shard_headers import FORMAT, VERSION
from attnscope.storage.values import brief, items, reason

READABLE = (1, 2)
MAX_MANIFEST_BYTES = 64 << 20
MAX_PASSES = 1000
MAX_TEXTS = 1 << 20  # characters of all prompts, which are read as words: some seconds
_KEYS = {"format", "version", "passes", "digest"}


def manifest_text(passes: list[PassManifest]) -> str:
    """All passes as JSON.

    Args:
        passes: The passes, in order.
    """
    texts = [manifest.to_text() for manifest in passes]
    joined, digest = ",\n".join(text for text, _ in texts), json_digest([each for _, each in texts])
    return f'{{"format": "{FORMAT}", "version": {VERSION}, "passes": [\n{joined}\n],\n"digest": {digest}}}\n'


def is_intact(data: Mapping[str, Any]) -> bool:
    """Whether a manifest's digest is that of what it says. Earlier ones have none.

    Args:
        data: The manifest's JSON value, parsed without an error.
    """
    if "digest" not in data:
        return True
    found = [digest_of_pass(item, map(json_digest, item["calls"])) for item in data["passes"]]
    return bool(data["digest"] == json_digest(found))


def parse_manifest(data: Any, folder: Path) -> list[PassManifest]:
    """The passes of a manifest, checked.

    Args:
        data: The manifest's JSON value.
        folder: Its folder, for messages.

    Raises:
        TraceFormatError: It is no manifest, is damaged, or has another format version.
    """
    where = folder / MANIFEST
    version = _checked_version(data, where)
    try:
        if version > 1 and (unknown := sorted(set(data) - _KEYS)):
            raise ValueError(f"an entry {brief(unknown[0])}")
        passes = [data] if version == 1 else items(data["passes"])
        if not 1 <= len(passes) <= MAX_PASSES:
            raise ValueError(f"{len(passes)} passes; expected 1 to {MAX_PASSES}")
        manifests = [PassManifest.parse(item, at, version) for at, item in enumerate(passes)]
        if (length := sum(text_length(manifest.run) for manifest in manifests)) > MAX_TEXTS:
            raise ValueError(f"texts of {length} characters; expected at most {MAX_TEXTS}")
        return manifests
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(where, reason(error)) from error


def _checked_version(data: Any, where: Path) -> int:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TraceFormatError(f"{where}: not an {FORMAT} manifest; give a folder that `trace.save` wrote")
    version = data.get("version")
    if type(version) is not int or version not in READABLE:
        raise TraceFormatError(
            f"{where}: format version {brief(version)}; this attnscope reads versions 1 and 2: use the attnscope that "
            "wrote it, or capture again"
        )
    return version


def read_manifest(folder: Path) -> tuple[list[PassManifest], bool]:
    """The passes of a trace's folder, and whether the manifest is as it was written.

    Args:
        folder: The folder.

    Raises:
        TraceFormatError: The manifest is missing, too large, damaged, or has another format version.
    """
    path = folder / MANIFEST
    try:
        data = strict_json(manifest_bytes(folder))
    except TraceFormatError:
        raise
    except ValueError as error:
        raise TraceFormatError(f"{path}: not readable as JSON ({reason(error)}); {RESTORE}") from error
    return parse_manifest(data, folder), is_intact(data)


def manifest_bytes(folder: Path) -> bytes:
    """A manifest as it is in its file.

    Args:
        folder: The trace's folder.

    Raises:
        TraceFormatError: It is missing, no plain file, or too large.
    """
    path = folder / MANIFEST
    with plain_file(
        path, missing=f"{folder} has no {MANIFEST}: it is not a trace, or its first step was never written"
    ) as file:
        if (size := stamp_of(file)[2]) > MAX_MANIFEST_BYTES:
            raise TraceFormatError(
                f"{path}: {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}: {RESTORE}"
            )
        return bytes_at(file, 0, size)
