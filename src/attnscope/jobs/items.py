"""A folder, a pattern, a list or an address to items, with names that are unique, safe and stable."""

# Texts, not Path objects: there may be 100,000, and many are addresses; the common prefix is one of lists.
# ruff: noqa: PTH100, PTH112, PTH113, PTH117, PTH118, PTH119, PTH120, PTH122, PTH207, RUF071

from __future__ import annotations

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attnscope.errors import ParameterError
from attnscope.files.names import distinct_names
from attnscope.jobs.job import Item
from attnscope.jobs.places import file_system, is_remote, local_path, reaching, read
from attnscope.storage.saving import is_trace

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""Files of a folder that are taken for pictures."""
_PLAIN_LENGTH = 200
_UNSAFE = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_Found = tuple[str, str]  # path relative to where it was looked for, address


def is_many(source: str) -> bool:
    """Whether a text names pictures to be found, not one of them: a pattern, a list, an address.

    Args:
        source: What was given.
    """
    if is_remote(source):
        return True
    return source.lower().endswith(".txt") or (glob.has_magic(source) and not os.path.lexists(source))


def items_of(sources: Sequence[str], *, leave_out: str | None = None) -> list[Item]:
    """The pictures that are named, sorted by address where they are found, each once.

    A name is the path below the folder, without the picture's ending; of a.jpg and a.png both keep it.

    Args:
        sources: Folders (with all below them but traces), patterns with `*` and `**`, lists (a path or an address a
            line, relative to the list; # begins a comment), pictures; all of them also as fsspec addresses.
        leave_out: A folder whose files are none of the pictures: the output.

    Raises:
        ParameterError: A source gives no picture.
        OSError: A list can't be read.
        PlaceError: An address can't be reached.

    Cost: a list of 100,000 files took 8 s on a core that others used, too.
    """
    outside = _prefixes(leave_out)
    found: dict[str, str] = {}
    for source in sources:
        before = len(found)
        for relative, address in _found(source):
            if not address.startswith(outside):
                found.setdefault(address, relative)
        if len(found) == before:
            raise ParameterError(
                f"{source} holds no pictures; expected files that end in {', '.join(ENDINGS)}"
            )
    return [Item(name, address) for name, address in zip(_names(list(found.values())), found, strict=True)]


def _prefixes(folder: str | None) -> tuple[str, ...]:
    """What addresses inside a folder begin with."""
    if folder is None:
        return ()
    if is_remote(folder):
        return (folder.rstrip("/") + "/",)
    return tuple(f"{place}{os.sep}" for place in (os.path.realpath(folder), os.path.abspath(folder)))


def _found(source: str) -> Iterator[_Found]:
    if source.lower().endswith(".txt"):
        return _in_list(source)
    if is_remote(source):
        return _remote(source)
    path = os.fspath(local_path(source))
    if os.path.isdir(path):
        return _in_folder(path)
    if glob.has_magic(path) and not os.path.lexists(path):
        return _in_pattern(path)
    return iter([(os.path.basename(path), path)])


def _in_folder(folder: str) -> Iterator[_Found]:
    root = os.path.abspath(folder)
    for place, folders, files in os.walk(root):
        if is_trace(Path(place)):  # its pictures are what was generated, once more
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if _is_picture(name):
                path = os.path.join(place, name)
                yield os.path.relpath(path, root) if place != root else name, path


def _in_pattern(pattern: str) -> Iterator[_Found]:
    paths = sorted(
        path for path in glob.iglob(pattern, recursive=True) if _is_picture(path) and os.path.isfile(path)
    )
    return _below_common([os.path.abspath(path) for path in paths])


def _remote(source: str) -> Iterator[_Found]:
    files, path = file_system(source)
    try:
        with reaching(source):
            paths = (
                files.glob(path)
                if glob.has_magic(path)
                else [path]
                if _is_picture(path)
                else files.find(path)
            )
    except FileNotFoundError:  # a bucket that is not there; a folder in one is never missing, only empty
        paths = []
    addresses = [files.unstrip_protocol(each) for each in sorted(paths) if _is_picture(each)]
    if glob.has_magic(path) or _is_picture(path):
        return _below_common(addresses)
    start = files.unstrip_protocol(path).rstrip("/") + "/"
    return ((address.removeprefix(start), address) for address in addresses)


def _in_list(source: str) -> Iterator[_Found]:
    folder = (
        source.rpartition("/")[0]
        if is_remote(source)
        else os.path.dirname(os.path.abspath(local_path(source)))
    )
    lines = (line.strip() for line in read(source).decode("utf-8-sig").splitlines())
    written = [line for line in lines if line and not line.startswith("#")]
    absolute = (line if is_remote(line) or os.path.isabs(line) else f"{folder}/{line}" for line in written)
    return _below_common(
        [line if is_remote(line) else os.path.normpath(local_path(line)) for line in absolute]
    )


def _below_common(addresses: list[str]) -> Iterator[_Found]:
    """Addresses with their paths below the folder that all of them are in."""
    folders = [address.replace(os.sep, "/").split("/")[:-1] for address in addresses]
    shared = len(os.path.commonprefix(folders)) if folders else 0  # of lists: whole parts
    return (("/".join(address.replace(os.sep, "/").split("/")[shared:]), address) for address in addresses)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.rpartition("/")[2].startswith(".")


def _names(relatives: Iterable[str]) -> list[str]:
    """A name for each relative path, with `/` between parts. It does not depend on the order of those alike in stem."""
    safe = [_safe(relative) for relative in relatives]
    split = [os.path.splitext(name)[0] for name in safe]
    alike = Counter(split)
    wanted = [name if alike[stem] > 1 else stem for name, stem in zip(safe, split, strict=True)]
    by_folder: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(wanted):
        by_folder[name.rpartition("/")[0]].append(number)
    for folder, numbers in by_folder.items():
        last = _distinct([wanted[each].rpartition("/")[2] for each in numbers])
        for number, name in zip(numbers, last, strict=True):
            wanted[number] = f"{folder}/{name}" if folder else name
    return wanted


def _distinct(names: list[str]) -> list[str]:
    """As `distinct_names`, and quick where names are plain and distinct already."""
    plain = all(name.isascii() and len(name) <= _PLAIN_LENGTH for name in names)
    return names if plain and len({name.lower() for name in names}) == len(names) else distinct_names(names)


def _safe(relative: str) -> str:
    parts = relative.replace(os.sep, "/").split("/")
    return "/".join(_UNSAFE.sub("-", part) for part in parts if part not in ("", ".", ".."))
