"""A batch into SQLite: in one transaction the journal's position, the log, the message tree and the projections.

The writer keeps what the next batch will ask for, above all the state of runs that are open. Whenever another
connection has written since, a run's state is first compared with its row, and numbers of payloads and nodes are looked
up again: runs may have been erased meanwhile. After a failure nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import astuple

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.store.changes import Changes, RunState
from tachograph.store.named import Uses, without
from tachograph.store.ports import Appended, Batch, Erased, Position
from tachograph.store.project import following, project, taken_over
from tachograph.store.relations import OF_RUN, RELATIONS
from tachograph.store.rows import OPEN, RunRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.erasure import Erasure
from tachograph.store.sqlite.known import NUMBERS, Numbers, SqliteKnown, chunks, row_of
from tachograph.store.sqlite.pages import PAGE_EVENTS, Packer, spelled
from tachograph.store.sqlite.squeeze import PAGE, Sample, Squeezer

LOOSE_PAGES = 64
"""Most loose pages of an open run before they are packed together."""
_STATES, _STATE_NODES = 1_024, 100_000
_MOST = 2**63 - 1

_INSERT = {name: sql.insert(RELATIONS[name]) for name in ("runs", "sessions", *OF_RUN)}
_UPDATE = {name: sql.update(RELATIONS[name]) for name in ("runs", "sessions", *OF_RUN)}
_RUN_BY_ID = sql.fetch(RELATIONS["runs"]).replace('WHERE "pk"', 'WHERE "id"')
_ADD_PAGE = "INSERT INTO events (page, count, codec, body) VALUES (?, ?, ?, ?)"
_ADD_STRETCH = "INSERT INTO feed (run, first, count) VALUES (?, ?, ?)"
_ADD_STONE = "INSERT INTO erased (run, pk, at, last_run, last_payload, last_node) VALUES (?, ?, ?, ?, ?, ?)"
_LAST_STONE = "SELECT last_run, last_payload, last_node FROM erased ORDER BY id DESC LIMIT 1"
_MARK = "INSERT INTO dirty_hours (tenant, hour, ver) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET ver = ver + 1"


class _Before(NamedTuple):
    """A run as it was before it was replaced."""

    row: RunRow
    uses: Uses


class Writer:
    """Appends batches through one connection. One thread at a time, inside a transaction that the caller opens."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection
        self._packer = Packer(connection.expand)
        self._squeezer = Squeezer(connection, connection.expand)
        self._known = SqliteKnown(connection, self._squeezer)
        self._erasure = Erasure(connection, self._packer)
        self._states: OrderedDict[str, RunState] = OrderedDict()
        self._held = 0
        self._seen = -1
        self._doubtful: set[str] = set()
        """Runs whose state is older than what another connection has written."""
        self._careful = False
        self._last = NUMBERS
        self._pk = 0

    def forget(self) -> None:
        """Drop everything that is kept in memory: the transaction failed, or the tables were changed from outside."""
        self._connection.forget()
        self._known.forget()
        self._squeezer.forget()
        self._states.clear()
        self._doubtful.clear()
        self._held = 0

    def append(self, batch: Batch, *, careful: bool = False) -> Appended:
        """Store a batch. On any exception the caller rolls back and calls `forget`.

        Raises SequenceGap, and OverflowError for numbers that SQL has no room for, unless it is to be `careful`.
        """
        self._careful = careful
        self._look_around()
        if batch.expect and not self._is_as_expected(batch.expect):
            return Appended(moved=False)
        if batch.position is not None and not self._move(batch.position):
            return Appended(moved=False)
        runs = {event.run for event in batch.events}
        gone = self._erased(runs) if self._last.run else set()
        lost = self._taken_over(runs, batch.position)
        living = without(batch, gone | lost) if gone or lost else batch
        changes = Changes(self._known)
        replaced = self._replace(changes, batch.replace) if batch.replace else {}
        self._known.begin(living, self._last)
        by_run: dict[str, list[Event]] = {}
        for event in living.events:
            by_run.setdefault(event.run, []).append(event)
        stored = 0
        ended = []
        for run, events in by_run.items():
            state = self._state(run, events[0], replaced)
            fresh = following(state.row, events)
            if fresh:
                stored += len(fresh)
                if self._take(changes, state, fresh):
                    ended.append(state)
        self._save(changes)
        if replaced:
            self._settle(replaced.values())
        for state in ended:
            state.rest()
        self._shrink()
        late = sum(event.run in lost for event in batch.events) if lost else 0
        dropped = len(batch.events) - len(living.events) - late
        return Appended(stored, len(living.events) - stored, dropped=dropped, late=late)

    def erase(self, runs: Sequence[str], at: int) -> Erased:
        """Remove runs and leave a tombstone for each. The caller calls `forget` afterwards, come what may."""
        self._look_around()
        rows = self._rows(runs)
        uses = {row.pk: self._erasure.uses(row.pk, row.id) for row in rows}
        payload = max(self._highest("payloads"), self._last.payload)
        node = max(self._highest("nodes"), self._last.node)
        changes = self.begin_again()
        size = self._erasure.remove(changes, rows)
        self._save(changes)
        gone = self._erasure.release(uses)
        stones = ((row.id, row.pk, at, self._pk, payload, node) for row in rows)
        self._connection.executemany(_ADD_STONE, stones)
        return Erased(len(rows), sum(row.next_seq for row in rows), gone.payloads, gone.bytes + size)

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

    def begin_rebuild(self) -> None:
        """What was known before counts no more."""
        self.forget()
        self._look_around()
        self._known.begin_again()

    def end_rebuild(self) -> None:
        """All logs have been read: it is known who names what."""
        self._known.settle()

    def begin_again(self) -> Changes:
        """Changes for an erasure or a rebuild: what a batch without events would bring."""
        self._careful = True
        self._known.begin(Batch(), self._last)
        return Changes(self._known)

    def save_again(self, changes: Changes) -> None:
        """Write what a rebuild has collected."""
        self._save(changes)

    # ---- runs -----------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Whether another connection has committed since our last transaction, and which numbers are taken."""
        seen: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        alone, self._seen = seen == self._seen, seen
        if not alone:
            # All of them: a run that this batch leaves alone is written again later.
            self._doubtful = set(self._states)
            self._known.forget()
            self._squeezer.look_around()
        found = self._connection.execute(_LAST_STONE).fetchone()
        self._last = Numbers(*found) if found else NUMBERS
        self._pk = max(self._highest("runs", "pk"), self._last.run)

    def _highest(self, table: str, column: str = "id") -> int:
        found: int = self._connection.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()[0]
        return found

    def _erased(self, runs: Iterable[str]) -> set[str]:
        """Those of these runs that were erased."""
        found: set[str] = set()
        for chunk in chunks(list(runs)):
            marks = ",".join("?" * len(chunk))
            found.update(
                run for (run,) in self._connection.execute(f"SELECT run FROM erased WHERE run IN ({marks})", chunk)
            )
        return found

    def _is_as_expected(self, expect: Mapping[str, int]) -> bool:
        """Whether each of these runs goes on where it is expected to."""
        query = "SELECT next_seq FROM runs WHERE id = ?"
        found = {run: self._connection.execute(query, (run,)).fetchone() for run in expect}
        return all(seq == (found[run][0] if found[run] else 0) for run, seq in expect.items())

    def _taken_over(self, runs: Iterable[str], position: Position | None) -> set[str]:
        """Those of these runs that do not belong to the owner of this journal any more."""
        found: set[str] = set()
        for chunk in chunks(list(runs) if position is not None else []):
            query = f"SELECT id, owner, epoch FROM runs WHERE id IN ({','.join('?' * len(chunk))}) AND epoch > 0"
            rows = self._connection.execute(query, chunk)
            found.update(run for run, owner, epoch in rows if taken_over(owner, epoch, position))
        return found

    def _rows(self, runs: Iterable[str]) -> list[RunRow]:
        """The rows of those of these runs that are there."""
        found = (self._connection.execute(_RUN_BY_ID, (run,)).fetchone() for run in dict.fromkeys(runs))
        return [row_of(RunRow, values) for values in found if values is not None]

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

    def _state(self, run: str, first: Event, replaced: Mapping[str, _Before]) -> RunState:
        state = self._states.get(run)
        if state is None or run in self._doubtful:
            found = self._connection.execute(_RUN_BY_ID, (run,)).fetchone()
            if found is None:
                before = replaced.get(run)
                if before is None:
                    self._pk += 1
                state = RunState.begin(self._pk if before is None else before.row.pk, first)
            elif state is None or state.row != row_of(RunRow, found):
                state = RunState(row_of(RunRow, found))
            self._states[run] = state
            self._doubtful.discard(run)
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
        self._connection.execute(_ADD_STRETCH, (row.pk, first, len(events)))
        return ended

    def _replace(self, changes: Changes, runs: Iterable[str]) -> dict[str, _Before]:
        """Delete runs with everything that belongs to them; the new version of each gets its pk."""
        rows = self._rows(runs)
        before = {row.id: _Before(row, self._erasure.uses(row.pk, row.id)) for row in rows}
        self._erasure.remove(changes, rows)
        for row in rows:
            self._states.pop(row.id, None)
        for chunk in chunks([row.pk for row in rows]):
            self._connection.execute(f"UPDATE feed SET count = 0 WHERE run IN ({','.join('?' * len(chunk))})", chunk)
        return before

    def _settle(self, replaced: Iterable[_Before]) -> None:
        """Let go of what only the old versions of runs named."""
        self._erasure.release({row.pk: uses.less(self._erasure.uses(row.pk, row.id)) for row, uses in replaced})
        self._known.forget()

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
        self._squeezer.learn(PAGE, page >> 32, (Sample(page >> 32, whole),))
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
            self._connection.executemany(statement, map(bounded, values) if self._careful else values)


def bounded(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers beyond 64 bits as the nearest that SQL has."""
    return tuple(max(-_MOST - 1, min(_MOST, value)) if type(value) is int else value for value in values)
