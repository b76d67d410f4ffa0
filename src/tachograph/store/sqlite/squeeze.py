"""Compression with what the store has learned about its own content.

Messages and pages are small and alike, so zstd alone finds little in each. A dictionary trained on a few hundred of
them about halves what they take. It is trained from the first 100 or so and again each time the store has grown
eightfold; it is kept in `dictionaries` for ever and named in the header of every block that needs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import zstandard

LEVEL = 3
GROWTH = 8
"""A kind is learned anew when it has this many times the rows it had before."""
_LONGEST = 65_536
"""Bytes of a sample that are looked at."""
_WORTH = 0.9
"""A new dictionary must need less than this share of what the blocks took without it."""


class Kind(NamedTuple):
    """What is learned from, and how."""

    name: str
    rows: int
    """How many there must be before the first lesson."""
    samples: int
    bytes: int
    """Size of the dictionary."""
    stored: str
    """SELECT of the newest compressed bodies; its parameter is how many."""


PAYLOAD = Kind(
    "payload",
    128,
    400,
    16_384,
    "SELECT body FROM payloads WHERE encoding = 1 AND body IS NOT NULL ORDER BY id DESC LIMIT ?",
)
PAGE = Kind("page", 32, 64, 8_192, "SELECT body FROM events ORDER BY page DESC LIMIT ?")


class Expander:
    """Unpacks blocks. Looks dictionaries up when a block names one. One thread at a time."""

    def __init__(self, dictionary: Callable[[int], bytes | None]) -> None:
        self._dictionary = dictionary
        self.forget()

    def forget(self) -> None:
        """Look the dictionaries up again when they are needed."""
        self._known = {0: zstandard.ZstdDecompressor().decompress}

    def expand(self, block: bytes) -> bytes:
        """What was packed. Raises ZstdError for bytes that are no block, or whose dictionary is gone."""
        name = zstandard.get_frame_parameters(block).dict_id
        expand = self._known.get(name)
        if expand is None:
            body = self._dictionary(name)
            if body is None:
                raise zstandard.ZstdError(f"no dictionary has the number {name}")
            expand = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(body)).decompress
            self._known[name] = expand
        return expand(block)


class Squeezer:
    """Packs blocks with the newest dictionary for their kind. Lives in the writer, learns inside its transaction."""

    def __init__(self, connection: sqlite3.Connection, expand: Callable[[bytes], bytes]) -> None:
        self._connection, self._expand = connection, expand
        self._plain = _packer()
        self.forget()

    def forget(self) -> None:
        """Look the dictionaries up again when they are needed."""
        self._packers: dict[str, Callable[[bytes], bytes]] = {}
        self._due: dict[str, int] = {}

    def pack(self, kind: Kind, data: bytes) -> bytes:
        """A block."""
        packer = self._packers.get(kind.name)
        if packer is None:
            packer = self._load(kind)
        return packer(data)

    def learn(self, kind: Kind, rows: int, fresh: Sequence[bytes]) -> None:
        """Train a dictionary if there are `rows` enough. `fresh` are contents that are about to be packed."""
        if kind.name not in self._due:
            self._load(kind)
        if rows < self._due[kind.name]:
            return
        samples = [*self._stored(kind, kind.samples - len(fresh)), *fresh[-kind.samples :]]
        number = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM dictionaries").fetchone()[0]
        lesson = (number, kind.name, rows, self._better(kind, number, samples))
        self._connection.execute("INSERT INTO dictionaries (id, kind, rows, body) VALUES (?, ?, ?, ?)", lesson)
        self._load(kind)

    def _load(self, kind: Kind) -> Callable[[bytes], bytes]:
        lessons = self._connection.execute(
            "SELECT rows, body FROM dictionaries WHERE kind = ? ORDER BY id DESC", (kind.name,)
        ).fetchall()
        self._due[kind.name] = lessons[0][0] * GROWTH if lessons else kind.rows
        body = next((body for _, body in lessons if body is not None), None)
        packer = self._packers[kind.name] = self._plain if body is None else _packer(body)
        return packer

    def _stored(self, kind: Kind, count: int) -> Iterable[bytes]:
        if count > 0:
            for (body,) in self._connection.execute(kind.stored, (count,)):
                yield self._expand(body)

    def _better(self, kind: Kind, number: int, samples: Sequence[bytes]) -> bytes | None:
        """A dictionary that pays, tried on the samples that it was not trained on; None when none does."""
        tried = samples[::4]
        lessons: list[bytes | bytearray | memoryview] = [
            sample[:_LONGEST] for place, sample in enumerate(samples) if place % 4
        ]
        try:
            trained = zstandard.train_dictionary(kind.bytes, lessons, dict_id=number).as_bytes()
        except zstandard.ZstdError:
            return None
        packer = _packer(trained)
        before, after = (sum(len(pack(sample)) for sample in tried) for pack in (self._packers[kind.name], packer))
        return trained if after < before * _WORTH else None


def _packer(dictionary: bytes | None = None) -> Callable[[bytes], bytes]:
    if dictionary is None:
        return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress
    data = zstandard.ZstdCompressionDict(dictionary)
    data.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, dict_data=data).compress
