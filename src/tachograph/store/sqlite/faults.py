"""What is wrong with a SQLite store.

Looked at are the file itself, the log, contents by their hashes, who names them, the message tree, totals by their
rows, and what should be gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from tachograph.errors import CodecError
from tachograph.events.content import digest
from tachograph.events.run import AUDIT
from tachograph.store.rows import HASH_ONLY, TOTALS
from tachograph.store.sqlite.connections import StoreConnection
from tachograph.store.sqlite.erasure import Erasure
from tachograph.store.sqlite.known import chunks, payload_names
from tachograph.store.sqlite.pages import Packer


def check(connection: StoreConnection) -> Iterator[str]:
    """Every fault there is, as a sentence."""
    connection.execute("BEGIN")
    try:
        for (said,) in connection.execute("PRAGMA integrity_check"):
            if said != "ok":
                yield f"SQLite: {said}"
        yield from _check_pages(connection)
        yield from _check_payloads(connection)
        yield from _check_users(connection)
        yield from _check_nodes(connection)
        yield from _check_totals(connection)
        yield from _check_tombstones(connection)
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


_TWICE = f"SELECT hash, count(*) FROM payloads GROUP BY 1, encoding = {HASH_ONLY} HAVING count(*) > 1"


def _check_payloads(connection: StoreConnection) -> Iterator[str]:
    for hash, count in connection.execute(_TWICE):
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


def _check_users(connection: StoreConnection) -> Iterator[str]:
    """Who names which payload, as noted and as the logs say. Of payloads without an owner nothing is noted."""
    erasure = Erasure(connection, Packer(connection.expand))
    noted = _count(connection, "payloads WHERE run IS NOT NULL") + _count(connection, "shares")
    for pk, run in connection.execute("SELECT pk, id FROM runs"):
        for chunk in chunks(list(erasure.uses(pk, run).payloads)):
            query = (
                "SELECT id, run = ?1 OR EXISTS (SELECT 1 FROM shares s WHERE s.payload = id AND s.run = ?1)"
                f" FROM payloads WHERE run IS NOT NULL AND id IN ({','.join('?' * len(chunk))})"
            )
            for number, known in connection.execute(query, (pk, *chunk)):
                noted -= known
                if not known:
                    yield f"payload {number}: that run {run} names it is not noted"
    if noted:
        yield f"that a run names a payload is noted {noted} times too often"


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
    sums = ", ".join(f"CAST(total({name}) AS INTEGER)" for name in _SUMS)
    by_call = {row[0]: row[1:] for row in connection.execute(f"SELECT run, count(*), {sums} FROM calls GROUP BY run")}
    none = (0,) * (1 + len(_SUMS))
    for pk, run, *found in connection.execute(f"SELECT pk, id, llm_calls, {', '.join(_SUMS)} FROM runs"):
        for name, says, adds in zip(("llm_calls", *_SUMS), found, by_call.get(pk, none), strict=True):
            if says != adds:
                yield f"run {run}: {name} is {says}, its calls add up to {adds}"
    names = ("runs", *TOTALS)
    added = ", ".join(f"CAST(total({name}) AS INTEGER)" for name in TOTALS)
    counted = f"session IS NOT NULL AND source <> '{AUDIT}'"
    query = f"SELECT tenant, session, count(*), {added} FROM runs WHERE {counted} GROUP BY 1, 2"
    by_run = {row[:2]: row[2:] for row in connection.execute(query)}
    for tenant, session, *found in connection.execute(f"SELECT tenant, session, {', '.join(names)} FROM sessions"):
        if tuple(found) != by_run.pop((tenant, session), None):
            yield f"session {session!r} of tenant {tenant!r} does not add up to its runs"
    for tenant, session in by_run:
        yield f"session {session!r} of tenant {tenant!r} has runs but no row"


def _check_tombstones(connection: StoreConnection) -> Iterator[str]:
    query = "SELECT e.run FROM erased e WHERE EXISTS (SELECT 1 FROM runs r WHERE r.id = e.run OR r.pk = e.pk)"
    for (run,) in connection.execute(query):
        yield f"run {run} was erased, and it or its number is there again"


def _count(connection: StoreConnection, what: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])
