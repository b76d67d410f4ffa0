"""Upkeep of a SQLite store: rebuild, check, backup, search, and what `doctor` wants to know."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tachograph.errors import CodecError
from tachograph.events.content import digest
from tachograph.store.evaluate import spellings
from tachograph.store.relations import PROJECTIONS, RELATIONS
from tachograph.store.rollup import FACETS
from tachograph.store.rows import TOTALS, RunRow
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.known import payload_names, row_of
from tachograph.store.sqlite.pages import Packer
from tachograph.store.sqlite.writer import Writer

Row = Mapping[str, Any]
_REBUILD_RUNS = 200


def rebuild(connection: StoreConnection, writer: Writer) -> Mapping[str, int]:
    """Make every projection again from the log, inside the caller's transaction; returns rows per table."""
    writer.forget()
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
    return {table: _value(connection, f"SELECT count(*) FROM {table}") for table in PROJECTIONS}


def check(connection: StoreConnection) -> Iterator[str]:
    """Faults, as sentences: the file itself, the log, payloads and nodes by their hashes, totals by their rows."""
    connection.execute("BEGIN")
    try:
        for (said,) in connection.execute("PRAGMA integrity_check"):
            if said != "ok":
                yield f"SQLite: {said}"
        yield from _check_pages(connection)
        yield from _check_payloads(connection)
        yield from _check_nodes(connection)
        yield from _check_totals(connection)
    finally:
        connection.execute("ROLLBACK")


def _check_pages(connection: StoreConnection) -> Iterator[str]:
    packer = Packer(connection.expand)
    known: dict[int, tuple[str, int]] = {
        pk: (run, next_seq) for pk, run, next_seq in connection.execute("SELECT pk, id, next_seq FROM runs")
    }
    reached = dict.fromkeys(known, 0)
    for page, count, version, body in connection.execute("SELECT page, count, codec, body FROM events ORDER BY page"):
        pk, first = page >> 32, page & 0xFFFF_FFFF
        if pk not in known:
            yield f"page {first} of the log belongs to run number {pk}, which does not exist"
            continue
        run = known[pk][0]
        if first != reached[pk]:
            yield f"run {run}: the log goes from event {reached[pk]} to event {first}"
        reached[pk] = first + count
        yield from _check_page(connection, packer, run, first, (count, version, body))
    for pk, (run, next_seq) in known.items():
        if reached[pk] != next_seq:
            yield f"run {run}: {next_seq} events are counted, the log ends at {reached[pk]}"


def _check_page(
    connection: StoreConnection, packer: Packer, run: str, first: int, page: tuple[int, int, bytes]
) -> Iterator[str]:
    count, version, body = page
    try:
        events = packer.unpack(run, first, body, version, lambda numbers: payload_names(connection, numbers))
    except CodecError as problem:
        yield str(problem)
        return
    if len(events) != count:
        yield f"run {run}: page {first} holds {len(events)} events, not {count}"


def _check_payloads(connection: StoreConnection) -> Iterator[str]:
    for hash, count in connection.execute("SELECT hash, count(*) FROM payloads GROUP BY 1 HAVING count(*) > 1"):
        yield f"{count} payloads have the hash {hash.hex()}"
    for number, hash, size, encoding, body in connection.execute(
        "SELECT id, hash, size, encoding, body FROM payloads WHERE body IS NOT NULL"
    ):
        try:
            data = connection.payload(encoding, body) or b""
        except Exception as problem:  # noqa: BLE001 - whatever a damaged block makes the decoder raise is the finding
            yield f"payload {number}: {problem}"
            continue
        if digest(data) != hash:
            yield f"payload {number} is not what its hash {hash.hex()} says"
        elif len(data) != size:
            yield f"payload {number} has {len(data)} bytes, not {size}"


