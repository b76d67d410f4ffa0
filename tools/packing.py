"""The build hook: a wheel and an sdist carry the libraries of the pages, though git ignores them, or are not built.

An editable install needs none. What only tests need is not shipped.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = "src/tachograph/web"


class LibrariesMissing(Exception):
    """A library of the pages is not there as it should be."""


class Packing(BuildHookInterface):  # type: ignore[type-arg] # the build's configuration is of no interest here
    """Adds the libraries to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files for the archive. Raises LibrariesMissing."""
        if version != "editable":
            build_data["artifacts"] += [f"/{path}" for path in shipped(Path(self.root))]


def shipped(root: Path) -> tuple[str, ...]:
    """Paths of the libraries' files, their licences among them. Raises LibrariesMissing."""
    files = dict(_files(root))
    wrong = [name for name, digest in files.items() if _digest(root / name) != digest]
    if wrong:
        raise LibrariesMissing(
            f"{', '.join(wrong)}: missing, or not the file of assets.toml. `make assets` fetches the libraries of the "
            "pages; a release is not built without them."
        )
    return tuple(files)


def _files(root: Path) -> Iterator[tuple[str, str]]:
    listed = tomllib.loads((root / WEB / "assets.toml").read_text(encoding="utf-8"))["library"]
    for library in (each for each in listed if not each.get("tests")):
        for file in library["files"]:
            yield f"{WEB}/static/vendor/{file['to']}", file["sha256"]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
