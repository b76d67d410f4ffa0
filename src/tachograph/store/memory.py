"""The store as a specification: dictionaries and no disk, with the same projections. What it does, the others do."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec.structs import replace

from tachograph.events.content import Content, digest
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.store import evaluate, rollup
from tachograph.store.changes import Changes, Key, RunState, first_64, hash_bytes
from tachograph.store.ports import Appended, Batch, OpenStep, Position
from tachograph.store.project import following, project
from tachograph.store.query import Page, Query
from tachograph.store.relations import OF_RUN, PROJECTIONS, RELATIONS
from tachograph.store.rows import (
    OPEN,
    CallRow,
    DayRow,
    DirtyRow,
    HourRow,
    ImportRow,
    JournalRow,
    LossRow,
    NodeRow,
    PayloadRow,
    PriceRow,
    RunRow,
    SessionRow,
    StepRow,
    ToolRow,
)  # fmt: skip

Row = Mapping[str, Any]


class Tables:
    """Every table as key → row, the log by run, and `changes.Known` over them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Any]] = {name: {} for name in RELATIONS}
        self.logs: dict[str, list[Event]] = {}
        self._payloads: dict[bytes, int] = {}
        self._nodes: dict[tuple[int, int, str], int] = {}
        self._prices: dict[tuple[str, str], int] = {}

    def put(self, table: str, row: Any) -> None:
        """Add a row, or put it in place of the one with its key."""
        key = tuple(getattr(row, name) for name in RELATIONS[table].key)
        self.rows[table][key if len(key) > 1 else key[0]] = row

    def run(self, run: str) -> RunRow | None:
        """A run's row by its id."""
        return next((row for row in self.rows["runs"].values() if row.id == run), None)

    def keep(self, hash: bytes, data: bytes | None, canonical: bytes | None, size: int = 0) -> int:
        """The number of a payload, with its bytes if they were missing."""
        number = self._payloads.setdefault(hash, len(self._payloads) + 1)
        row = self.rows["payloads"].setdefault(number, PayloadRow(id=number, hash=hash, size=size))
        if data is not None and row.body is None:
            row.body, row.size, row.canonical = data, len(data), first_64(canonical)
        return number

    # ---- Known ----------------------------------------------------------------------------------------------------

    def payload(self, content: Content) -> int | None:
        """Payload id of a content named by its hash."""
        hash = hash_bytes(content.hash)
        return None if hash is None else self.keep(hash, None, None, content.size)

    def bytes_of(self, hash: str) -> bytes | None:
        """The bytes behind a hash."""
        number = self._payloads.get(hash_bytes(hash) or b"")
        return self.rows["payloads"][number].body if number else None

    def node(self, parent: int, payload: int, role: str) -> int:
        """The node of this message below that parent."""
        number = self._nodes.setdefault((parent, payload, role), len(self._nodes) + 1)
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


