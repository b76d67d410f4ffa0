"""Files that may hold recorded conversations: found below folders, opened whatever they are packed with.

A file is known by its path and read whole: records of a document, and the lines of a log, are slices of its bytes.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard
from msgspec import Struct

from tachograph.errors import ImportFailed, NotFound

SUFFIXES = (".json", ".jsonl", ".ndjson", ".traj")
"""Names that are looked at inside a folder, packed or not; a file that is named itself may be called anything."""
PACKED = (".gz", ".zst")
_FAULTS = (EOFError, OSError, zstandard.ZstdError, zlib.error)


class File(Struct, frozen=True):
    """A file as it is now."""

    path: Path
    """Absolute."""
    size: int
    """Bytes on disk."""
    mtime_ns: int

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return str(self.path)


def find(paths: Iterable[Path]) -> Iterator[File]:
    """The files named, and those below the folders named, each once, in the order of their names. Raises NotFound."""
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise NotFound("file or folder", str(path), place=True)
        for file in _below(path.resolve()) if path.is_dir() else [_file(path.resolve())]:
            if file is not None and file.path not in seen:
                seen.add(file.path)
                yield file


def read(path: Path) -> bytes:
    """Everything in it, unpacked. Raises ImportFailed."""
    try:
        with path.open("rb") as raw:
            return _unpacked(raw)
    except _FAULTS as problem:
        raise ImportFailed(str(path), None, f"cannot be read: {problem}") from problem


def _below(folder: Path) -> Iterator[File | None]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in {".git", "node_modules", "__pycache__"})
        for name in sorted(names):
            if is_log(name):
                yield _file(Path(parent, name))


def is_log(name: str) -> bool:
    """Whether a file of this name may hold conversations."""
    stem = name.lower()
    for packed in PACKED:
        stem = stem.removesuffix(packed)
    return stem.endswith(SUFFIXES)


def _file(path: Path) -> File | None:
    """The file as it is now; None when it went away meanwhile or is no regular file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return File(path, found.st_size, found.st_mtime_ns) if path.is_file() else None


def _unpacked(raw: BinaryIO) -> bytes:
    """By its first bytes, not by its name: half of what is called .gz was unpacked by a browser."""
    head = raw.read(4)
    raw.seek(0)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(raw) as plain:
            return plain.read()
    if head == b"\x28\xb5\x2f\xfd":
        return b"".join(_frames(raw.read()))
    return raw.read()


def _frames(data: bytes) -> Iterator[bytes]:
    """What each zstd frame holds. Raises EOFError when the last one is not whole."""
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(data)
        if not frame.eof:
            raise EOFError("it ends in the middle of a frame")
        data = frame.unused_data
