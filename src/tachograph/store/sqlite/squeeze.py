"""Compression with what the store has learned about its own content.

Messages and pages are small and alike, so zstd alone finds little in each. A dictionary trained on a few hundred of
them about halves what they take. It is trained from the first 100 or so and again each time the store has grown
eightfold; it is kept in `dictionaries` and named in the header of every block that needs it.

A dictionary consists of pieces of what it was trained from, so it must not outlive it. When something of that has been
erased, another takes its place, and its blocks are packed again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
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
    """SELECT of the newest compressed bodies, each after its name; its parameter is how many."""
    gone: str
    """SELECT of anything when a name in a JSON array, its parameter, is no longer there."""
    blocks: str
    """SELECT of the blocks after a key, each after its own; its parameters are that key and how many."""
    put: str
    """UPDATE of a block, by its key."""


class Sample(NamedTuple):
    """What can be learned from. A payload goes by its number, a page by its run."""

    name: int
    data: bytes


PAYLOAD = Kind(
    "payload",
    128,
    400,
    16_384,
    "SELECT id, body FROM payloads WHERE encoding = 1 AND body IS NOT NULL ORDER BY id DESC LIMIT ?",
    "SELECT 1 FROM json_each(?) s WHERE NOT EXISTS (SELECT 1 FROM payloads p WHERE p.id = s.value) LIMIT 1",
    "SELECT id, body FROM payloads WHERE id > ? AND encoding = 1 AND body IS NOT NULL ORDER BY id LIMIT ?",
    "UPDATE payloads SET body = ? WHERE id = ?",
)
PAGE = Kind(
    "page",
    32,
    64,
    8_192,
    "SELECT page >> 32, body FROM events ORDER BY page DESC LIMIT ?",
    "SELECT 1 FROM json_each(?) s WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.pk = s.value) LIMIT 1",
    "SELECT page, body FROM events WHERE page > ? ORDER BY page LIMIT ?",
    "UPDATE events SET body = ? WHERE page = ?",
)


def dictionary_of(block: bytes) -> int:
    """The number of the dictionary that a block needs; 0 for none. Raises ZstdError for bytes that are no block."""
    return zstandard.get_frame_parameters(block).dict_id


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
        name = dictionary_of(block)
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
        self._newest = 0
        self.forget()

    def forget(self) -> None:
        """Look the dictionaries up again when they are needed."""
        self._packers: dict[str, Callable[[bytes], bytes]] = {}
        self._due: dict[str, int] = {}

    def look_around(self) -> None:
        """Another connection has written, and may have given a dictionary up: from here on use the newest."""
        newest = self._newest_there()
        if newest != self._newest:
            self._newest = newest
            self.forget()

    def pack(self, kind: Kind, data: bytes) -> bytes:
        """A block."""
        packer = self._packers.get(kind.name)
        if packer is None:
            packer = self._load(kind)
        return packer(data)

    def learn(self, kind: Kind, rows: int, fresh: Sequence[Sample]) -> None:
        """Train a dictionary if there are `rows` enough. `fresh` are contents that are about to be packed."""
        if kind.name not in self._due:
            self._load(kind)
        if rows >= self._due[kind.name]:
            self._learn(kind, rows, [*self._stored(kind, kind.samples - len(fresh)), *fresh[-kind.samples :]])

    def give_up(self, kind: Kind) -> list[int]:
        """Learn anew if something is gone that was learned from; returns the dictionaries that must not be needed."""
        execute = self._connection.execute
        query = "SELECT id, rows, learned_from FROM dictionaries WHERE kind = ? AND body IS NOT NULL ORDER BY id"
        lessons = execute(query, (kind.name,)).fetchall()
        gone = [number for number, _, names in lessons if self._is_gone(kind, names)]
        if gone and gone[-1] == lessons[-1][0]:
            rows = execute("SELECT max(rows) FROM dictionaries WHERE kind = ?", (kind.name,)).fetchone()[0]
            self._packers[kind.name] = self._plain
            self._learn(kind, rows, [*self._stored(kind, kind.samples)])
        for number in gone:
            execute("UPDATE dictionaries SET kind = ? WHERE id = ?", (_given_up(kind), number))
        self.forget()
        return [number for (number,) in execute("SELECT id FROM dictionaries WHERE kind = ?", (_given_up(kind),))]

    def repack(self, kind: Kind, after: int, count: int) -> int | None:
        """Pack `count` blocks again whose dictionary was given up; returns the key to go on from, None at the end.

        At the end these dictionaries go.
        """
        execute = self._connection.execute
        given_up = {number for (number,) in execute("SELECT id FROM dictionaries WHERE kind = ?", (_given_up(kind),))}
        rows = execute(kind.blocks, (after, count)).fetchall()
        changed = ((self.pack(kind, self._expand(body)), key) for key, body in rows if dictionary_of(body) in given_up)
        self._connection.executemany(kind.put, changed)
        if rows:
            last: int = rows[-1][0]
            return last
        execute("DELETE FROM dictionaries WHERE kind = ?", (_given_up(kind),))
        return None

    def _is_gone(self, kind: Kind, names: str | None) -> bool:
        """Whether something is gone that a dictionary was learned from, or may be: older ones do not say."""
        if names is None:
            return self._connection.execute("SELECT 1 FROM erased LIMIT 1").fetchone() is not None
        return self._connection.execute(kind.gone, (names,)).fetchone() is not None

    def _learn(self, kind: Kind, rows: int, samples: Sequence[Sample]) -> None:
        number = self._newest_there() + 1
        names = msgspec.json.encode(sorted({sample.name for sample in samples})).decode()
        body = self._better(kind, number, [sample.data for sample in samples])
        lesson = (number, kind.name, rows, body, names)
        self._connection.execute(
            "INSERT INTO dictionaries (id, kind, rows, body, learned_from) VALUES (?, ?, ?, ?, ?)", lesson
        )
        self._newest = number
        self._load(kind)

    def _newest_there(self) -> int:
        found: int = self._connection.execute("SELECT coalesce(max(id), 0) FROM dictionaries").fetchone()[0]
        return found

    def _load(self, kind: Kind) -> Callable[[bytes], bytes]:
        lessons = self._connection.execute(
            "SELECT rows, body FROM dictionaries WHERE kind = ? ORDER BY id DESC", (kind.name,)
        ).fetchall()
        self._due[kind.name] = lessons[0][0] * GROWTH if lessons else kind.rows
        body = next((body for _, body in lessons if body is not None), None)
        packer = self._packers[kind.name] = self._plain if body is None else _packer(body)
        return packer

    def _stored(self, kind: Kind, count: int) -> Iterator[Sample]:
        if count > 0:
            for name, body in self._connection.execute(kind.stored, (count,)):
                yield Sample(name, self._expand(body))

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


def _given_up(kind: Kind) -> str:
    """What a dictionary is called while blocks that need it are packed again."""
    return f"{kind.name}, given up"


def _packer(dictionary: bytes | None = None) -> Callable[[bytes], bytes]:
    if dictionary is None:
        return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress
    data = zstandard.ZstdCompressionDict(dictionary)
    data.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, dict_data=data).compress
