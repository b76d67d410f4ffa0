"""Another tachograph server as a store: the half that takes events in.

What a drain needs is here: append, positions of journals, open steps, losses. Whatever is read is read at the server.
A journal is kept until the server has committed what it held and said so; a batch whose answer got lost is sent again,
and the server sees by its position, or by (run, seq), that it has it already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import zstandard
from msgspec import Struct
from msgspec.structs import replace

from tachograph.errors import StoreError, WriteOnly
from tachograph.events import codec
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.store.changes import hash_bytes
from tachograph.store.exchange import Exchange
from tachograph.store.named import FIELDS
from tachograph.store.ports import Appended, Batch, Erased, OpenStep, Position, Stretch
from tachograph.store.query import Page, Query
from tachograph.store.rows import ImportRow, JournalRow, KeyRow, LossRow

PART_EVENTS, PART_BYTES = 5_000, 16 * 1024 * 1024
"""A batch beyond this goes in parts: a server takes some more at once."""
_MEDIA = f"application/vnd.tachograph.events+msgpack; version={codec.SCHEMA_VERSION}"
_PACKED_FROM = 1_024
_NOBODY = "00000000-0000-7000-8000-000000000000"
"""A journal that nobody writes."""


class Taken(Struct, frozen=True):
    """What a server says became of events."""

    stored: int
    repeated: int
    dropped: int
    moved: bool
    late: int = 0


class At(Struct, frozen=True):
    """How far a journal is stored."""

    segment: int
    offset: int


class Open(Struct, frozen=True):
    """Steps of a journal's runs that have not ended."""

    steps: tuple[OpenStep, ...]


class Next(Struct, frozen=True):
    """Where a run goes on."""

    next_seq: int
    last: dict[str, Any] | None = None
    """The run's last event."""


