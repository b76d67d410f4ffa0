from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.house.source import ROOT, Module, modules

SHORT = 30
"""A module of at most this many lines may do without a test module of its own."""

EXCEPTIONS: dict[str, str] = {}
"""Module → why no test module carries its name."""


def test_every_module_has_its_namesake_test() -> None:
    """What `src/tachograph/<room>/<module>.py` does is tested in `tests/<room>/test_<module>.py`."""
    assert {path: test for path, test in _untested().items() if path not in EXCEPTIONS} == {}


def test_an_exception_is_still_needed() -> None:
    """A module on the list of exceptions exists, does something, and still has no namesake test."""
    assert EXCEPTIONS.keys() - _untested().keys() == set()


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


def _untested() -> dict[str, str]:
    """Module → the test module it lacks. Declarations (values, protocols) are tested with what uses them."""
    long = [module for module in modules() if module.lines > SHORT and _does_something(module)]
    return {module.path: test for module in long if not (ROOT / (test := _namesake(module))).is_file()}


def _namesake(module: Module) -> str:
    path = PurePosixPath(module.path).relative_to("src/tachograph")
    stem = "public_names" if path.stem == "__init__" else path.stem.strip("_")
    room = "house" if path.stem == "__init__" else path.parent
    return str(PurePosixPath("tests", room, f"test_{stem}.py"))


def _does_something(module: Module) -> bool:
    """Whether it has a function whose body is more than a docstring and `...`."""
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(
        not isinstance(line, ast.Expr) or not isinstance(line.value, ast.Constant)
        for node in functions
        for line in node.body
    )
