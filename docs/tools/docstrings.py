"""Public docstrings against signatures, read from the source: nothing of attnscope is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SERVER = (
    "studio/asked.py",
    "studio/bringing.py",
    "studio/messages.py",
    "studio/routes.py",
    "studio/schemas.py",
    "viewer/aggregates.py",
    "viewer/answers.py",
    "viewer/clicking.py",
    "viewer/described.py",
    "viewer/encoding.py",
    "viewer/explained.py",
    "viewer/files.py",
    "viewer/gate.py",
    "viewer/learning.py",
    "viewer/learning_forms.py",
    "viewer/opened.py",
    "viewer/page.py",
    "viewer/schemas.py",
)
"""Inside of the server: its questions describe themselves at /docs."""
COMMAND = re.compile(r"cli/\w+\.py:\w+_command")
"""Functions of the command line: `--help` shows their docstring, and the `help=` of each parameter."""

Callable = ast.FunctionDef | ast.AsyncFunctionDef
_ITEM = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?: ")


def problems(source: Path) -> Iterator[str]:
    """Each public function, method and class whose docstring lists other parameters than it has, or is missing.

    Args:
        source: The package's folder.
    """
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).as_posix()
        if not name.startswith(SERVER):
            for line, problem in _of_file(name, ast.parse(path.read_text("utf-8"))):
                yield f"{name}:{line}: {problem}"


def _of_file(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        if COMMAND.fullmatch(f"{name}:{getattr(node, 'name', '')}"):
            continue
        if isinstance(node, Callable) and _is_public(node):
            yield from _compared(node, node.name, "Args", _parameters(node))
        elif isinstance(node, ast.ClassDef) and _is_public(node):
            yield from _of_class(node)


def _of_class(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    methods = {item.name: item for item in node.body if isinstance(item, Callable) and not _is_setter(item)}
    born = _parameters(methods["__init__"])[1:] if "__init__" in methods else []
    yield from _compared(node, node.name, "Args", born)
    fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    if unknown := [name for name in _listed(ast.get_docstring(node), "Attributes") if name not in fields]:
        yield node.lineno, f"{node.name} has no attribute {', '.join(unknown)}, which its docstring lists"
    for method in methods.values():
        if _is_public(method) and not _is_stub(method):
            static = any(getattr(mark, "id", "") == "staticmethod" for mark in method.decorator_list)
            parameters = _parameters(method)[0 if static else 1 :]
            yield from _compared(method, f"{node.name}.{method.name}", "Args", parameters)


def _compared(
    node: Callable | ast.ClassDef, name: str, section: str, parameters: list[str]
) -> Iterator[tuple[int, str]]:
    docstring = ast.get_docstring(node)
    if docstring is None:
        yield node.lineno, f"{name} has no docstring"
    listed = _listed(docstring, section)
    if missing := [parameter for parameter in parameters if parameter not in listed]:
        yield node.lineno, f"{name}: {section} lacks {', '.join(missing)}"
    if unknown := [parameter for parameter in listed if parameter not in parameters]:
        yield node.lineno, f"{name}: {section} has {', '.join(unknown)}, which the signature lacks"


def _listed(docstring: str | None, section: str) -> list[str]:
    """The names in one section of a Google-style docstring."""
    _, _, rest = f"\n{docstring or ''}\n".partition(f"\n{section}:\n")
    block = rest.split("\n\n")[0].splitlines()
    matches = (_ITEM.match(line.removeprefix("    ")) for line in block)
    return [match.group(1) for match in matches if match]


def _parameters(node: Callable) -> list[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [argument.arg for argument in (*named, *starred)]


def _is_public(node: Callable | ast.ClassDef) -> bool:
    return not node.name.startswith("_")


def _is_setter(node: Callable) -> bool:
    """A property's setter: its docstring is the getter's."""
    return any(getattr(mark, "attr", "") == "setter" for mark in node.decorator_list)


def _is_stub(node: Callable) -> bool:
    """A protocol's method, whose body is `...`."""
    only = node.body[0]
    return isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant) and only.value.value is ...