def _check_nodes(connection: StoreConnection) -> Iterator[str]:
    query = (
        "SELECT n.id, n.parent, above.id, n.payload, p.id FROM nodes n"
        " LEFT JOIN nodes above ON above.id = n.parent AND above.id < n.id LEFT JOIN payloads p ON p.id = n.payload"
        " WHERE (n.parent <> 0 AND above.id IS NULL) OR (n.payload <> 0 AND p.id IS NULL)"
    )
    for number, parent, above, payload, _ in connection.execute(query):
        if parent and above is None:
            yield f"node {number}: there is no node {parent} before it"
        else:
            yield f"node {number}: its message, payload {payload}, does not exist"
    query = "SELECT parent, payload, role, count(*) FROM nodes GROUP BY 1, 2, 3 HAVING count(*) > 1"
    for parent, payload, role, count in connection.execute(query):
        yield f"{count} nodes stand for payload {payload} ({role}) below node {parent}"


_SUMS = (
    "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_nano",
    "reported_cost_nano",
)  # fmt: skip


def _check_totals(connection: StoreConnection) -> Iterator[str]:
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _SUMS)
    by_call = {row[0]: row[1:] for row in connection.execute(f"SELECT run, count(*), {sums} FROM calls GROUP BY run")}
    none = (0,) * (1 + len(_SUMS))
    for pk, run, *found in connection.execute(f"SELECT pk, id, llm_calls, {', '.join(_SUMS)} FROM runs"):
        for name, says, adds in zip(("llm_calls", *_SUMS), found, by_call.get(pk, none), strict=True):
            if says != adds:
                yield f"run {run}: {name} is {says}, its calls add up to {adds}"
    names = ("runs", *TOTALS)
    added = ", ".join(f"sum({name})" for name in TOTALS)
    query = f"SELECT tenant, session, count(*), {added} FROM runs WHERE session IS NOT NULL GROUP BY 1, 2"
    by_run = {row[:2]: row[2:] for row in connection.execute(query)}
    for tenant, session, *found in connection.execute(f"SELECT tenant, session, {', '.join(names)} FROM sessions"):
        if tuple(found) != by_run.pop((tenant, session), None):
            yield f"session {session!r} of tenant {tenant!r} does not add up to its runs"
    for tenant, session in by_run:
        yield f"session {session!r} of tenant {tenant!r} has runs but no row"


def backup(connection: StoreConnection, target: Path) -> None:
    """Copy the whole database to `target`, as it is at one moment. Writers go on meanwhile."""
    part = target.with_name(f"{target.name}.part")
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
        # A copy that stands alone needs no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    part.replace(target)


def search(connection: StoreConnection, text: str, limit: int) -> Iterator[Row]:
    """Messages that contain `text`, newest run first. Reads every payload, then the log until `limit` are found."""
    needles = spellings(text)
    meets = " OR ".join(["contains(content, ?)"] * len(needles))
    query = f"SELECT id FROM (SELECT id, payload_text(encoding, body) AS content FROM payloads) WHERE {meets}"
    wanted = {number for (number,) in connection.execute(query, needles)}
    if not wanted:
        return
    packer = Packer(connection.expand)
    found = 0
    pages = "SELECT page, body FROM events WHERE page >= ? AND page < ? ORDER BY page"
    for pk, run in connection.execute("SELECT pk, id FROM runs ORDER BY started_at DESC, pk DESC"):
        for page, body in connection.execute(pages, (pk << 32, pk + 1 << 32)):
            for seq, role, number in packer.messages(page & 0xFFFF_FFFF, body):
                if number in wanted:
                    yield {
                        "run_id": run,
                        "seq": seq,
                        "role": role,
                        "hash": payload_names(connection, [number])[number][0],
                    }
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
            connection.executemany(sql.insert(RELATIONS[table]), values)
    marks = [(mark["tenant"], mark["hour"], mark["ver"]) for mark in done]
    connection.executemany("DELETE FROM dirty_hours WHERE tenant = ? AND hour = ? AND ver = ?", marks)


def facts(connection: StoreConnection, path: Path) -> Mapping[str, Any]:
    """Sizes, counts and versions."""
    beside = [path.with_name(path.name + suffix) for suffix in ("", "-wal")]
    return {
        "backend": "sqlite",
        "path": str(path),
        "bytes": sum(file.stat().st_size for file in beside if file.exists()),
        "free_bytes": _value(connection, "PRAGMA freelist_count") * _value(connection, "PRAGMA page_size"),
        "schema": _value(connection, "PRAGMA user_version"),
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
