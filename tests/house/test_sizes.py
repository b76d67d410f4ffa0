from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from tests.house.source import PACKAGE, ROOT, modules

MODULE, TEST_MODULE, FUNCTION, ASSET, FOLDER = 500, 600, 50, 300, 20
"""Most lines of a module, a test module, a function, a script or style sheet; most modules of a folder."""

EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""Path, or `path::function`, or folder → (its size, why it may be that big). Sizes here only ever shrink."""


class Size(NamedTuple):
    """How large a thing is, and how large it may be."""

    name: str
    size: int
    bound: int


def test_nothing_is_larger_than_a_reader_can_hold() -> None:
    """Modules, functions, assets and folders stay below their bounds, except for those listed with a reason."""
    allowed = {name: size for name, (size, _) in EXCEPTIONS.items()}
    assert [item for item in _measured() if item.size > allowed.get(item.name, item.bound)] == []


def test_an_exception_is_as_large_as_it_says() -> None:
    """A listed exception that shrank is written down smaller; one that fits its bound is taken off the list."""
    needed = {item.name: item.size for item in _measured() if item.size > item.bound}
    assert {name: size for name, (size, _) in EXCEPTIONS.items()} == {
        name: size for name, size in needed.items() if name in EXCEPTIONS
    }


def _measured() -> Iterator[Size]:
    for folder, bound in (("src/tachograph", MODULE), ("tests", TEST_MODULE), ("tools", MODULE), ("bench", MODULE)):
        for module in modules(folder):
            yield Size(module.path, module.lines, bound)
            for name, lines in _functions(module.tree):
                yield Size(f"{module.path}::{name}", lines, FUNCTION)
    for path in sorted((*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css"))):
        yield Size(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8").count("\n"), ASSET)
    folders = Counter(str(PurePosixPath(module.path).parent) for module in modules() if "__init__" not in module.path)
    yield from (Size(folder, count, FOLDER) for folder, count in folders.items())


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, (child.end_lineno or child.lineno) - child.lineno + 1
        yield from _functions(child, name)