class MemoryStore:
    """A store that lives as long as the object. Safe for threads."""

    url = "memory:"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables = Tables()
        self._states: dict[str, RunState] = {}
        self._pk = 0

    # ---- log ------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """Store a batch whole or not at all, with its projections. Raises SequenceGap."""
        with self._lock:
            if batch.position is not None and self.position(batch.position.journal) != batch.position.before:
                return Appended(moved=False)
            by_run: defaultdict[str, list[Event]] = defaultdict(list)
            for event in batch.events:
                by_run[event.run].append(event)
            for run, events in by_run.items():
                self._fresh(run, events, batch)
            changes = Changes(self._tables)
            self._pk = max(self._tables.rows["runs"], default=0)
            replaced = {run: pk for run in sorted(batch.replace) if (pk := self._remove(changes, run)) is not None}
            for hash, data in batch.payloads.items():
                self._tables.keep(hash, data, batch.canonical.get(hash))
            stored = sum(self._take(changes, events, replaced) for events in by_run.values())
            self._save(changes)
            self._move(batch.position)
            return Appended(stored, len(batch.events) - stored)

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """A run's events with seq > `after`, in order; at most `limit`."""
        with self._lock:
            events = self._tables.logs.get(run, [])[max(after + 1, 0) :]
        return islice(events, limit)

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have."""
        with self._lock:
            row = self._tables.run(run)
            return 0 if row is None else row.next_seq

    def position(self, journal: str) -> tuple[int, int]:
        """How far the journal is stored."""
        with self._lock:
            row = self._tables.rows["journals"].get(journal)
            return (0, 0) if row is None else (row.segment, row.offset)

    def open_steps(self, owner: str) -> Sequence[OpenStep]:
        """Steps of this owner's runs that have not ended, innermost first."""
        with self._lock:
            runs = self._tables.rows["runs"]
            found = [
                row
                for row in self._tables.rows["steps"].values()
                if row.status == "started" and runs[row.run].owner == owner and runs[row.run].status in OPEN
            ]
            found.sort(key=lambda row: (row.run, -row.step))
            return [OpenStep(runs[row.run].id, row.step, row.kind, row.started_at) for row in found]

    # ---- blobs and index ------------------------------------------------------------------------------------------

    def fetch(self, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The bytes behind each hash that is stored."""
        with self._lock:
            found = {hash: self._tables.bytes_of(hash.hex()) for hash in hashes}
            return {hash: data for hash, data in found.items() if data is not None}

    def find(self, query: Query) -> Page:
        """Rows of one table. Raises ValueError for a column the table has not."""
        with self._lock:
            return evaluate.answer(query, self._tables.rows)

    def note(self, row: ImportRow | JournalRow | LossRow) -> None:
        """Put a row beside the log: a file that was imported, a journal's state, a loss outside any run."""
        with self._lock:
            if isinstance(row, JournalRow):
                known = self._tables.rows["journals"].setdefault(row.id, JournalRow(id=row.id))
                known.state, known.seen_at = row.state, row.seen_at
            elif isinstance(row, LossRow):
                self._note_loss(row)
            else:
                self._tables.put("imports", row)

    def search(self, text: str, limit: int = 20) -> list[Row]:
        """Messages that contain `text` (case-insensitive), newest run first: {run_id, seq, role, hash}."""
        with self._lock:
            wanted = evaluate.spellings(text)
            runs = sorted(self._tables.rows["runs"].values(), key=lambda run: (run.started_at, run.pk), reverse=True)
            found = (
                {"run_id": run.id, "seq": event.seq, "role": event.body.role, "hash": event.body.message.hash}
                for run in runs
                for event in self._tables.logs[run.id]
                if isinstance(event.body, MessageAppended) and self._says(event.body.message, wanted)
            )
            return list(islice(found, limit))

    # ---- upkeep ---------------------------------------------------------------------------------------------------

    def refresh(self, now_ns: int) -> int:
        """Recompute the roll-ups of closed hours that are dirty; returns how many hours were done."""
        return rollup.refresh(self, now_ns)

    def replace_rollups(
        self, done: Sequence[Row], hours: Mapping[int, Sequence[Row]], days: Mapping[int, Sequence[Row]]
    ) -> None:
        """Put these rows in place of all rows of these hours and days, for the tenant of the marks `done`."""
        with self._lock:
            tenant = done[0]["tenant"]
            for table, span, kind, periods in (
                ("rollup_hour", "hour", HourRow, hours),
                ("rollup_day", "day", DayRow, days),
            ):
                kept = self._tables.rows[table]
                for key in [k for k, row in kept.items() if row.tenant == tenant and getattr(row, span) in periods]:
                    del kept[key]
                for period, rows in periods.items():
                    for row in rows:
                        self._tables.put(table, kind(**{**row, span: period, "tenant": tenant}))
            for mark in done:
                key = (mark["tenant"], mark["hour"])
                now = self._tables.rows["dirty_hours"].get(key)
                if now is not None and now.ver == mark["ver"]:
                    del self._tables.rows["dirty_hours"][key]

    def rebuild(self) -> Mapping[str, int]:
        """Make every projection again from the log; returns rows per table."""
        with self._lock:
            runs = list(self._tables.rows["runs"].values())
            for table in (*PROJECTIONS, "rollup_hour", "rollup_day"):
                self._tables.rows[table].clear()
            self._states.clear()
            changes = Changes(self._tables)
            for run in runs:
                self._take(changes, self._tables.logs.pop(run.id), {run.id: run.pk})
            self._save(changes)
            return {table: len(self._tables.rows[table]) for table in PROJECTIONS}

    def check(self) -> Sequence[str]:
        """Faults found in the stored data: here only what bytes and hashes can tell."""
        with self._lock:
            return [
                f"payload {row.id} is not what its hash {row.hash.hex()} says"
                for row in self._tables.rows["payloads"].values()
                if row.body is not None and digest(row.body) != row.hash
            ]

    def facts(self) -> Mapping[str, Any]:
        """Sizes, counts and versions."""
        with self._lock:
            runs = self._tables.rows["runs"].values()
            counted = ("runs", "steps", "calls", "tool_calls", "sessions", "payloads", "nodes", "dirty_hours")
            return {
                "backend": "memory",
                "bytes": sum(len(row.body or b"") for row in self._tables.rows["payloads"].values()),
                "events": sum(run.next_seq for run in runs),
                "open_runs": sum(run.status in OPEN for run in runs),
                "lost": sum(run.lost for run in runs),
                "lost_outside_runs": sum(row.events for row in self._tables.rows["losses"].values()),
                **{table: len(self._tables.rows[table]) for table in counted},
            }

    def close(self) -> None:
        """Nothing to let go of."""

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _fresh(self, run: str, events: Sequence[Event], batch: Batch) -> None:
        """Refuse a gap before anything is changed."""
        row = None if run in batch.replace else self._tables.run(run)
        following(row or RunState.begin(0, events[0]).row, events)

    def _take(self, changes: Changes, events: Sequence[Event], pks: Mapping[str, int]) -> int:
        run = events[0].run
        state = self._states.get(run)
        if state is None:
            pk = pks.get(run)
            if pk is None:
                pk = self._pk = self._pk + 1
            state = self._states[run] = RunState.begin(pk, events[0])
        fresh = following(state.row, events)
        if fresh:
            project(changes, state, fresh)
            self._tables.put("runs", state.row)
            self._tables.logs.setdefault(run, []).extend(fresh)
        return len(fresh)

    def _remove(self, changes: Changes, run: str) -> int | None:
        row = self._tables.run(run)
        if row is None:
            return None
        for step in [step for step in self._tables.rows["steps"].values() if step.run == row.pk]:
            changes.stale(row, step.started_at)
        for table in OF_RUN:
            rows = self._tables.rows[table]
            for key in [key for key in rows if key[0] == row.pk]:
                del rows[key]
        del self._tables.rows["runs"][row.pk], self._tables.logs[run], self._states[run]
        if row.session is not None:
            key = (row.tenant, row.session)
            rest = [other for other in self._tables.rows["runs"].values() if (other.tenant, other.session) == key]
            changes.leave(row, rest)
        return row.pk

    def _save(self, changes: Changes) -> None:
        for table, rows in (("steps", changes.steps), ("calls", changes.calls), ("tool_calls", changes.tools)):
            for row in rows.new.values():
                self._tables.put(table, row)
        for session in changes.sessions.new.values():
            self._tables.put("sessions", session)
        for session in changes.sessions.changed.values():
            if not session.runs:
                del self._tables.rows["sessions"][session.tenant, session.session]
        for limit in changes.limits:
            self._tables.put("limit_hits", limit)
        for score in changes.scores:
            self._tables.put("scores", score)
        marks = self._tables.rows["dirty_hours"]
        for tenant, hour in changes.dirty:
            before = marks.get((tenant, hour))
            self._tables.put("dirty_hours", DirtyRow(tenant=tenant, hour=hour, ver=before.ver + 1 if before else 1))

    def _move(self, position: Position | None) -> None:
        if position is not None:
            row = self._tables.rows["journals"].setdefault(position.journal, JournalRow(id=position.journal))
            row.segment, row.offset = position.segment, position.offset

    def _note_loss(self, row: LossRow) -> None:
        losses = self._tables.rows["losses"]
        name = (row.journal, row.reason, row.detail)
        same = next((loss for loss in losses.values() if (loss.journal, loss.reason, loss.detail) == name), None)
        self._tables.put("losses", replace(row, id=same.id if same else len(losses) + 1))

    def _says(self, message: Content, wanted: Sequence[str]) -> bool:
        data = self._tables.bytes_of(message.hash) if message.hash is not None else None
        return data is not None and any(evaluate.contains(data.decode(), needle) for needle in wanted)
