"""Upkeep of a SQLite store: rebuild, backup, search, and what `doctor` wants to know."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tachograph.store.evaluate import spellings
from tachograph.store.relations import PROJECTIONS, RELATIONS
from tachograph.store.rollup import FACETS
from tachograph.store.rows import RunRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.compaction import size
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.known import row_of
from tachograph.store.sqlite.pages import Packer
from tachograph.store.sqlite.writer import Writer, bounded

Row = Mapping[str, Any]
_REBUILD_RUNS = 200


def rebuild(connection: StoreConnection, writer: Writer) -> Mapping[str, int]:
    """Make every projection again from the log, inside the caller's transaction; returns rows per table."""
    writer.begin_rebuild()
    every = [
        row_of(RunRow, values)
        for values in connection.execute(f"SELECT {_columns('runs')} FROM runs ORDER BY pk").fetchall()
    ]
    for table in (*PROJECTIONS, "rollup_hour", "rollup_day"):
        connection.execute(f"DELETE FROM {table}")
    for start in range(0, len(every), _REBUILD_RUNS):
        changes = writer.begin_again()
        for row in every[start : start + _REBUILD_RUNS]:
            writer.project_again(changes, row)
        writer.save_again(changes)
    writer.end_rebuild()
    return {table: _value(connection, f"SELECT count(*) FROM {table}") for table in PROJECTIONS}


def backup(connection: StoreConnection, target: Path) -> None:
    """Copy the whole database to `target`, as it is at one moment. Writers go on meanwhile."""
    part = target.with_name(f"{target.name}.part")
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
        # A copy that stands alone needs no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    part.replace(target)


def search(connection: StoreConnection, text: str, limit: int, tenant: str | None = None) -> Iterator[Row]:
    """Messages that contain `text`, newest run first. Reads every payload, then the log until `limit` are found."""
    needles = spellings(text)
    meets = " OR ".join(["contains(content, ?)"] * len(needles))
    texts = "SELECT id, hash, payload_text(encoding, body) AS content FROM payloads"
    wanted = dict(connection.execute(f"SELECT id, hash FROM ({texts}) WHERE {meets}", needles))
    if not wanted:
        return
    packer = Packer(connection.expand)
    found = 0
    pages = "SELECT page, body FROM events WHERE page >= ? AND page < ? ORDER BY page"
    where = "" if tenant is None else "WHERE tenant = ?"
    runs = f"SELECT pk, id FROM runs {where} ORDER BY started_at DESC, pk DESC"
    for pk, run in connection.execute(runs, () if tenant is None else (tenant,)):
        for page, body in connection.execute(pages, (pk << 32, pk + 1 << 32)):
            for seq, _, role, number in packer.messages(page & 0xFFFF_FFFF, body):
                if number in wanted:
                    yield {"run_id": run, "seq": seq, "role": role, "hash": wanted[number].hex()}
                    found += 1
                    if found == limit:
                        return


def replace_rollups(
    connection: StoreConnection,
    done: Sequence[Row],
    hours: Mapping[int, Sequence[Row]],
    days: Mapping[int, Sequence[Row]],
) -> None:
    """Put these rows in place of all rows of these hours and days, and take away the marks that are still the same."""
    tenant = done[0]["tenant"]
    for table, span, periods in (("rollup_hour", "hour", hours), ("rollup_day", "day", days)):
        columns = RELATIONS[table].stored
        for period, rows in periods.items():
            facets = ", ".join("?" * len(FACETS))  # named so that the primary key finds the rows
            delete = f"DELETE FROM {table} WHERE facet IN ({facets}) AND {span} = ? AND tenant = ?"
            connection.execute(delete, (*FACETS, period, tenant))
            values = ([{**row, span: period, "tenant": tenant}[name] for name in columns] for row in rows)
            connection.executemany(sql.insert(RELATIONS[table]), map(bounded, map(tuple, values)))
    marks = [(mark["tenant"], mark["hour"], mark["ver"]) for mark in done]
    connection.executemany("DELETE FROM dirty_hours WHERE tenant = ? AND hour = ? AND ver = ?", marks)


def facts(connection: StoreConnection, path: Path) -> Mapping[str, Any]:
    """Sizes, counts and versions."""
    return {
        "backend": "sqlite",
        "path": str(path),
        "bytes": size(path),
        "free_bytes": _value(connection, "PRAGMA freelist_count") * _value(connection, "PRAGMA page_size"),
        "schema": _value(connection, "SELECT max(version_num) FROM tachograph_version"),
        "sqlite": sqlite3.sqlite_version,
        "events": _value(connection, "SELECT coalesce(sum(next_seq), 0) FROM runs"),
        "open_runs": _value(connection, "SELECT count(*) FROM runs WHERE status IN ('started', 'paused')"),
        "lost": _value(connection, "SELECT coalesce(sum(lost), 0) FROM runs"),
        "lost_outside_runs": _value(connection, "SELECT coalesce(sum(events), 0) FROM losses"),
        **{
            table: _value(connection, f"SELECT count(*) FROM {table}")
            for table in ("runs", "steps", "calls", "tool_calls", "sessions", "payloads", "nodes", "dirty_hours")
        },
    }


def _columns(table: str) -> str:
    return ", ".join(map(sql.quoted, RELATIONS[table].stored))


def _value(connection: StoreConnection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
