from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.house.source import ROOT, Module, modules

SHORT = 30
"""A module of at most this many lines may do without a test module of its own."""

EXCEPTIONS = {
    "src/tachograph/store/ports.py": "protocols: tests/contracts runs every backend against them",
}
"""Module → why no test module carries its name."""


def test_every_module_has_its_namesake_test() -> None:
    """`src/tachograph/<room>/<module>.py` is tested in `tests/<room>/test_<module>.py`."""
    missing = {module.path: _namesake(module) for module in modules() if module.lines > SHORT and not _tested(module)}
    assert {path: test for path, test in missing.items() if path not in EXCEPTIONS} == {}


def test_an_exception_is_still_needed() -> None:
    """A module on the list of exceptions exists, is long, and still has no namesake test."""
    needed = {module.path for module in modules() if module.lines > SHORT and not _tested(module)}
    assert set(EXCEPTIONS) - needed == set()


def test_every_test_says_one_sentence() -> None:
    """Each test function opens with a docstring: the behaviour, in a sentence that ends with a full stop."""
    silent = [
        f"{module.path}::{node.name}"
        for module in modules("tests")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not (ast.get_docstring(node) or "").rstrip().endswith((".", ".)"))
    ]
    assert silent == []


def _tested(module: Module) -> bool:
    return (ROOT / _namesake(module)).is_file()


def _namesake(module: Module) -> str:
    path = PurePosixPath(module.path).relative_to("src/tachograph")
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    return str(PurePosixPath("tests", path.parent, f"test_{stem.strip('_')}.py"))