class RemoteStore:
    """The writing half of a store behind a URL. Use from one thread; nothing is asked before its first use.

    Every method may raise StoreUnavailable and StoreRefused; whatever is not of the writing half raises WriteOnly.
    """

    def __init__(self, url: str, key: str = "", *, direct: bool = False) -> None:
        """`url` as `open.remote_url` spells it; `direct` is past any proxy, as to a server on this machine."""
        self.url = url
        self._server = Exchange(url, key, direct=direct)
        self._positions: dict[str, tuple[int, int]] = {}

    # ---- log --------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """Send a batch, contents and all. A large one goes in parts, the last of which moves the journal's position.

        Raises SequenceGap. After any error the whole batch may be sent again: what has arrived is not stored twice.
        """
        if batch.replace:
            raise WriteOnly(self.url, "the replacement of imported runs")
        if batch.expect:
            raise WriteOnly(self.url, "how far a run has come")
        *first, last = _parts([_whole(event, batch.payloads) for event in batch.events])
        try:
            taken = [self._send(part, None) for part in first]
            taken.append(self._send(last, batch.position))
        except StoreError:
            self._positions.clear()
            raise
        if not taken[-1].moved:
            self._positions.clear()
            return Appended(moved=False)
        if batch.position is not None:
            self._positions[batch.position.journal] = (batch.position.segment, batch.position.offset)
        return Appended(
            stored=sum(each.stored for each in taken),
            repeated=sum(each.repeated for each in taken),
            dropped=sum(each.dropped for each in taken),
            late=sum(each.late for each in taken),
        )

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """The last event of a run, for who closes it; other events are read at the server."""
        found = self._server.get(f"/api/runs/{run}/next", Next)
        if after < found.next_seq - 2:
            raise WriteOnly(self.url, "the events of a run")
        if after == found.next_seq - 2 and found.last is not None and limit != 0:
            yield codec.from_json(msgspec.json.encode(found.last))

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have."""
        return self._server.get(f"/api/runs/{run}/next", Next).next_seq

    def position(self, journal: str) -> tuple[int, int]:
        """How far the journal is stored; remembered, since one process at a time drains it."""
        if journal not in self._positions:
            found = self._server.get(f"/api/journals/{journal}", At)
            self._positions[journal] = (found.segment, found.offset)
        return self._positions[journal]

    def open_steps(self, owner: str) -> Sequence[OpenStep]:
        """Steps of this owner's runs that have not ended, innermost first."""
        return self._server.get(f"/api/journals/{owner}/open", Open).steps

    def note(self, row: ImportRow | JournalRow | LossRow | KeyRow) -> None:
        """Tell the server of a loss outside any run; other rows are its own affair."""
        if not isinstance(row, LossRow):
            raise WriteOnly(self.url, "rows beside the log")
        loss = {"at": row.at, "reason": row.reason, "events": row.events, "bytes": row.bytes, "detail": row.detail}
        self._server.post(f"/api/journals/{row.journal}/losses", msgspec.json.encode(loss), Any)

    def refresh(self, now_ns: int) -> int:
        """Nothing: the server keeps its own roll-ups."""
        return 0

    def facts(self) -> Mapping[str, Any]:
        """What kind of store it is, once the server has shown that it would take events from here."""
        self._server.get(f"/api/journals/{_NOBODY}", At)
        return {"backend": "remote"}

    def close(self) -> None:
        """Let go of connections."""
        self._server.close()

    # ---- what only the server answers -------------------------------------------------------------------------------

    def find(self, query: Query) -> Page:
        """Not here."""
        raise WriteOnly(self.url, query.table)

    def fetch(self, hashes: Sequence[bytes], tenant: str | None = None) -> Mapping[bytes, bytes]:
        """Not here."""
        raise WriteOnly(self.url, "contents")

    def named(self, payloads: Sequence[int], tenant: str) -> Collection[int]:
        """Not here."""
        raise WriteOnly(self.url, "contents")

    def appended(self, after: int, limit: int = 1_000, tenant: str | None = None) -> Sequence[Stretch]:
        """Not here."""
        raise WriteOnly(self.url, "what is new")

    def head(self) -> int:
        """Not here."""
        raise WriteOnly(self.url, "what is new")

    def search(self, text: str, limit: int = 20, tenant: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Not here."""
        raise WriteOnly(self.url, "messages")

    def erase(self, runs: Sequence[str], at: int) -> Erased:
        """Not here."""
        raise WriteOnly(self.url, "the removal of runs")

    def compact(self, *, whole: bool = False) -> int:
        """Not here."""
        raise WriteOnly(self.url, "room")

    def rebuild(self) -> Mapping[str, int]:
        """Not here."""
        raise WriteOnly(self.url, "a rebuild")

    def check(self) -> Sequence[str]:
        """Not here."""
        raise WriteOnly(self.url, "a check")

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _send(self, events: Sequence[Event], position: Position | None) -> Taken:
        body, headers = codec.encode_all(events), {"Content-Type": _MEDIA}
        if len(body) >= _PACKED_FROM:
            body, headers = zstandard.compress(body), {**headers, "Content-Encoding": "zstd"}
        return self._server.post("/api/events", body, Taken, query=_query(position), headers=headers)


def _query(position: Position | None) -> Mapping[str, str | int] | None:
    if position is None:
        return None
    segment, offset = position.before
    return {
        "journal": position.journal, "segment": position.segment, "offset": position.offset,
        "before_segment": segment, "before_offset": offset,
    }  # fmt: skip


def _whole(event: Event, payloads: Mapping[bytes, bytes]) -> Event:
    """An event with the contents that its batch brings in their places; others stay named by their hash."""
    put: dict[str, Content] = {}
    for name in FIELDS.get(type(event.body), ()):
        content: Content | None = getattr(event.body, name)
        if content is None or content.text is not None or content.hash is None or content.level == "hashed":
            continue
        data = payloads.get(hash_bytes(content.hash) or b"")
        if data is not None:
            put[name] = replace(content, text=data.decode(), hash=None)
    return replace(event, body=replace(event.body, **put)) if put else event


def _parts(events: Sequence[Event]) -> list[list[Event]]:
    """Events in order, in parts that a server takes at once; at least one part, if an empty one."""
    parts: list[list[Event]] = [[]]
    size = 0
    for event in events:
        weight = len(codec.encode(event))
        if parts[-1] and (len(parts[-1]) == PART_EVENTS or size + weight > PART_BYTES):
            parts.append([])
            size = 0
        parts[-1].append(event)
        size += weight
    return parts
