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
from tachograph.store.sqlite.known import CHUNK, chunks, row_of
from tachograph.store.sqlite.pages import Packer
from tachograph.store.sqlite.writer import Writer, bounded

Row = Mapping[str, Any]
_REBUILD_RUNS = 200
_MOST_NOTED = 20_000
"""So many payloads and runs are looked up; what is said more often is soon found among the newest runs."""


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
    """Messages that contain `text`, newest run first. Reads every payload, then the log of runs that name one."""
    needles = spellings(text)
    meets = " OR ".join(map(_contains, needles))
    twice = [needle for needle in needles for _ in "ab"]
    wanted = dict(connection.execute(f"SELECT id, hash FROM payloads WHERE {meets}", twice))
    if not wanted:
        return
    packer = Packer(connection.expand)
    found = 0
    pages = "SELECT page, body FROM events WHERE page >= ? AND page < ? ORDER BY page"
    for pk, run in _said_by(connection, list(wanted), tenant):
        for page, body in connection.execute(pages, (pk << 32, pk + 1 << 32)):
            for seq, _, role, number in packer.messages(page & 0xFFFF_FFFF, body):
                if number in wanted:
                    yield {"run_id": run, "seq": seq, "role": role, "hash": wanted[number].hex()}
                    found += 1
                    if found == limit:
                        return


def _contains(needle: str) -> str:
    """The condition that a payload contains this spelling; takes it twice. What is plain text is not unpacked."""
    plain = "instr(lower(body), lower(?)) > 0" if needle.isascii() else "contains(body, ?)"
    return f"(CASE encoding WHEN 0 THEN {plain} ELSE contains(payload_text(encoding, body), ?) END)"


def _said_by(connection: StoreConnection, payloads: Sequence[int], tenant: str | None) -> Iterator[tuple[int, str]]:
    """(pk, id) of the runs that may name one of the payloads, newest first: all, where it is noted of very many."""
    noted = _noted(connection, payloads)
    few = sorted(noted) if noted is not None and len(noted) <= CHUNK else []
    where: list[str] = ["TRUE"]
    values: list[Any] = [*few]
    if few:
        where.append(f"pk IN ({', '.join('?' * len(few))})")
    if tenant is not None:
        where.append("tenant = ?")
        values.append(tenant)
    runs = f"SELECT pk, id FROM runs WHERE {' AND '.join(where)} ORDER BY started_at DESC, pk DESC"
    for pk, run in connection.execute(runs, values):
        if noted is None or pk in noted:
            yield pk, run


def _noted(connection: StoreConnection, payloads: Sequence[int]) -> set[int] | None:
    """The runs that are known to name one of the payloads; None where they are very many, or nobody knows them all."""
    if len(payloads) > _MOST_NOTED:
        return None
    noted: set[int] = set()
    for chunk in chunks(payloads):
        marks = ", ".join("?" * len(chunk))
        owners = f"SELECT run FROM payloads WHERE id IN ({marks})"
        others = f"SELECT run FROM shares WHERE payload IN ({marks})"
        found = connection.execute(f"{owners} UNION {others} LIMIT ?", (*chunk, *chunk, _MOST_NOTED + 1))
        noted.update(run for (run,) in found)
        if len(noted) > _MOST_NOTED or None in noted:
            return None
    return noted


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
    """Sizes, counts and versions.

    What the rows of runs add up to is what the tables of calls and tool calls hold, for a fraction of the reading; of
    steps those are counted that an index holds, which are all but the calls.
    """
    runs = dict(zip(_OF_RUNS, connection.execute(_ADD_RUNS).fetchone(), strict=True))
    return {
        "backend": "sqlite",
        "path": str(path),
        "bytes": size(path),
        "free_bytes": _value(connection, "PRAGMA freelist_count") * _value(connection, "PRAGMA page_size"),
        "schema": _value(connection, "SELECT max(version_num) FROM tachograph_version"),
        "sqlite": sqlite3.sqlite_version,
        **runs,
        "lost_outside_runs": _value(connection, "SELECT coalesce(sum(events), 0) FROM losses"),
        "steps": _value(connection, "SELECT count(*) FROM steps WHERE kind != 'llm'") + runs["calls"],
        **{
            table: _value(connection, f"SELECT count(*) FROM {table}")
            for table in ("sessions", "payloads", "nodes", "dirty_hours")
        },
    }


_OF_RUNS = {
    "runs": "count(*)",
    "events": "coalesce(sum(next_seq), 0)",
    "open_runs": "coalesce(sum(status IN ('started', 'paused')), 0)",
    "lost": "coalesce(sum(lost), 0)",
    "lossy_runs": "coalesce(sum(lost > 0), 0)",
    "calls": "coalesce(sum(llm_calls), 0)",
    "tool_calls": "coalesce(sum(tool_calls), 0)",
    "unpriced": "coalesce(sum(unpriced), 0)",
    "usage_missing": "coalesce(sum(usage_missing), 0)",
}
_ADD_RUNS = f"SELECT {', '.join(_OF_RUNS.values())} FROM runs"


def _columns(table: str) -> str:
    return ", ".join(map(sql.quoted, RELATIONS[table].stored))


def _value(connection: StoreConnection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
