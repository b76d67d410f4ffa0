"""The embedded store: one SQLite file that several processes may feed while any number read.

Write-ahead logging, `synchronous=FULL`: what a transaction has moved out of a journal is on disk before the journal
goes. Loaded without SQLAlchemy, so that short commands start fast; Alembic and SQLAlchemy come in only for a file whose
schema is behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from tachograph.events.envelope import Event
from tachograph.store import rollup
from tachograph.store.ports import KEPT_STRETCHES, Appended, Batch, Erased, OpenStep, Stretch
from tachograph.store.query import Page, Query
from tachograph.store.relations import RELATIONS
from tachograph.store.rows import ImportRow, JournalRow, KeyRow, LossRow
from tachograph.store.sqlite import compaction, faults, lists, maintenance, sql
from tachograph.store.sqlite.connections import Connections, StoreConnection
from tachograph.store.sqlite.known import chunks, own, read_log
from tachograph.store.sqlite.pages import Packer
from tachograph.store.sqlite.upgrade import prepare
from tachograph.store.sqlite.writer import Writer


class SqliteStore:
    """A store in one file, which may be `shared` with an application whose file it is.

    Opens it with the first call that needs it; every method may raise StoreUnavailable.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.url = f"sqlite:{path}{'?shared' * shared}"
        self.path = path
        self._connections = Connections(path, self.url, lambda: prepare(path, self.url, shared=shared))
        self._writer: tuple[StoreConnection, Writer] | None = None

    # ---- log ------------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """Store a batch whole or not at all, with its projections. Raises SequenceGap."""
        try:
            return self._append(batch, careful=False)
        except OverflowError:
            return self._append(batch, careful=True)

    def read(self, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
        """A run's events with seq > `after`, in order; at most `limit`."""
        with self._connections.reader() as connection:
            found = connection.execute("SELECT pk FROM runs WHERE id = ?", (run,)).fetchone()
            if found is None or limit == 0:
                return
            for number, event in enumerate(read_log(connection, Packer(connection.expand), found[0], run, after), 1):
                yield event
                if number == limit:
                    return

    def next_seq(self, run: str) -> int:
        """The seq the run's next event must have."""
        return int(self._value("SELECT next_seq FROM runs WHERE id = ?", run) or 0)

    def appended(self, after: int, limit: int = 1_000, tenant: str | None = None) -> Sequence[Stretch]:
        """What came in since that stretch, oldest first; of one tenant, if one is named."""
        query = (
            'SELECT f.id, r.id, f.first, f."count" FROM feed f CROSS JOIN runs r ON r.pk = f.run'
            ' WHERE f.id > ?1 AND f."count" > 0 AND (?2 IS NULL OR r.tenant = ?2) ORDER BY f.id LIMIT ?3'
        )
        with self._connections.reader() as connection:
            return [Stretch(*row) for row in connection.execute(query, (after, tenant, limit))]

    def head(self) -> int:
        """Id of the newest stretch."""
        return int(self._value("SELECT max(id) FROM feed") or 0)

    def position(self, journal: str) -> tuple[int, int]:
        """How far the journal is stored."""
        with self._connections.reader() as connection:
            query = 'SELECT segment, "offset" FROM journals WHERE id = ?'
            found = connection.execute(query, (journal,)).fetchone()
        return found or (0, 0)

    def open_steps(self, owner: str) -> Sequence[OpenStep]:
        """Steps of this owner's runs that have not ended, innermost first."""
        query = (
            "SELECT r.id, s.step, s.kind, s.started_at FROM runs r JOIN steps s ON s.run = r.pk"
            " WHERE r.owner = ? AND r.status IN ('started', 'paused') AND r.status = 'started' AND s.status = 'started'"
            " ORDER BY r.pk, s.step DESC"
        )
        with self._connections.reader() as connection:
            return [OpenStep(*row) for row in connection.execute(query, (owner,))]

    # ---- blobs and index ------------------------------------------------------------------------------------------

    def fetch(self, hashes: Sequence[bytes], tenant: str | None = None) -> Mapping[bytes, bytes]:
        """The bytes behind each hash that is stored; if a tenant is named, those that its runs name."""
        found: dict[bytes, bytes] = {}
        with self._connections.reader() as connection:
            for chunk in chunks(list(hashes)):
                where = f"prefix IN ({','.join('?' * len(chunk))})"
                query = f"SELECT hash, encoding, body FROM payloads p WHERE {where}"
                values = [hash[:8] for hash in chunk]
                rows = connection.execute(query, values) if tenant is None else own(connection, query, values, tenant)
                for hash, encoding, body in rows:
                    if (data := connection.payload(encoding, body)) is not None:
                        found[hash] = data
        return {hash: found[hash] for hash in hashes if hash in found}

    def named(self, payloads: Sequence[int], tenant: str) -> set[int]:
        """Those of these payloads, by number, that runs of a tenant name."""
        found: set[int] = set()
        with self._connections.reader() as connection:
            for chunk in chunks(list(payloads)):
                query = f"SELECT p.id FROM payloads p WHERE p.id IN ({','.join('?' * len(chunk))})"
                found.update(number for (number,) in own(connection, query, chunk, tenant))
        return found

    def find(self, query: Query) -> Page:
        """Rows of one table. Raises ValueError for a column the table has not."""
        with self._connections.reader() as connection:
            return lists.answer(connection, query)

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a SELECT on tables and views, where prompts and contents are complete."""
        with self._connections.reader() as connection:
            connection.show_views()
            cursor = connection.execute(statement, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def search(self, text: str, limit: int = 20, tenant: str | None = None) -> list[Mapping[str, Any]]:
        """Messages that contain `text` (case-insensitive), newest run first: {run_id, seq, role, hash}."""
        with self._connections.reader() as connection:
            return list(maintenance.search(connection, text, limit, tenant))

    def note(self, row: ImportRow | JournalRow | LossRow | KeyRow) -> None:
        """Put a row beside the log: an imported file, a journal's state, a loss outside any run, a key of the API."""
        relation = _BESIDE[type(row)]
        with self._connections.transaction() as connection:
            connection.execute(_NOTE[relation.name], astuple(row))

    # ---- upkeep ---------------------------------------------------------------------------------------------------

    def erase(self, runs: Sequence[str], at: int) -> Erased:
        """Remove runs everywhere, and what only they name; leaves a tombstone for each."""
        with self._connections.writer() as connection:
            writer = self._writer_on(connection)
            try:
                with self._connections.transaction():
                    return writer.erase(runs, at)
            finally:
                writer.forget()

    def compact(self, *, whole: bool = False) -> int:
        """Give free room back to the file system; returns the bytes. `whole` leaves nothing of what was erased."""
        return compaction.compact(self._connections, self._forget, whole=whole)

    def refresh(self, now_ns: int) -> int:
        """Recompute the roll-ups of closed hours that are dirty; returns how many hours were done."""
        self._forget_stretches()
        return rollup.refresh(self, now_ns)

    def replace_rollups(
        self,
        done: Sequence[Mapping[str, Any]],
        hours: Mapping[int, Sequence[Mapping[str, Any]]],
        days: Mapping[int, Sequence[Mapping[str, Any]]],
    ) -> None:
        """Put these rows in place of all rows of these hours and days, for the tenant of the marks `done`."""
        with self._connections.transaction() as connection:
            maintenance.replace_rollups(connection, done, hours, days)

    def rebuild(self) -> Mapping[str, int]:
        """Make every projection again from the log; returns rows per table."""
        with self._connections.writer() as connection:
            writer = self._writer_on(connection)
            try:
                with self._connections.transaction():
                    return maintenance.rebuild(connection, writer)
            finally:
                writer.forget()

    def check(self) -> Sequence[str]:
        """Faults found in the stored data."""
        with self._connections.reader() as connection:
            return list(faults.check(connection))

    def backup(self, target: Path) -> None:
        """A copy of the whole store as it is now; recording goes on meanwhile."""
        with self._connections.reader() as connection:
            maintenance.backup(connection, target)

    def facts(self) -> Mapping[str, Any]:
        """Sizes, counts and versions."""
        with self._connections.reader() as connection:
            return maintenance.facts(connection, self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._writer = None
        self._connections.close()

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        if self._writer is not None:
            self._writer[1].forget()

    def _forget_stretches(self) -> None:
        oldest = self._value("SELECT min(id) FROM feed")
        newest = self.head()
        if oldest is not None and newest - oldest >= KEPT_STRETCHES * 1.1:
            with self._connections.transaction() as connection:
                connection.execute("DELETE FROM feed WHERE id <= ?", (newest - KEPT_STRETCHES,))

    def _append(self, batch: Batch, *, careful: bool) -> Appended:
        with self._connections.writer() as connection:
            writer = self._writer_on(connection)
            try:
                with self._connections.transaction():
                    return writer.append(batch, careful=careful)
            except BaseException:
                writer.forget()
                raise

    def _writer_on(self, connection: StoreConnection) -> Writer:
        if self._writer is None or self._writer[0] is not connection:
            self._writer = (connection, Writer(connection))
        return self._writer[1]

    def _value(self, query: str, *values: Any) -> Any:
        with self._connections.reader() as connection:
            found = connection.execute(query, values).fetchone()
        return found[0] if found else None


_BESIDE = {
    ImportRow: RELATIONS["imports"],
    JournalRow: RELATIONS["journals"],
    LossRow: RELATIONS["losses"],
    KeyRow: RELATIONS["access_keys"],
}
_NOTE = {
    "imports": sql.upsert(RELATIONS["imports"]),
    "access_keys": sql.upsert(RELATIONS["access_keys"]),
    "journals": sql.insert(
        RELATIONS["journals"],
        conflict=" ON CONFLICT (id) DO UPDATE SET state = excluded.state, seen_at = excluded.seen_at",
    ),
    "losses": sql.insert(
        RELATIONS["losses"],
        conflict=" ON CONFLICT (journal, reason, detail) DO UPDATE SET at = excluded.at,"
        " events = excluded.events, bytes = excluded.bytes",
    ),
}
