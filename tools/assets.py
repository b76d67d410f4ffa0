"""Fetch the libraries of the pages: what `src/tachograph/web/assets.toml` names, from npm, checked by hash.

All of them are fetched and checked before the first file is written, each file appears whole or not at all, and no
script of a package runs. Without npm or a network one line says so and that is all: the pages do without. With
`--require` that is an error; `--stamp FILE` is touched when everything is there. Where packages come from is the
business of the machine's npm.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "src" / "tachograph" / "web" / "assets.toml"
INTO = ROOT / "src" / "tachograph" / "web" / "static" / "vendor"
_SECONDS = 120
_NPM = (
    "--ignore-scripts",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-timeout=30000",
)

Library = Mapping[str, Any]


class Unavailable(Exception):
    """There is no npm here, or it cannot get a package."""


class WrongFile(Exception):
    """A package holds another file than the list says."""


def main(arguments: Sequence[str]) -> int:
    """Fetch what is not there; 1 for a file that is not the one of the list."""
    parser = argparse.ArgumentParser(description="Fetch the libraries of the pages.")
    parser.add_argument("--require", action="store_true", help="fail where they cannot be fetched")
    parser.add_argument("--stamp", type=Path, help="a file to touch when all of them are there")
    parser.add_argument("--list", type=Path, default=LIST, help="the list of libraries")
    parser.add_argument("--into", type=Path, default=INTO, help="the folder to write to")
    asked = parser.parse_args(arguments)
    libraries = tomllib.loads(asked.list.read_text(encoding="utf-8"))["library"]
    try:
        fetched = fetch(libraries, asked.into)
    except Unavailable as problem:
        print(f"assets: {problem}; the pages work without them, `make assets` tries again")
        return int(asked.require)
    except WrongFile as problem:
        print(f"assets: {problem}; nothing was written", file=sys.stderr)
        return 1
    if fetched:
        print(f"assets: {', '.join(fetched)}")
    if asked.stamp:
        asked.stamp.touch()
    return 0


def fetch(libraries: Sequence[Library], into: Path) -> list[str]:
    """Fetch what is not in the folder and remove what is in no list; returns what was fetched.

    Raises Unavailable, WrongFile.
    """
    wanted = [library for library in libraries if not all(is_there(file, into) for file in library["files"])]
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="tachograph-assets-") as folder:
        for place, library in enumerate(wanted):
            found |= taken(packed(library, Path(folder, str(place))), library)
    into.mkdir(parents=True, exist_ok=True)
    for name, body in found.items():
        write(into / name, body)
    named = {file["to"] for library in libraries for file in library["files"]}
    for stray in (path for path in into.iterdir() if path.name not in named):
        stray.unlink()
    return [f"{library['name']} {library['version']}" for library in wanted]


def packed(library: Library, folder: Path) -> Path:
    """The package as npm packs it. Raises Unavailable."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed, so there are no libraries")
    folder.mkdir()
    name = f"{library['name']}@{library['version']}"
    command = [npm, "pack", name, *_NPM, "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not get {name} within {_SECONDS} s") from None
    files = list(folder.glob("*.tgz"))
    if done.returncode or len(files) != 1:
        raise Unavailable(f"npm cannot get {name}{_reason(done.stderr)}")
    return files[0]


def _reason(said: str) -> str:
    """What npm says of an error, as it fits into a line."""
    lines = [line.strip() for line in said.splitlines() if "error" in line.lower()]
    return f" ({lines[0][:120]})" if lines else ""


def taken(package: Path, library: Library) -> dict[str, bytes]:
    """Name → body of the named files of a package. Raises WrongFile for one that is missing or another."""
    with tarfile.open(package) as archive:
        held = {member.name.partition("/")[2]: member for member in archive if member.isfile()}
        return dict(_checked(archive, held, library))


def _checked(
    archive: tarfile.TarFile, held: Mapping[str, tarfile.TarInfo], library: Library
) -> Iterator[tuple[str, bytes]]:
    for file in library["files"]:
        name = f"{file['from']} of {library['name']} {library['version']}"
        reader = archive.extractfile(held[file["from"]]) if file["from"] in held else None
        if reader is None:
            raise WrongFile(f"{name} is not in the package")
        body = reader.read()
        if (digest := hashlib.sha256(body).hexdigest()) != file["sha256"]:
            raise WrongFile(f"{name} has the hash {digest}, not {file['sha256']}")
        yield file["to"], body


def is_there(file: Mapping[str, str], into: Path) -> bool:
    """Whether the file of the list is in the folder, and no other under its name."""
    path = into / file["to"]
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]


def write(path: Path, body: bytes) -> None:
    """The file whole, or as it was before."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(body)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
