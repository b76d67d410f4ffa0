"""Scripts and styles: our own, and the libraries that `make assets` fetched, as far as they are there.

A library counts only when each of its files is the one whose hash stands in `assets.toml`. All files together have a
stamp; it stands in their address, so that a browser may keep them for ever.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec
from msgspec import Struct

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class File(Struct, frozen=True, rename={"from_": "from"}, forbid_unknown_fields=True):
    """A file of a package."""

    from_: str
    """Its path in the package."""
    to: str
    """Its name beside ours."""
    sha256: str


class Library(Struct, frozen=True, forbid_unknown_fields=True):
    """A package of npm, at one version."""

    name: str
    version: str
    license: str
    use: str
    """What the pages have from it."""
    files: tuple[File, ...]
    tests: bool = False
    """Whether only tests need it: then it is never shipped."""


class Asset(Struct, frozen=True):
    """A file as it is sent."""

    body: bytes
    media: str


def libraries() -> tuple[Library, ...]:
    """What `make assets` fetches."""
    text = files("tachograph.web").joinpath("assets.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["library"], tuple[Library, ...])


@cache
def assets() -> Mapping[str, Asset]:
    """Every file there is, by its name."""
    own = files("tachograph.web").joinpath("static")
    found = {path.name: _read(path) for path in own.iterdir() if path.name.endswith(tuple(_TYPES))}
    for library in libraries():
        got = {} if library.tests else {file.to: _kept(file) for file in library.files}
        if all(asset is not None for asset in got.values()):
            found |= {name: asset for name, asset in got.items() if asset is not None}
    return found


@cache
def stamp() -> str:
    """Names this state of all files."""
    together = hashlib.sha256()
    for name, asset in sorted(assets().items()):
        together.update(f"{name} {len(asset.body)} ".encode() + asset.body)
    return together.hexdigest()[:16]


def missing() -> tuple[str, ...]:
    """Libraries that the pages do without, because a file of theirs is not there or is another one."""
    return tuple(
        library.name
        for library in libraries()
        if not library.tests and not all(file.to in assets() for file in library.files)
    )


def _kept(file: File) -> Asset | None:
    path = files("tachograph.web").joinpath("static", "vendor", file.to)
    if not path.is_file():
        return None
    asset = _read(path)
    return asset if hashlib.sha256(asset.body).hexdigest() == file.sha256 else None


def _read(path: Traversable) -> Asset:
    return Asset(path.read_bytes(), _TYPES.get(path.name[path.name.rfind(".") :], "text/plain; charset=utf-8"))
