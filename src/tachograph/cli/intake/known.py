"""What is remembered of a file that was imported: enough to leave it alone, or to take in only what is new.

An unchanged file is told by size and time; one that was only touched, by the digest of its bytes. Of a file that grew,
the runs whose events are the same as before are left as they are: each run's events have a digest, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tachograph.cli.intake.files import File
from tachograph.events.envelope import Event
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where
from tachograph.store.rows import ImportRow, JournalRow, LossRow
from tachograph.wire.sessions.draft import Delegation

_CHUNK = 400
_pack = msgspec.msgpack.Encoder()


class Notebook(Protocol):
    """A store that keeps rows beside its log."""

    def note(self, row: ImportRow | JournalRow | LossRow) -> None:
        """Put a row there, in place of the one with the same key."""
        ...


class Facts(Struct, frozen=True, omit_defaults=True):
    """What a file held."""

    runs: Mapping[str, str] = {}
    """Run → digest of its events."""
    delegations: tuple[Delegation, ...] = ()
    """Sub-agents that its runs started, whose logs are other files."""
    roots: bool = False
    """Whether a run of it has no parent: a sub-agent's log may have been read before the log that names it."""
    whole: bool = True
    """Whether the reader came to the end of it; a file that tripped it is read again the next time."""


class Known(Struct, frozen=True):
    """A file as it was when it was imported."""

    size: int
    mtime_ns: int
    digest: bytes | None

    def is_same(self, file: File) -> bool:
        """Whether the file looks the same."""
        return (self.size, self.mtime_ns) == (file.size, file.mtime_ns)


def load(index: Index, files: Iterable[File]) -> dict[str, Known]:
    """What is remembered of these files, by key."""
    columns = ("key", "size", "mtime_ns", "digest")
    return {row["key"]: Known(row["size"], row["mtime_ns"], row["digest"]) for row in _rows(index, files, columns)}


def load_facts(index: Index, files: Iterable[File]) -> dict[str, Facts]:
    """What these files held, by key."""
    return {
        row["key"]: msgspec.json.decode(row["facts"] or "{}", type=Facts)
        for row in _rows(index, files, ("key", "facts"))
    }


def remember(store: Notebook, file: File, digest: bytes, facts: Facts) -> None:
    """Remember a file whose runs are stored."""
    text = msgspec.json.encode(facts).decode()
    store.note(ImportRow(key=file.key, size=file.size, mtime_ns=file.mtime_ns, digest=digest, facts=text))


def fingerprint(events: Sequence[Event]) -> str:
    """Digest of a run's events, as the reader told them."""
    return blake2b(_pack.encode(events), digest_size=16).hexdigest()


def digest_of(data: bytes) -> bytes:
    """Digest of a file's bytes."""
    return blake2b(data, digest_size=16).digest()


def _rows(index: Index, files: Iterable[File], columns: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    keys = [file.key for file in files]
    for start in range(0, len(keys), _CHUNK):
        where = (Where("key", "in", tuple(keys[start : start + _CHUNK])),)
        yield from index.find(Query("imports", where, columns, limit=None)).rows
