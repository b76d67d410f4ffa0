"""The store as a specification: dictionaries and no disk, with the same projections. What it does, the others do."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec.structs import replace

from tachograph.events.content import Content, digest
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.store import evaluate, rollup
from tachograph.store.changes import Changes, RunState, session_of
from tachograph.store.named import without
from tachograph.store.ports import KEPT_STRETCHES, Appended, Batch, Erased, OpenStep, Position, Stretch
from tachograph.store.project import following, project, taken_over
from tachograph.store.query import Page, Query
from tachograph.store.relations import OF_RUN, PROJECTIONS
from tachograph.store.rows import (
    OPEN,
    DayRow,
    DirtyRow,
    ErasedRow,
    FeedRow,
    HourRow,
    ImportRow,
    JournalRow,
    KeyRow,
    LossRow,
    RunRow,
)  # fmt: skip
from tachograph.store.tables import Tables

Row = Mapping[str, Any]


class MemoryStore:
    """A store that lives as long as the object. Safe for threads."""

    url = "memory:"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables = Tables()
        self._states: dict[str, RunState] = {}

    # ---- log ------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """Store a batch whole or not at all, with its projections. Raises SequenceGap."""
        with self._lock:
            if batch.position is not None and self.position(batch.position.journal) != batch.position.before:
                return Appended(moved=False)
            if any(self.next_seq(run) != seq for run, seq in batch.expect.items()):
                return Appended(moved=False)
            runs = {event.run for event in batch.events}
            gone, lost = self._erased(runs), self._taken_over(runs, batch.position)
            living = without(batch, gone | lost) if gone or lost else batch
            by_run: defaultdict[str, list[Event]] = defaultdict(list)
            for event in living.events:
                by_run[event.run].append(event)
            for run, events in by_run.items():
                self._fresh(run, events, batch)
            changes = Changes(self._tables)
            old = {run: self._tables.uses(run) for run in batch.replace}
            replaced = self._remove(changes, batch.replace)
            self._silence(replaced.values())
            self._tables.begin(living.payloads, living.canonical)
            stored = sum(self._take(changes, events, replaced) for events in by_run.values())
            if living.events:
                self._tables.end()
            self._save(changes)
            self._tables.release({pk: old[run].less(self._tables.uses(run)) for run, pk in replaced.items()})
            self._move(batch.position)
            late = sum(event.run in lost for event in batch.events)
            dropped = len(batch.events) - len(living.events) - late
            return Appended(stored, len(living.events) - stored, dropped=dropped, late=late)

    def erase(self, runs: Sequence[str], at: int) -> Erased:
        """Remove runs everywhere, and what only they name; leaves a tombstone for each."""
        with self._lock:
            logs, uses = self._tables.logs, {run: self._tables.uses(run) for run in runs}
            events = sum(len(logs.get(run, ())) for run in set(runs))
            changes = Changes(self._tables)
            removed = self._remove(changes, runs)
            self._save(changes)
            gone = self._tables.release({pk: uses[run] for run, pk in removed.items()})
            last = {f"last_{name[:-1]}": self._tables.last[name] for name in ("runs", "payloads", "nodes")}
            for run, pk in removed.items():
                self._tables.put("erased", ErasedRow(id=self._tables.number("erased"), run=run, pk=pk, at=at, **last))
            return Erased(len(removed), events, len(gone), sum(len(row.body or b"") for row in gone))

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

    def appended(self, after: int, limit: int = 1_000, tenant: str | None = None) -> Sequence[Stretch]:
        """What came in since that stretch, oldest first; of one tenant, if one is named."""
        with self._lock:
            runs = self._tables.rows["runs"]
            found = (
                Stretch(row.id, runs[row.run].id, row.first, row.count)
                for row in self._tables.rows["feed"].values()
                if row.id > after and row.count and row.run in runs and tenant in (None, runs[row.run].tenant)
            )
            return list(islice(found, limit))

    def head(self) -> int:
        """Id of the newest stretch."""
        with self._lock:
            return self._tables.last["feed"]

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
                if row.status == runs[row.run].status == "started" and runs[row.run].owner == owner
            ]
            found.sort(key=lambda row: (row.run, -row.step))
            return [OpenStep(runs[row.run].id, row.step, row.kind, row.started_at) for row in found]

    # ---- blobs and index ------------------------------------------------------------------------------------------

    def fetch(self, hashes: Sequence[bytes], tenant: str | None = None) -> Mapping[bytes, bytes]:
        """The bytes behind each hash that is stored; if a tenant is named, those that its runs name."""
        with self._lock:
            wanted = set(hashes)
            rows = [row for row in self._tables.rows["payloads"].values() if row.hash in wanted]
            own = {row.id for row in rows} if tenant is None else self.named([row.id for row in rows], tenant)
            return {row.hash: row.body for row in rows if row.id in own and row.body is not None}

    def named(self, payloads: Sequence[int], tenant: str) -> set[int]:
        """Those of these payloads, by number, that runs of a tenant name."""
        with self._lock:
            runs, rows = self._tables.rows["runs"], self._tables.rows["payloads"]
            alone = all(run.tenant == tenant for run in runs.values())
            return {
                number
                for number in payloads
                if number in rows
                if alone or any(runs[pk].tenant == tenant for pk in self._tables.owners(rows[number]))
            }

    def find(self, query: Query) -> Page:
        """Rows of one table. Raises ValueError for a column the table has not."""
        with self._lock:
            return evaluate.answer(query, self._tables.rows)

    def note(self, row: ImportRow | JournalRow | LossRow | KeyRow) -> None:
        """Put a row beside the log: an imported file, a journal's state, a loss outside any run, a key of the API."""
        with self._lock:
            if isinstance(row, JournalRow):
                known = self._tables.rows["journals"].setdefault(row.id, JournalRow(id=row.id))
                known.state, known.seen_at = row.state, row.seen_at
            elif isinstance(row, LossRow):
                self._note_loss(row)
            else:
                self._tables.put("access_keys" if isinstance(row, KeyRow) else "imports", row)

    def search(self, text: str, limit: int = 20, tenant: str | None = None) -> list[Row]:
        """Messages that contain `text` (case-insensitive), newest run first: {run_id, seq, role, hash}."""
        with self._lock:
            wanted = evaluate.spellings(text)
            runs = sorted(self._tables.rows["runs"].values(), key=lambda run: (run.started_at, run.pk), reverse=True)
            found = (
                {"run_id": run.id, "seq": event.seq, "role": event.body.role, "hash": event.body.message.hash}
                for run in runs
                for event in self._tables.logs[run.id]
                if tenant in (None, run.tenant)
                if isinstance(event.body, MessageAppended) and self._says(event.body.message, wanted)
            )
            return list(islice(found, limit))

    # ---- upkeep ---------------------------------------------------------------------------------------------------

    def refresh(self, now_ns: int) -> int:
        """Recompute the roll-ups of closed hours that are dirty; returns how many hours were done."""
        with self._lock:
            feed = self._tables.rows["feed"]
            for number in [number for number in feed if number <= self.head() - KEPT_STRETCHES]:
                del feed[number]
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
            self._tables.begin_again()
            for run in runs:
                self._take(changes, self._tables.logs.pop(run.id), {run.id: run.pk}, again=True)
            self._tables.settle()
            self._save(changes)
            return {table: len(self._tables.rows[table]) for table in PROJECTIONS}

    def check(self) -> Sequence[str]:
        """Faults found in the stored data: here only what bytes and hashes can tell, and who names what."""
        with self._lock:
            runs, payloads = self._tables.rows["runs"], self._tables.rows["payloads"]
            wrong = [
                f"payload {row.id} is not what its hash {row.hash.hex()} says"
                for row in payloads.values()
                if row.body is not None and digest(row.body) != row.hash
            ]
            named = {(number, row.pk) for row in runs.values() for number in self._tables.uses(row.id).payloads}
            noted = {(row.id, pk) for row in payloads.values() for pk in self._tables.owners(row)}
            unknown = {row.id for row in payloads.values() if row.run is None}
            for number, pk in sorted(named ^ noted):
                if number not in unknown:
                    wrong.append(f"payload {number}: whether run number {pk} names it is noted wrongly")
            return wrong

    def compact(self, *, whole: bool = False) -> int:
        """Nothing to give back: what was erased is gone."""
        return 0

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
                "lossy_runs": sum(run.lost > 0 for run in runs),
                "unpriced": sum(run.unpriced for run in runs),
                "usage_missing": sum(run.usage_missing for run in runs),
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

    def _erased(self, runs: set[str]) -> set[str]:
        """Those of these runs that were erased."""
        return {row.run for row in self._tables.rows["erased"].values() if row.run in runs}

    def _taken_over(self, runs: set[str], position: Position | None) -> set[str]:
        """Those of these runs that do not belong to the owner of this journal any more."""
        rows = [row for run in runs if (row := self._tables.run(run)) is not None]
        return {row.id for row in rows if taken_over(row.owner, row.epoch, position)}

    def _take(self, changes: Changes, events: Sequence[Event], pks: Mapping[str, int], *, again: bool = False) -> int:
        run = events[0].run
        state = self._states.get(run)
        if state is None:
            state = self._states[run] = RunState.begin(pks.get(run) or self._tables.number("runs"), events[0])
        first = state.row.next_seq
        fresh = following(state.row, events)
        if fresh:
            project(changes, state, fresh)
            self._tables.put("runs", state.row)
            self._tables.logs.setdefault(run, []).extend(fresh)
            if not again:
                number = self._tables.number("feed")
                self._tables.put("feed", FeedRow(id=number, run=state.row.pk, first=first, count=len(fresh)))
        return len(fresh)

    def _remove(self, changes: Changes, runs: Iterable[str]) -> dict[str, int]:
        """Take runs away with everything that belongs to them; returns the pk of each that was there."""
        rows = [row for run in sorted(set(runs)) if (row := self._tables.run(run)) is not None]
        left: defaultdict[tuple[str, str], list[RunRow]] = defaultdict(list)
        for row in rows:
            for step in [step for step in self._tables.rows["steps"].values() if step.run == row.pk]:
                changes.stale(row, step.started_at)
            for table in OF_RUN:
                kept = self._tables.rows[table]
                for key in [key for key in kept if key[0] == row.pk]:
                    del kept[key]
            del self._tables.rows["runs"][row.pk], self._tables.logs[row.id], self._states[row.id]
            if (session := session_of(row)) is not None:
                left[session].append(row)
        for whose, gone in left.items():
            changes.leave(whose, gone, [row for row in self._tables.rows["runs"].values() if session_of(row) == whose])
        return {row.id: row.pk for row in rows}

    def _silence(self, pks: Collection[int]) -> None:
        """What came in of these runs was replaced."""
        for row in self._tables.rows["feed"].values():
            if row.run in pks:
                row.count = 0

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
        if message.hash is None or message.level in ("hashed", "none"):
            return False
        data = self._tables.bytes_of(message.hash)
        return data is not None and any(evaluate.contains(data.decode(), needle) for needle in wanted)
