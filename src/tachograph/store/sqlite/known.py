"""SQLite as a projector sees it: numbers for payloads, nodes and prices, made when they are missing; rows by key.

New numbers are counted up in memory and written together at the end of the transaction. What is known stays known until
`forget`: rows of these tables go only when runs do, and who removes them says so. No number is given twice.

A content of which only the hash was kept has a row of its own beside that of the bytes with this hash, if any are here:
nobody becomes a user of bytes by telling their hash.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.store.changes import Key, first_64, hash_bytes
from tachograph.store.ports import Batch
from tachograph.store.relations import RELATIONS
from tachograph.store.rows import HASH_ONLY, CallRow, PriceRow, RunRow, SessionRow, StepRow, ToolRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.pages import Packer
from tachograph.store.sqlite.squeeze import PAYLOAD, Sample, Squeezer

TEXT_BYTES = 192
"""Payloads up to this size stay plain text, which any SQL shell can read; larger ones are compressed."""
BY_HASH = "prefix = substr(?, 1, 8) AND hash = ?"
"""How a payload is looked up: the index holds the first eight bytes of its hash."""
CHUNK = 500
"""Most parameters of one `IN`."""
_REMEMBERED = 20_000
_BARE = "hashed "
"""Stands before the hash of a content of which nothing else was kept."""

RowT = TypeVar("RowT", bound=Struct)
_INSERT = {name: sql.insert(RELATIONS[name]) for name in ("payloads", "nodes", "prices")}
_FETCH = {name: sql.fetch(RELATIONS[name]) for name in ("steps", "calls", "tool_calls", "sessions")}


_SHARE = "INSERT OR IGNORE INTO shares (payload, run) VALUES (?, ?)"
_NOTE_AGAIN = "INSERT OR IGNORE INTO temp.again (payload, run) VALUES (?, ?)"
_OWN_AGAIN = (
    "UPDATE payloads SET run = (SELECT min(a.run) FROM temp.again a WHERE a.payload = id)"
    " WHERE run IS NULL OR NOT EXISTS (SELECT 1 FROM temp.again a WHERE a.payload = id AND a.run = payloads.run)"
)
_SHARE_AGAIN = (
    "INSERT INTO shares (payload, run) SELECT a.payload, a.run FROM temp.again a JOIN payloads p ON p.id = a.payload"
    " WHERE a.run <> p.run"
)
_OTHERS = "SELECT 1 FROM runs WHERE tenant < ? UNION ALL SELECT 1 FROM runs WHERE tenant > ?"
_OWN = (
    "EXISTS (SELECT 1 FROM runs r WHERE r.pk = p.run AND r.tenant = ?) OR EXISTS"
    " (SELECT 1 FROM shares s JOIN runs r ON r.pk = s.run WHERE s.payload = p.id AND r.tenant = ?)"
)


class Numbers(NamedTuple):
    """The highest numbers that were given to runs, payloads and nodes, by the time of the last erasure."""

    run: int = 0
    payload: int = 0
    node: int = 0


NUMBERS = Numbers()


class SqliteKnown:
    """`changes.Known` over one connection. `begin` and `save` bracket a transaction; after a failure call `forget`."""

    def __init__(self, connection: StoreConnection, squeezer: Squeezer) -> None:
        self._connection, self._squeezer = connection, squeezer
        self._packer = Packer(connection.expand)
        self.forget()

    def forget(self) -> None:
        """Start with nothing known."""
        self._again = False
        self._payloads: dict[str, int] = {}
        self._owners: dict[int, int | None] = {}
        self._shared: set[tuple[int, int]] = set()
        self._empty: set[str] = set()
        self._nodes: dict[tuple[int, int, str], int] = {}
        self._prices: dict[tuple[str, str], int] = {}
        self._new_shares: list[tuple[int, int]] = []
        self._new_payloads: list[tuple[Any, ...]] = []
        self._filled: list[tuple[Any, ...]] = []
        self._new_nodes: list[tuple[Any, ...]] = []
        self._brought: Mapping[bytes, bytes] = {}

    # ---- a transaction --------------------------------------------------------------------------------------------

    def begin(self, batch: Batch, last: Numbers = NUMBERS) -> None:
        """Number the payloads of a batch, beyond those that were given by the time of the last erasure."""
        if len(self._payloads) > _REMEMBERED:
            self._payloads, self._owners, self._empty = {}, {}, set()
        if len(self._nodes) > _REMEMBERED:
            self._nodes = {}
        if len(self._shared) > _REMEMBERED:
            self._shared = set()
        self._next_payload = self._first_new_payload = max(self._first_free("payloads"), last.payload + 1)
        self._next_node = self._first_new_node = max(self._first_free("nodes"), last.node + 1)
        self._brought = batch.payloads
        unknown = [hash for hash in batch.payloads if hash.hex() not in self._payloads]
        self._look_up(unknown)
        new = [hash for hash in unknown if hash.hex() not in self._payloads]
        fresh = [Sample(number, batch.payloads[hash]) for number, hash in enumerate(new, self._next_payload)]
        self._squeezer.learn(PAYLOAD, self._next_payload + len(new), fresh[-PAYLOAD.samples :])
        for hash in new:
            self._add(hash.hex(), batch.payloads[hash], batch.canonical.get(hash))
        # Contents that come alone are given to be kept; those beside events are kept for the events.
        self._first_kept_payload = self._next_payload if batch.events else self._first_new_payload
        for name in [name for name in self._empty if bytes.fromhex(name) in batch.payloads]:
            self._fill(name, batch)

    def save(self) -> None:
        """Write what is new, but no content that came with the batch and that no event of it, newly stored, names."""
        run = self._connection.executemany
        owners = self._owners
        kept = [values for values in self._new_payloads if self._is_named(values[0])]
        if len(kept) < len(self._new_payloads):
            for number, hash, *_ in self._new_payloads:
                if not self._is_named(number):
                    del self._payloads[hash.hex()]
        run(_INSERT["payloads"], ((*values, owners.get(values[0])) for values in kept))
        run(_NOTE_AGAIN if self._again else _SHARE, self._new_shares)
        run("UPDATE payloads SET size = ?, encoding = ?, body = ?, canonical = ? WHERE id = ?", self._filled)
        run(_INSERT["nodes"], self._new_nodes)
        self._new_payloads, self._filled, self._new_nodes, self._brought = [], [], [], {}
        self._new_shares = []

    def begin_again(self) -> None:
        """From here to `settle` it is noted anew who names what."""
        self._connection.execute(
            "CREATE TEMP TABLE again (payload INTEGER, run INTEGER, PRIMARY KEY (payload, run)) WITHOUT ROWID"
        )
        self._again = True

    def settle(self) -> None:
        """Who names what is as noted; a payload that is named by the run it belonged to still belongs to it."""
        self._again = False
        for statement in ("DELETE FROM shares", _OWN_AGAIN, _SHARE_AGAIN, "DROP TABLE temp.again"):
            self._connection.execute(statement)

    # ---- Known ----------------------------------------------------------------------------------------------------

    def payload(self, content: Content) -> int | None:
        """Payload id of a content named by its hash."""
        return self._payloads.get(_name(content)) or self._named(content)

    def use(self, content: Content, run: int) -> None:
        """A run names a content. Who named one that was here before it had an owner is not known, and stays so."""
        number = self._payloads.get(_name(content)) or self._named(content)
        if number is None:
            return
        owner = self._owners[number]
        if self._again:
            self._new_shares.append((number, run))
        elif owner is None:
            if number >= self._first_new_payload:
                self._owners[number] = run
        elif owner != run and (number, run) not in self._shared:
            self._shared.add((number, run))
            self._new_shares.append((number, run))

    def bytes_of(self, hash: str) -> bytes | None:
        """The bytes behind a hash."""
        name = hash_bytes(hash)
        if name is None:
            return None
        if name in self._brought:
            return self._brought[name]
        found = self._connection.execute(
            f"SELECT encoding, body FROM payloads WHERE {BY_HASH} AND encoding <> {HASH_ONLY}", (name, name)
        ).fetchone()
        return self._connection.payload(*found) if found else None

    def node(self, parent: int, payload: int, role: str) -> int:
        """The node of this message below that parent."""
        key = (parent, payload, role)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self._stored_node(key) or self._new_node(key)
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
                self._connection.execute(
                    _INSERT["prices"], astuple(PriceRow(id=number, price_id=key[0], price_date=key[1]))
                )
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
            query = f"SELECT id, hash, encoding, body IS NULL, run FROM payloads WHERE prefix IN ({marks})"
            for number, hash, encoding, empty, run in self._connection.execute(query, [hash[:8] for hash in chunk]):
                bare = encoding == HASH_ONLY
                self._payloads[_BARE + hash.hex() if bare else hash.hex()] = number
                self._owners[number] = run
                if empty and not bare:
                    self._empty.add(hash.hex())

    def _named(self, content: Content) -> int | None:
        """The payload of a hash that came without bytes in this batch."""
        hash = hash_bytes(content.hash)
        if hash is None or content.level == "none":
            return None
        bare = content.level == "hashed"
        name = _BARE + hash.hex() if bare else hash.hex()
        if name not in self._payloads:
            self._look_up([hash])
        if bare and name not in self._payloads:
            self._claim(hash.hex())
        if name not in self._payloads:
            self._add(name, None, None, content.size)
            if not bare:
                self._empty.add(name)
        return self._payloads[name]

    def _claim(self, name: str) -> None:
        """A row without bytes from before such rows were told apart is that of the hash, and gets none later."""
        number = self._payloads.get(name, 0)
        old = self._again or self._owners.get(number) is None
        if name in self._empty and old and number < self._first_new_payload:
            self._payloads[_BARE + name] = self._payloads.pop(name)
            self._empty.discard(name)
            self._connection.execute(f"UPDATE payloads SET encoding = {HASH_ONLY} WHERE id = ?", (number,))

    def _is_named(self, number: int) -> bool:
        """Whether a new payload is to be kept: an event that is stored names it."""
        return number >= self._first_kept_payload or self._owners.get(number) is not None

    def _add(self, name: str, data: bytes | None, canonical: bytes | None, size: int = 0) -> None:
        size = min(size, 2**63 - 1) if data is None else len(data)
        hash = bytes.fromhex(name.removeprefix(_BARE))
        packed = (HASH_ONLY, None) if name.startswith(_BARE) else self._packed(data)
        self._new_payloads.append((self._next_payload, hash, first_64(canonical), size, *packed))
        self._payloads[name] = self._next_payload
        self._owners[self._next_payload] = None
        self._next_payload += 1

    def _fill(self, name: str, batch: Batch) -> None:
        """The bytes of a payload that was only named before."""
        number, hash = self._payloads[name], bytes.fromhex(name)
        data = batch.payloads[hash]
        self._filled.append((len(data), *self._packed(data), first_64(batch.canonical.get(hash)), number))
        self._empty.discard(name)

    def _packed(self, data: bytes | None) -> tuple[int, str | bytes | None]:
        """Encoding and body of a payload."""
        if data is None:
            return 0, None
        if len(data) <= TEXT_BYTES and b"\0" not in data:
            with contextlib.suppress(UnicodeDecodeError):
                return 0, data.decode()
        return 1, self._squeezer.pack(PAYLOAD, data)

    def _stored_node(self, key: tuple[int, int, str]) -> int | None:
        if key[0] >= self._first_new_node or key[1] >= self._first_new_payload:
            return None
        query = "SELECT id FROM nodes WHERE parent = ? AND payload = ? AND role = ?"
        found = self._connection.execute(query, key).fetchone()
        return found[0] if found else None

    def _new_node(self, key: tuple[int, int, str]) -> int:
        self._new_nodes.append((self._next_node, *key))
        self._next_node += 1
        return self._next_node - 1

    def _row(self, table: str, kind: type[RowT], key: Sequence[Any]) -> RowT | None:
        found = self._connection.execute(_FETCH[table], key).fetchone()
        return row_of(kind, found) if found else None


def row_of(kind: type[RowT], values: Iterable[Any]) -> RowT:
    """A row struct from a row of the table."""
    row = kind(**dict(zip(kind.__struct_fields__, values, strict=True)))
    for name in _flags(kind):
        setattr(row, name, bool(getattr(row, name)))
    return row


def read_log(connection: StoreConnection, packer: Packer, pk: int, run: str, after: int = -1) -> Iterator[Event]:
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


def payload_names(connection: StoreConnection, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Hash (hex) and size of payloads by number."""
    found: dict[int, tuple[str, int]] = {}
    for chunk in chunks(list(set(numbers))):
        marks = ",".join("?" * len(chunk))
        for number, hash, size in connection.execute(
            f"SELECT id, hash, size FROM payloads WHERE id IN ({marks})", chunk
        ):
            found[number] = (hash.hex(), size)
    return found


def own(connection: StoreConnection, query: str, values: Sequence[Any], tenant: str) -> Iterable[Any]:
    """The rows of a SELECT from `payloads p`, of those that runs of a tenant name; all, where there is no other tenant.

    It goes by what holds at one moment: a tenant that comes in meanwhile has nothing in these rows.
    """
    return connection.execute(f"{query} AND (NOT EXISTS ({_OTHERS}) OR {_OWN})", (*values, *(tenant,) * 4))


def _name(content: Content) -> str:
    """Under what a content's number is remembered, if its hash is spelled as ours are."""
    if content.hash is None or content.level == "none":
        return ""
    return _BARE + content.hash if content.level == "hashed" else content.hash


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Pieces that fit into one statement."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _flags(kind: type[Struct]) -> Iterable[str]:
    return _FLAGS[kind]


_FLAGS = {relation.row: tuple(relation.flags) for relation in RELATIONS.values()}
