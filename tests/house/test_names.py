from __future__ import annotations

import ast
import re

from tests.house.source import PACKAGE, modules, rooms

VAGUE = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "shared", "stuff", "util", "utils"}
"""Names that say where something was put, not what it is."""

VAGUE_ENDINGS = ("Helper", "Helpers", "Manager", "Util", "Utils")


def test_no_file_or_folder_has_a_name_for_anything() -> None:
    """No module, folder or class of the package is called utils, helpers, manager or common."""
    parts = {path.stem.strip("_").lower() for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts}
    classes = [node.name for module in modules() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    assert parts & VAGUE == set()
    assert [name for name in classes if name.endswith(VAGUE_ENDINGS)] == []


def test_every_folder_says_in_one_line_what_it_is() -> None:
    """Each `__init__.py` below the package is one docstring of one line and nothing else; Alembic's folder has none."""
    inits = [module for module in modules() if module.path.endswith("/__init__.py")][1:]
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE, PACKAGE / "store" / "migrations" / "versions"}
    assert len(inits) == len(folders)
    assert [module.path for module in inits if not re.fullmatch(r'"""[^"\n]+\."""\n', module.text)] == []
    assert set(rooms()) == {module.dotted.split(".")[1] for module in inits}


def test_every_module_tells_its_idea() -> None:
    """Each module of the package opens with a docstring."""
    assert [module.path for module in modules() if not ast.get_docstring(module.tree)] == []
