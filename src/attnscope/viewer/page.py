"""The page and its files: a fixed list, read once, the same for the server and for exported pages.

Modules import each other by bare names ("attnscope/state"); an import map says where those are: at addresses of
this server, or, in an exported page, inside the page itself. So nothing has to be built or bundled.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

TYPES = {".js": "text/javascript", ".css": "text/css"}
SCRIPTS = "attnscope/"
VENDORED = {SCRIPTS + "preact": "vendor/htm-preact-standalone.js"}


@cache
def static_files() -> Mapping[str, bytes]:
    """Name -> content of everything the page loads."""
    return dict(_files_below(files("attnscope.viewer").joinpath("static"), ""))


def _files_below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files_below(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()


def style_names() -> list[str]:
    """The style sheets: the page's own first, then those of its parts."""
    return sorted(
        (name for name in static_files() if name.endswith(".css")), key=lambda name: (name.count("/"), name)
    )


def html(import_map: Callable[[str], str], style: str, data: str = "") -> str:
    """The page. import_map: file name -> where a script is; style: markup of the style sheet; data: markup before
    the scripts."""
    imports = {name: import_map(file) for name, file in _modules().items()}
    template = static_files()["index.html"].decode()
    parts = {
        "STYLE": style,
        "IMPORT_MAP": _map_text(imports),
        "DATA": data,
        "START": f'<script type="module" src="{imports[SCRIPTS + "app"]}"></script>',
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text)
    return template


def import_map_hash() -> str:
    """What the content security policy must allow: the page's one inline script."""
    text = _map_text({name: address(file) for name, file in _modules().items()})
    inside = text.removeprefix(_MAP_OPEN).removesuffix(_CLOSE)
    return "sha256-" + base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()


def data_address(file: str) -> str:
    """The file inside an address of its own."""
    content = base64.b64encode(static_files()[file]).decode()
    return f"data:{TYPES['.' + file.rsplit('.', 1)[1]]};base64,{content}"


_MAP_OPEN, _CLOSE = '<script type="importmap">', "</script>"


def _map_text(imports: Mapping[str, str]) -> str:
    return f"{_MAP_OPEN}{json.dumps({'imports': dict(imports)})}{_CLOSE}"


def _modules() -> dict[str, str]:
    """Bare name -> file of every script."""
    own = {
        SCRIPTS + name.removesuffix(".js"): name
        for name in sorted(static_files())
        if name.endswith(".js") and not name.startswith("vendor/") and name != "export-source.js"
    }
    return own | VENDORED


def address(file: str) -> str:
    """Of a file of this server, from the page's own address, wherever a proxy shows it."""
    return f"./static/{file}?{digest(file)}"


def digest(file: str) -> str:
    """Changes with the file."""
    return hashlib.sha256(static_files()[file]).hexdigest()[:12]
