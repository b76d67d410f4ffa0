from __future__ import annotations

import ast
from importlib import import_module

import pytest

import tachograph
from tests.house.source import modules


def test_public_names_are_sorted_and_complete() -> None:
    """`__all__` is sorted, and holds what type checkers see and `dir()` shows, but for the version."""
    assert tachograph.__all__ == sorted(set(tachograph.__all__))
    assert {*tachograph.__all__, "__version__"} == set(_declared())
    assert dir(tachograph) == sorted((*tachograph.__all__, "__version__"))


def test_a_public_name_is_what_its_home_defines() -> None:
    """Each public name, fetched lazily, is the very object that type checkers are told it is."""
    homes = {name: _found(module, attribute) for name, (module, attribute) in _declared().items()}
    assert {name: getattr(tachograph, name) for name in homes} == homes
    assert [name for name in tachograph.__all__ if not (homes[name].__doc__ or "").strip()] == []


def test_a_name_that_is_not_public_is_refused() -> None:
    """An unknown attribute of the package raises AttributeError with its name."""
    with pytest.raises(AttributeError, match="no_such_name"):
        tachograph.no_such_name  # noqa: B018 - asking for it is the test


def _found(module: str, attribute: str) -> object:
    """What `from module import attribute` gives."""
    home = import_module(module)
    return getattr(home, attribute) if hasattr(home, attribute) else import_module(f"{module}.{attribute}")


def _declared() -> dict[str, tuple[str, str]]:
    """Public name → (module, attribute), as the imports for type checkers state them."""
    package = next(module for module in modules() if module.dotted == "tachograph")
    imports = [node for node in ast.walk(package.tree) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in imports if (node.module or "").startswith("tachograph.")]
    return {item.asname or item.name: (node.module or "", item.name) for node in ours for item in node.names}
