"""SQLite as a projector sees it: numbers for payloads, nodes and prices, made when they are missing; rows by key.

New numbers are counted up in memory and written together at the end of the transaction. What is known stays known: rows
of these tables are only ever added.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import zstandard
from msgspec import Struct
from msgspec.structs import astuple

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import ROOT, node_hash
from tachograph.store import sql
from tachograph.store.changes import Key, Node, first_64, hash_bytes
from tachograph.store.connections import payload_bytes
from tachograph.store.pages import Packer
from tachograph.store.ports import Batch
from tachograph.store.relations import RELATIONS
from tachograph.store.rows import CallRow, NodeRow, PayloadRow, PriceRow, RunRow, SessionRow, StepRow, ToolRow

TEXT_BYTES = 256
"""Payloads up to this size stay plain text, which any SQL shell can read; larger ones are compressed."""
CHUNK = 500
"""Most parameters of one `IN`."""
_REMEMBERED = 20_000

RowT = TypeVar("RowT", bound=Struct)
_INSERT = {name: sql.insert(RELATIONS[name]) for name in ("payloads", "nodes", "prices")}
_FETCH = {name: sql.fetch(RELATIONS[name]) for name in ("steps", "calls", "tool_calls", "sessions")}



class SqliteKnown:
    """`changes.Known` over one connection. `begin` and `save` bracket a transaction; after a failure call `forget`."""

    def __init__(self, connection: sqlite3.Connection, packer: Packer) -> None:
        self._connection, self._packer = connection, packer
        self._squeeze = zstandard.ZstdCompressor(level=3, write_checksum=False).compress
        self.forget()

    def forget(self) -> None:
        """Start with nothing known."""
        self._payloads: dict[str, tuple[int, bytes]] = {}
        self._empty: set[str] = set()
        self._nodes: dict[tuple[int, int, str], Node] = {}
        self._prices: dict[tuple[str, str], int] = {}
        self._new_payloads: list[tuple[Any, ...]] = []
        self._filled: list[tuple[Any, ...]] = []
        self._new_nodes: list[tuple[Any, ...]] = []
        self._brought: Mapping[bytes, bytes] = {}

    # ---- a transaction --------------------------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Number the payloads of a batch."""
        if len(self._payloads) > _REMEMBERED:
            self._payloads, self._empty = {}, set()
        if len(self._nodes) > _REMEMBERED:
            self._nodes = {}
        self._next_payload = self._first_free("payloads")
        self._next_node = self._first_new_node = self._first_free("nodes")
        self._brought = batch.payloads
        unknown = [hash for hash in batch.payloads if hash.hex() not in self._payloads]
        self._look_up(unknown)
        for hash in unknown:
            if hash.hex() not in self._payloads:
                self._add(hash, batch.payloads[hash], batch.canonical.get(hash))
        for name in [name for name in self._empty if bytes.fromhex(name) in batch.payloads]:
            self._fill(name, batch)

    def save(self) -> None:
        """Write what is new."""
        run = self._connection.executemany
        run(_INSERT["payloads"], self._new_payloads)
        run("UPDATE payloads SET size = ?, encoding = ?, body = ?, canonical = ? WHERE id = ?", self._filled)
        run(_INSERT["nodes"], self._new_nodes)
        self._new_payloads, self._filled, self._new_nodes, self._brought = [], [], [], {}

    # ---- Known ----------------------------------------------------------------------------------------------------

    def message(self, content: Content) -> tuple[int, bytes]:
        """Payload id and hash of a message; id 0 when nothing of it was kept."""
        known = self._payloads.get(content.hash or "")
        return known or self._named(content) or (0, ROOT)

    def payload(self, content: Content) -> int | None:
        """Payload id of a content named by its hash."""
        known = self._payloads.get(content.hash or "") or self._named(content)
        return known[0] if known else None

    def bytes_of(self, hash: str) -> bytes | None:
        """The bytes behind a hash."""
        name = hash_bytes(hash)
        if name is None:
            return None
        if name in self._brought:
            return self._brought[name]
        found = self._connection.execute("SELECT encoding, body FROM payloads WHERE hash = ?", (name,)).fetchone()
        return payload_bytes(*found) if found else None

    def node(self, parent: Node, payload: tuple[int, bytes], role: str) -> Node:
        """The node of this message below that parent."""
        key = (parent[0], payload[0], role)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self._stored_node(key) or self._new_node(key, parent[1], payload[1])
        return node

    def price(self, price_id: str, price_date: str) -> int:
        """The number of a price row."""
        key = (price_id, price_date)
        if key not in self._prices:
            found = self._connection.execute(
                "SELECT id FROM prices WHERE price_id = ? AND price_date = ?", key
            ).fetchone()
            number = found[0] if found else self._first_free("prices")
            if not found:
                self._connection.execute(_INSERT["prices"], astuple(PriceRow(id=number, price_id=key[0], price_date=key[1])))
            self._prices[key] = number
        return self._prices[key]

    def step(self, key: Key) -> StepRow | None:
        """A step's row."""
        return self._row("steps", StepRow, key)

    def call(self, key: Key) -> CallRow | None:
        """A model call's row."""
        return self._row("calls", CallRow, key)

    def tool(self, key: Key) -> ToolRow | None:
        """A tool call's row."""
        return self._row("tool_calls", ToolRow, key)

    def session(self, key: tuple[str, str]) -> SessionRow | None:
        """A session's row."""
        return self._row("sessions", SessionRow, key)

    def log(self, run: RunRow) -> Iterator[Event]:
        """The run's events that are stored."""
        return read_log(self._connection, self._packer, run.pk, run.id)

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _first_free(self, table: str) -> int:
        found: int | None = self._connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0]
        return (found or 0) + 1

    def _look_up(self, hashes: Sequence[bytes]) -> None:
        for chunk in chunks(hashes):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT id, hash, body IS NULL FROM payloads WHERE hash IN ({marks})"
            for number, hash, empty in self._connection.execute(query, chunk):
                self._payloads[hash.hex()] = (number, hash)
                if empty:
                    self._empty.add(hash.hex())

    def _named(self, content: Content) -> tuple[int, bytes] | None:
        """The payload of a hash that came without bytes in this batch."""
        hash = hash_bytes(content.hash)
        if hash is None:
            return None
        name = hash.hex()
        self._look_up([hash])
        if name not in self._payloads:
            self._add(hash, None, None, content.size)
            self._empty.add(name)
        return self._payloads[name]

    def _add(self, hash: bytes, data: bytes | None, canonical: bytes | None, size: int = 0) -> None:
        encoding, body = self._packed(data)
        row = PayloadRow(
            id=self._next_payload, hash=hash, canonical=first_64(canonical), size=size if data is None else len(data),
            encoding=encoding, body=body,
        )  # fmt: skip
        self._new_payloads.append(astuple(row))
        self._payloads[hash.hex()] = (self._next_payload, hash)
        self._next_payload += 1

    def _fill(self, name: str, batch: Batch) -> None:
        """The bytes of a payload that was only named before."""
        number, hash = self._payloads[name]
        data = batch.payloads[hash]
        self._filled.append((len(data), *self._packed(data), first_64(batch.canonical.get(hash)), number))
        self._empty.discard(name)

    def _packed(self, data: bytes | None) -> tuple[int, str | bytes | None]:
        """Encoding and body of a payload."""
        if data is None:
            return 0, None
        if len(data) > TEXT_BYTES and len(packed := self._squeeze(data)) < len(data):
            return 1, packed
        try:
            return (1, self._squeeze(data)) if b"\0" in data else (0, data.decode())
        except UnicodeDecodeError:
            return 1, self._squeeze(data)

    def _stored_node(self, key: tuple[int, int, str]) -> Node | None:
        if key[0] >= self._first_new_node:
            return None
        found = self._connection.execute(
            "SELECT id, hash FROM nodes WHERE parent = ? AND payload = ? AND role = ?", key
        ).fetchone()
        return found  # type: ignore[no-any-return]

    def _new_node(self, key: tuple[int, int, str], above: bytes, message: bytes) -> Node:
        node = (self._next_node, node_hash(above, message))
        row = NodeRow(id=node[0], parent=key[0], payload=key[1], role=key[2], hash=node[1])
        self._new_nodes.append(astuple(row))
        self._next_node += 1
        return node

    def _row(self, table: str, kind: type[RowT], key: Sequence[Any]) -> RowT | None:
        found = self._connection.execute(_FETCH[table], key).fetchone()
        return row_of(kind, found) if found else None


