"""Every table in memory as key → row, and the log: what the memory store keeps, as a projector sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.store.changes import EMPTY, Key, first_64, hash_bytes
from tachograph.store.named import Uses, named
from tachograph.store.relations import RELATIONS
from tachograph.store.rows import (
    HASH_ONLY,
    CallRow,
    NodeRow,
    PayloadRow,
    PriceRow,
    RunRow,
    SessionRow,
    ShareRow,
    StepRow,
    ToolRow,
)  # fmt: skip


class Tables:
    """Every table as key → row, the log by run, and `changes.Known` over them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Any]] = {name: {} for name in RELATIONS}
        self.logs: dict[str, list[Event]] = {}
        self.last: defaultdict[str, int] = defaultdict(int)
        """Table → the highest number given in it: none is given twice."""
        self._payloads: dict[tuple[bytes, bool], int] = {}
        """(hash, whether only the hash was kept) → number."""
        self._fresh: set[int] = set()
        self._nodes: dict[tuple[int, int, str], int] = {}
        self._prices: dict[tuple[str, str], int] = {}
        self._again: defaultdict[int, set[int]] | None = None

    def put(self, table: str, row: Any) -> None:
        """Add a row, or put it in place of the one with its key."""
        key = tuple(getattr(row, name) for name in RELATIONS[table].key)
        self.rows[table][key if len(key) > 1 else key[0]] = row

    def number(self, table: str) -> int:
        """A number that no row of the table ever had."""
        self.last[table] += 1
        return self.last[table]

    def run(self, run: str) -> RunRow | None:
        """A run's row by its id."""
        return next((row for row in self.rows["runs"].values() if row.id == run), None)

    def begin(self, payloads: Mapping[bytes, bytes], canonical: Mapping[bytes, bytes]) -> None:
        """Keep the contents of a batch. Each belongs to the first run of the batch that names it."""
        self._fresh = set()
        for hash, data in payloads.items():
            self.keep(hash, data, canonical.get(hash))

    def end(self) -> None:
        """The contents that came with a batch of which no event was stored that names them are not kept."""
        last = self.last["payloads"] - len(self._fresh)
        for number in sorted(self._fresh):
            row = self.rows["payloads"][number]
            if row.run is None:
                del self.rows["payloads"][number], self._payloads[_key(row)]
            else:
                last = number
        self.last["payloads"], self._fresh = last, set()

    def keep(
        self, hash: bytes, data: bytes | None, canonical: bytes | None, size: int = 0, *, only_hash: bool = False
    ) -> int:
        """The number of a payload, with its bytes if they were missing. One that is `only_hash` has none."""
        number = self._payloads.get((hash, only_hash))
        if number is None:
            number = self._payloads[hash, only_hash] = self.number("payloads")
            encoding = HASH_ONLY if only_hash else 0
            self.put("payloads", PayloadRow(id=number, hash=hash, size=size, encoding=encoding))
            self._fresh.add(number)
        row = self.rows["payloads"][number]
        if data is not None and row.body is None:
            row.body, row.size, row.canonical = data, len(data), first_64(canonical)
        return number

    # ---- who names what -------------------------------------------------------------------------------------------

    def uses(self, run: str) -> Uses:
        """What a run's log names."""
        payloads: set[int] = set()
        nodes: dict[int, int] = {}
        for event in self.logs.get(run, ()):
            body = event.body
            payloads.update(self._known(content) for content in named(body))
            if isinstance(body, MessageAppended):
                parent = EMPTY if body.parent is None else nodes.get(body.parent, EMPTY)
                nodes[event.seq] = self._nodes[parent, self._known(body.message), body.role]
        return Uses(frozenset(payloads - {0}), frozenset(nodes.values()))

    def _known(self, content: Content) -> int:
        hash = hash_bytes(content.hash)
        if hash is None or content.level == "none":
            return 0
        return self._payloads.get((hash, content.level == "hashed"), 0)

    def release(self, runs: Mapping[int, Uses]) -> list[PayloadRow]:
        """Runs (by pk) name these no more; what nobody else names goes. Returns the payloads that went."""
        shares, payloads = self.rows["shares"], self.rows["payloads"]
        for pk, uses in runs.items():
            for number in uses.payloads:
                shares.pop((number, pk), None)
        gone = []
        for number in sorted({number for uses in runs.values() for number in uses.payloads}):
            row = payloads[number]
            if row.run not in runs or number not in runs[row.run].payloads:
                continue
            row.run = min((run for payload, run in shares if payload == number), default=None)
            if row.run is None:
                gone.append(payloads.pop(number))
                del self._payloads[_key(row)]
            else:
                del shares[number, row.run]
        self._prune({node for uses in runs.values() for node in uses.nodes})
        return gone

    def _prune(self, nodes: Collection[int]) -> None:
        """Of these nodes only those stay that some run's log still names."""
        if not nodes:
            return
        kept = {node for run in self.logs for node in self.uses(run).nodes}
        for key, number in list(self._nodes.items()):
            if number in nodes and number not in kept:
                del self._nodes[key], self.rows["nodes"][number]

    def begin_again(self) -> None:
        """From here to `settle` it is noted anew who names what."""
        self._again = defaultdict(set)

    def settle(self) -> None:
        """Who names what is as noted; a payload that is named by the run it belonged to still belongs to it."""
        again: Mapping[int, set[int]] = self._again or {}
        self._again = None
        self.rows["shares"].clear()
        for row in self.rows["payloads"].values():
            runs = again.get(row.id, set())
            row.run = row.run if row.run in runs else min(runs, default=None)
            for run in sorted(runs - {row.run}):
                self.put("shares", ShareRow(payload=row.id, run=run))

    # ---- Known ----------------------------------------------------------------------------------------------------

    def payload(self, content: Content) -> int | None:
        """Payload id of a content named by its hash."""
        hash = hash_bytes(content.hash)
        if hash is None or content.level == "none":
            return None
        return self.keep(hash, None, None, content.size, only_hash=content.level == "hashed")

    def use(self, content: Content, run: int) -> None:
        """A run names a content. Who named one that was here before it had an owner is not known, and stays so."""
        number = self.payload(content)
        if number is None:
            return
        row = self.rows["payloads"][number]
        if self._again is not None:
            self._again[number].add(run)
        elif row.run is None and number in self._fresh:
            row.run = run
        elif row.run not in (None, run):
            self.put("shares", ShareRow(payload=number, run=run))

    def bytes_of(self, hash: str) -> bytes | None:
        """The bytes behind a hash."""
        number = self._payloads.get((hash_bytes(hash) or b"", False))
        return self.rows["payloads"][number].body if number else None

    def node(self, parent: int, payload: int, role: str) -> int:
        """The node of this message below that parent."""
        key = (parent, payload, role)
        number = self._nodes.get(key)
        if number is None:
            number = self._nodes[key] = self.number("nodes")
            self.put("nodes", NodeRow(id=number, parent=parent, payload=payload, role=role))
        return number

    def price(self, price_id: str, price_date: str) -> int:
        """The number of a price row."""
        number = self._prices.setdefault((price_id, price_date), len(self._prices) + 1)
        self.put("prices", PriceRow(id=number, price_id=price_id, price_date=price_date))
        return number

    def step(self, key: Key) -> StepRow | None:
        """A step's row."""
        return self.rows["steps"].get(key)

    def call(self, key: Key) -> CallRow | None:
        """A model call's row."""
        return self.rows["calls"].get(key)

    def tool(self, key: Key) -> ToolRow | None:
        """A tool call's row."""
        return self.rows["tool_calls"].get(key)

    def session(self, key: tuple[str, str]) -> SessionRow | None:
        """A session's row."""
        return self.rows["sessions"].get(key)

    def log(self, run: RunRow) -> Sequence[Event]:
        """The run's events that are stored."""
        return self.logs[run.id][: run.next_seq]

    def owners(self, payload: PayloadRow) -> Iterable[int]:
        """The runs (pk) that name a payload, as far as that is known."""
        if payload.run is not None:
            yield payload.run
        yield from (run for number, run in self.rows["shares"] if number == payload.id)


def _key(row: PayloadRow) -> tuple[bytes, bool]:
    return row.hash, row.encoding == HASH_ONLY
