"""The source of the package, read once for all house tests."""

from __future__ import annotations

import ast
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "tachograph"


class Module(NamedTuple):
    """One Python file: its path below the checkout, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Physical lines."""
        return self.text.count("\n")

    @property
    def dotted(self) -> str:
        """The name it is imported by."""
        return self.path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def modules(folder: str = "src/tachograph") -> tuple[Module, ...]:
    """Every Python file below a folder of the checkout, by path."""
    files = sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    texts = [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files]
    return tuple(Module(path, text, ast.parse(text, path)) for path, text in texts)


def rooms() -> list[str]:
    """The packages directly inside ours."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that is to find the package of this checkout, wherever it runs."""
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}
