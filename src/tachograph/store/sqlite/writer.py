"""A batch into SQLite: in one transaction the journal's position, the log, the message tree and the projections.

The writer keeps what the next batch will ask for, above all the state of runs that are open. Whenever another
connection has written since, a run's state is first compared with its row. After a failure nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import astuple

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.store.changes import HOUR_NS, Changes, RunState
from tachograph.store.ports import Appended, Batch, Position
from tachograph.store.project import following, project
from tachograph.store.relations import OF_RUN, RELATIONS
from tachograph.store.rows import OPEN, RunRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.known import SqliteKnown, row_of
from tachograph.store.sqlite.pages import PAGE_EVENTS, Packer, spelled
from tachograph.store.sqlite.squeeze import PAGE, Squeezer

LOOSE_PAGES = 64
"""Most loose pages of an open run before they are packed together."""
_STATES, _STATE_NODES = 1_024, 100_000
_MOST = 2**63 - 1

_INSERT = {name: sql.insert(RELATIONS[name]) for name in ("runs", "sessions", *OF_RUN)}
_UPDATE = {name: sql.update(RELATIONS[name]) for name in ("runs", "sessions", *OF_RUN)}
_RUN_BY_ID = sql.fetch(RELATIONS["runs"]).replace('WHERE "pk"', 'WHERE "id"')
_RUNS_OF_SESSION = sql.fetch(RELATIONS["runs"]).replace('WHERE "pk" = ?1', 'WHERE "tenant" = ? AND "session" = ?')
_ADD_PAGE = "INSERT INTO events (page, count, codec, body) VALUES (?, ?, ?, ?)"
_MARK = "INSERT INTO dirty_hours (tenant, hour, ver) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET ver = ver + 1"


class Writer:
    """Appends batches through one connection. One thread at a time, inside a transaction that the caller opens."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection
        self._packer = Packer(connection.expand)
        self._squeezer = Squeezer(connection, connection.expand)
        self._known = SqliteKnown(connection, self._squeezer)
        self._states: OrderedDict[str, RunState] = OrderedDict()
        self._held = 0
        self._seen = -1
        self._alone = False
        self._careful = False

    def forget(self) -> None:
        """Drop everything that is kept in memory: the transaction failed, or the tables were changed from outside."""
        self._connection.forget()
        self._known.forget()
        self._squeezer.forget()
        self._states.clear()
        self._held = 0

    def append(self, batch: Batch, *, careful: bool = False) -> Appended:
        """Store a batch. On any exception the caller rolls back and calls `forget`.

        Raises SequenceGap, and OverflowError for numbers that SQL has no room for, unless it is to be `careful`.
        """
        self._careful = careful
        self._look_around()
        if batch.position is not None and not self._move(batch.position):
            return Appended(moved=False)
        changes = Changes(self._known)
        replaced = {run: pk for run in batch.replace if (pk := self._remove(changes, run)) is not None}
        self._known.begin(batch)
        by_run: dict[str, list[Event]] = {}
        for event in batch.events:
            by_run.setdefault(event.run, []).append(event)
        stored = 0
        ended = []
        for run, events in by_run.items():
            state = self._state(run, events[0], replaced.get(run))
            fresh = following(state.row, events)
            if fresh:
                stored += len(fresh)
                if self._take(changes, state, fresh):
                    ended.append(state)
        self._save(changes)
        for state in ended:
            state.rest()
        self._shrink()
        return Appended(stored, len(batch.events) - stored)

    def project_again(self, changes: Changes, row: RunRow) -> RunRow | None:
        """Project a run's log onto a new row that takes the place of `row`; None when it has no events."""
        state = None
        chunk: list[Event] = []
        for event in self._known.log(row):
            state = state or RunState.begin(row.pk, event)
            chunk.append(event)
            if len(chunk) == PAGE_EVENTS:
                project(changes, state, chunk)
                chunk = []
        if state is None:
            return None
        if chunk:
            project(changes, state, chunk)
        state.row.loose_pages = row.loose_pages
        self._write(_INSERT["runs"], (state.row,))
        return state.row

    def begin_again(self) -> Changes:
        """Changes for a rebuild: what a batch without events would bring."""
        self._careful = True
        self._known.begin(Batch())
        return Changes(self._known)

    def save_again(self, changes: Changes) -> None:
        """Write what a rebuild has collected."""
        self._save(changes)

    # ---- runs -----------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Whether another connection has committed since our last transaction."""
        seen: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        self._alone, self._seen = seen == self._seen, seen
        self._pk: int = self._connection.execute("SELECT coalesce(max(pk), 0) FROM runs").fetchone()[0]

    def _move(self, position: Position) -> bool:
        found = self._connection.execute(
            'SELECT segment, "offset" FROM journals WHERE id = ?', (position.journal,)
        ).fetchone()
        if (found or (0, 0)) != position.before:
            return False
        self._connection.execute(
            'INSERT INTO journals (id, segment, "offset") VALUES (?, ?, ?)'
            ' ON CONFLICT (id) DO UPDATE SET segment = excluded.segment, "offset" = excluded."offset"',
            (position.journal, position.segment, position.offset),
        )
        return True

    def _state(self, run: str, first: Event, pk: int | None) -> RunState:
        state = self._states.get(run)
        if state is None or not self._alone:
            found = self._connection.execute(_RUN_BY_ID, (run,)).fetchone()
            if found is None:
                if pk is None:
                    pk = self._pk = self._pk + 1
                state = RunState.begin(pk, first)
            elif state is None or state.row != row_of(RunRow, found):
                state = RunState(row_of(RunRow, found))
            self._states[run] = state
        self._states.move_to_end(run)
        return state

    def _take(self, changes: Changes, state: RunState, events: Sequence[Event]) -> bool:
        """Project events and write their pages; whether the run has ended with them."""
        row = state.row
        first, was_open = row.next_seq, row.status in OPEN
        project(changes, state, events)
        self._add_pages(row, first, events, iter(changes.messages))
        ended = was_open and row.status not in OPEN
        if row.loose_pages > (1 if ended else LOOSE_PAGES):
            self._pack(row)
        self._write(_UPDATE["runs"] if first else _INSERT["runs"], (row,))
        return ended

    def _remove(self, changes: Changes, run: str) -> int | None:
        """Delete a run with everything that belongs to it; returns its pk, which its new version gets."""
        self._states.pop(run, None)
        found = self._connection.execute(_RUN_BY_ID, (run,)).fetchone()
        if found is None:
            return None
        row = row_of(RunRow, found)
        execute = self._connection.execute
        for (hour,) in execute("SELECT DISTINCT started_at / ? FROM steps WHERE run = ?", (HOUR_NS, row.pk)):
            changes.dirty.add((row.tenant, hour))
        for table in OF_RUN:
            execute(f"DELETE FROM {table} WHERE run = ?", (row.pk,))
        execute("DELETE FROM events WHERE page >= ? AND page < ?", (row.pk << 32, row.pk + 1 << 32))
        execute("DELETE FROM runs WHERE pk = ?", (row.pk,))
        if row.session is not None:
            rest = execute(_RUNS_OF_SESSION, (row.tenant, row.session)).fetchall()
            changes.leave(row, [row_of(RunRow, values) for values in rest])
        return row.pk

    def _shrink(self) -> None:
        """Keep the states of the runs that were written last, within bounds."""
        self._held = sum(len(state.nodes) for state in self._states.values()) if len(self._states) else 0
        while self._states and (len(self._states) > _STATES or self._held > _STATE_NODES):
            _, state = self._states.popitem(last=False)
            self._held -= len(state.nodes)

    # ---- pages ----------------------------------------------------------------------------------------------------

    def _add_pages(self, row: RunRow, first: int, events: Sequence[Event], messages: Iterator[int]) -> None:
        for start in range(0, len(events), PAGE_EVENTS):
            part = events[start : start + PAGE_EVENTS]
            self._add_page(row.pk << 32 | first + start, len(part), spelled(part, messages))
            row.loose_pages = row.loose_pages + 1 if len(part) < PAGE_EVENTS else 0

    def _pack(self, row: RunRow) -> None:
        """Make few full pages of the run's last, loose ones."""
        low, high = row.pk << 32, row.pk + 1 << 32
        loose = self._connection.execute(
            "SELECT page, codec, body FROM events WHERE page >= ? AND page < ? ORDER BY page DESC LIMIT ?",
            (low, high, row.loose_pages),
        ).fetchall()[::-1]
        row.loose_pages = 0
        if not loose or any(version != codec.SCHEMA_VERSION for _, version, _ in loose):
            return
        page = loose[0][0]
        merged = self._packer.merge(body for _, _, body in loose)
        self._connection.execute("DELETE FROM events WHERE page >= ? AND page < ?", (page, high))
        for count, whole in merged:
            self._add_page(page, count, whole)
            page += count
        row.loose_pages = int(merged[-1][0] < PAGE_EVENTS)

    def _add_page(self, page: int, count: int, whole: bytes) -> None:
        self._squeezer.learn(PAGE, page >> 32, (whole,))
        body = self._squeezer.pack(PAGE, whole)
        self._connection.execute(_ADD_PAGE, (page, count, codec.SCHEMA_VERSION, body))

    # ---- rows -----------------------------------------------------------------------------------------------------

    def _save(self, changes: Changes) -> None:
        self._known.save()
        for table, rows in (
            ("steps", changes.steps),
            ("calls", changes.calls),
            ("tool_calls", changes.tools),
            ("sessions", changes.sessions),
        ):
            self._write(_INSERT[table], rows.new.values())
            self._write(_UPDATE[table], rows.changed.values())
        self._write(_INSERT["limit_hits"], changes.limits)
        self._write(_INSERT["scores"], changes.scores)
        if any(not session.runs for session in changes.sessions.changed.values()):
            self._connection.execute("DELETE FROM sessions WHERE runs = 0")
        self._connection.executemany(_MARK, changes.dirty)

    def _write(self, statement: str, rows: Iterable[Any]) -> None:
        if rows:
            values = map(astuple, rows)
            self._connection.executemany(statement, map(_bounded, values) if self._careful else values)


def _bounded(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers beyond 64 bits as the nearest that SQL has."""
    return tuple(max(-_MOST - 1, min(_MOST, value)) if type(value) is int else value for value in values)