def row_of(kind: type[RowT], values: Iterable[Any]) -> RowT:
    """A row struct from a row of the table."""
    row = kind(**dict(zip(kind.__struct_fields__, values, strict=True)))
    for name in _flags(kind):
        setattr(row, name, bool(getattr(row, name)))
    return row


def read_log(
    connection: sqlite3.Connection, packer: Packer, pk: int, run: str, after: int = -1
) -> Iterator[Event]:
    """A run's stored events with seq > `after`, in order."""
    low = pk << 32
    first = low | max(after, 0)
    pages = connection.execute(
        "SELECT page, codec, body FROM events"
        " WHERE page >= coalesce((SELECT max(page) FROM events WHERE page BETWEEN ? AND ?), ?) AND page < ?"
        " ORDER BY page",
        (low, first, first, low + (1 << 32)),
    )
    def names(numbers: Sequence[int]) -> Mapping[int, tuple[str, int]]:
        return payload_names(connection, numbers)

    for page, version, body in pages:
        for event in packer.unpack(run, page - low, body, version, names):
            if event.seq > after:
                yield event


def payload_names(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Hash (hex) and size of payloads by number."""
    found: dict[int, tuple[str, int]] = {}
    for chunk in chunks(list(set(numbers))):
        marks = ",".join("?" * len(chunk))
        for number, hash, size in connection.execute(f"SELECT id, hash, size FROM payloads WHERE id IN ({marks})", chunk):
            found[number] = (hash.hex(), size)
    return found


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Pieces that fit into one statement."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _flags(kind: type[Struct]) -> Iterable[str]:
    return _FLAGS[kind]


_FLAGS = {relation.row: tuple(relation.flags) for relation in RELATIONS.values()}
