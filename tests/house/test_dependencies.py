from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import PurePosixPath

from tests.house.source import ROOT, Module, modules

CORE = {"alembic", "genai_prices", "httpx2", "msgspec", "sqlalchemy", "zstandard"}
"""What every installation has."""

EXTRAS = {
    "agent": ("otel", {"opentelemetry"}),
    "cli": ("cli", {"rich", "typer"}),
    "providers": ("agents", {"anthropic", "openai", "pydantic_ai"}),
    "server": ("server", {"prometheus_client", "starlette", "uvicorn"}),
    "web": ("server", {"jinja2", "markupsafe"}),
    "upkeep": ("archive", {"pyarrow"}),
}
"""Room → its extra, and packages of it, which only this room imports."""


def test_each_room_imports_only_what_it_may() -> None:
    """Other packages are imported only where the core has them, or in the room whose extra brings them."""
    strays = {
        module.path: found
        for module in modules()
        if (found := _packages(module) - CORE - EXTRAS.get(PurePosixPath(module.path).parts[2], ("", set()))[1])
    }
    assert strays == {}


def test_databases_are_imported_by_the_store_alone() -> None:
    """No module outside the store imports SQLAlchemy or Alembic."""
    outside = [module for module in modules() if not module.path.startswith("src/tachograph/store/")]
    assert [module.path for module in outside if _packages(module) & {"alembic", "sqlalchemy"}] == []


def test_what_is_imported_is_declared() -> None:
    """The packages named here are those that pyproject.toml asks for, in the core and in each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {extra: _imported(_names(project["optional-dependencies"][extra])) for extra, _ in EXTRAS.values()}
    asked: dict[str, set[str]] = {}
    for extra, packages in EXTRAS.values():
        asked.setdefault(extra, set()).update(packages)
    assert (_names(project["dependencies"]), brought) == (CORE, asked)


def _packages(module: Module) -> set[str]:
    """Top-level names of the packages a module imports that are neither ours nor Python's."""
    names = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {"tachograph"}


def _imported(packages: set[str]) -> set[str]:
    """Import names of packages: one of them brings the clients of the providers that its own extras name."""
    names = {
        "jinja2": {"jinja2", "markupsafe"},
        "opentelemetry_sdk": {"opentelemetry"},
        "pydantic_ai_slim": {"pydantic_ai", "anthropic", "openai"},
    }
    return {name for package in packages for name in names.get(package, {package})}


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", item)[0].lower().replace("-", "_") for item in requirements}
