"""Lists of a big store: the newest 50 rows by any filters, and how many there are, beside plain SQLite.

    python -m bench.lists [--calls N] [--folder PATH] [--only TEXT]

The store holds N model calls (a million, unless said) and as many rows of `execution_logs`: a month of runs, ten of
them at a time, with frequent values and values that only a handful of rows have. Beside it stand the flat tables
`execution_logs` and `llm_call_logs` with the same rows and an index on each column that is asked for. A folder that is
named keeps both for the next time. At the end, the analytics of that month from the same store.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.kit.month import DAY, DAYS, fill
from bench.kit.table import show
from tachograph.queries.logs.analytics import SummaryAsked, summary
from tachograph.queries.logs.counts import Counted, count
from tachograph.queries.pages import total
from tachograph.queries.period import Period
from tachograph.store.query import Query, Where
from tachograph.store.rollup import HOUR
from tachograph.store.scoped import Scoped
from tachograph.store.sqlite.store import SqliteStore

NOW = 490_008 * HOUR + HOUR // 2
FIRST = NOW - DAYS * DAY
PAGE = 50

FLAT: Mapping[str, Sequence[str]] = {
    "execution_logs": (
        "tenant", "report_id", "agent_type", "execution_step", "action_type", "status", "external_platform",
    ),
    "llm_call_logs": ("tenant", "provider", "model_id", "call_type", "status", "report_id", "execution_log_id"),
}  # fmt: skip
"""The flat tables, and the columns that are asked for: each has an index, as have the times."""


def flatten(store: Path, target: Path) -> None:
    """The flat tables, filled from the views of the store."""
    database = sqlite3.connect(target, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("ATTACH ? AS kept", (str(store),))
    tenant = "(SELECT tenant FROM kept.runs WHERE id = run_id) AS tenant"
    for table, columns in FLAT.items():
        where = "WHERE kind <> 'llm'" if table == "execution_logs" else ""
        database.execute(f"CREATE TABLE {table} AS SELECT *, {tenant} FROM kept.{table} {where}")
        for column in (*columns, "start_time"):
            database.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
    database.close()


def built(folder: Path, calls: int) -> tuple[SqliteStore, sqlite3.Connection]:
    """The store and the flat tables; made if they are not in the folder."""
    paths = [folder / f"{name}-{calls}.db" for name in ("store", "flat")]
    store = SqliteStore(paths[0])
    if not paths[0].exists():
        fill(store, calls, NOW)
    store.refresh(NOW)
    if not paths[1].exists():
        flatten(*paths)
    return store, sqlite3.connect(f"file:{paths[1]}?mode=ro", uri=True)


class Asked(NamedTuple):
    """A list somebody asks for, by the parameters of the API."""

    table: str
    what: str
    tenant: str
    where: Mapping[str, Any]


_A_DAY = {"since": NOW - 5 * DAY, "until": NOW - 4 * DAY}
_A_MONTH = {"since": FIRST, "until": NOW}
ASKED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "execution_logs": {
        "nothing": {},
        "frequent status": {"status": "completed"},
        "rare status": {"status": "abandoned"},
        "rare agent": {"agent_type": "auditor"},
        "frequent step": {"execution_step": "plan"},
        "rare step": {"execution_step": "replan"},
        "tool calls, rare agent": {"execution_step": "tool", "agent_type": "auditor"},
        "rare action": {"action_type": "delete_report"},
        "frequent platform": {"external_platform": "web"},
        "rare platform": {"external_platform": "kiosk"},
        "big report (6 %)": {"report_id": "report-big"},
        "small report": {"report_id": "report-30"},
        "big report, rare status": {"report_id": "report-big", "status": "abandoned"},
        "a day": _A_DAY,
        "a month, rare action": {**_A_MONTH, "action_type": "delete_report"},
        "five frequent": {
            "status": "completed", "agent_type": "agent-1", "execution_step": "plan", "action_type": "create_widget",
            "external_platform": "web",
        },
        "five, rarely together": {
            "status": "cancelled", "agent_type": "agent-12", "execution_step": "observe",
            "action_type": "create_widget", "external_platform": "teams",
        },
    },
    "llm_call_logs": {
        "nothing": {},
        "frequent provider": {"provider": "openai"},
        "rare provider": {"provider": "local"},
        "frequent model": {"model_id": "openai-s"},
        "rare status": {"status": "abandoned"},
        "streamed": {"call_type": "inference_stream"},
        "big report (3 %)": {"report_id": "report-big"},
        "small report": {"report_id": "report-30"},
        "big report, rare status": {"report_id": "report-big", "status": "abandoned"},
        "big report, frequent model": {"report_id": "report-big", "model_id": "openai-s"},
        "a month, rare provider": {**_A_MONTH, "provider": "local"},
        "four frequent": {
            "provider": "openai", "model_id": "openai-s", "call_type": "inference", "status": "completed",
        },
    },
    "tool_calls": {
        "nothing": {},
        "rare name": {"name": "refund"},
        "rare state, frequent name": {"name": "search", "state": "abandoned"},
        "rare agent": {"agent_type": "auditor"},
    },
    "runs": {
        "nothing": {},
        "rare agent": {"agent_type": "auditor"},
        "rare status": {"status": "abandoned"},
        "rare tag": {"tag": "vip"},
        "frequent tag, failed": {"tag": "project:1", "status": "failed"},
        "a user": {"user": "user-7"},
        "a session, failed": {"session": "session-7", "status": "failed"},
    },
    "sessions": {"nothing": {}, "a user": {"user": "user-7"}, "no user": {"user": "nobody"}},
}  # fmt: skip
"""List → what it is limited by → the parameters. Each is asked for a tenant with most of the rows, or with few."""

NO_CALLS = Where("kind", "ne", "llm")
LISTS: Mapping[str, Counted] = {
    "execution_logs": Counted(
        table="steps", always=(NO_CALLS,), rolled=Where("step", "ne", "llm"),
        keys={"agent_type": "agent", "status": "status"},
    ),
    "llm_call_logs": Counted(
        table="calls", rolled=Where("step", "eq", "llm"),
        keys={"provider": "provider", "model": "model", "status": "status"},
    ),
}  # fmt: skip
"""How the API counts these lists; the others are counted by the store alone."""
OUR_NAMES = {"external_platform": "platform", "model_id": "model"}


def conditions(asked: Asked) -> tuple[Where, ...]:
    """The conditions on the list, as the API asks the store."""
    wheres: list[Where] = []
    for name, value in asked.where.items():
        match name:
            case "since" | "until":
                wheres.append(Where("started_at", "ge" if name == "since" else "lt", value))
            case "execution_step" if value == "tool":
                wheres.append(Where("kind", "eq", "tool"))
            case "execution_step":
                wheres += [Where("kind", "ne", "tool"), Where("name", "eq", value)]
            case "call_type":
                wheres.append(Where("streaming", "eq", value == "inference_stream"))
            case "tag":
                wheres.append(Where("tags", "contains", value))
            case _:
                wheres.append(
                    Where({"external_platform": "platform", "model_id": "model"}.get(name, name), "eq", value)
                )
    return tuple(wheres)


def ours(store: Scoped, asked: Asked) -> tuple[Callable[[], object], Callable[[], int]]:
    """Asks for the page, and for the number of matches."""
    where, counted = conditions(asked), LISTS.get(asked.table)
    if counted is None:
        order = "-updated_at" if asked.table == "sessions" else "-started_at"
        query = Query(asked.table, where, order=(order,), limit=PAGE)
        return lambda: store.find(query), lambda: total(store, query)
    query = Query(counted.table, (*counted.always, *where), order=("-started_at",), limit=PAGE)
    period = Period(asked.where.get("since"), asked.where.get("until"))
    rest = [each for each in where if each.column != "started_at"]
    return lambda: store.find(query), lambda: count(store, NOW, counted, period, rest)


def flat(asked: Asked) -> tuple[str, list[Any]]:
    """The conditions on the flat table."""
    conditions, values = ["tenant = ?"], [asked.tenant]
    for name, value in asked.where.items():
        condition = {"since": "start_time >= ?", "until": "start_time < ?"}.get(name, f"{name} = ?")
        conditions.append(condition)
        values.append(datetime.fromtimestamp(value // 10**9, UTC).isoformat() if "start" in condition else value)
    return f"FROM {asked.table} WHERE {' AND '.join(conditions)}", values


def milliseconds(ask: Callable[[], object], rounds: int = 5) -> float:
    """Wall time of the median of some rounds, after one that warms up; one that takes long is not repeated."""
    start = time.perf_counter()
    ask()
    first = (time.perf_counter() - start) * 1e3
    found = [first]
    if first < 1_000:
        found.clear()
        for _ in range(rounds):
            start = time.perf_counter()
            ask()
            found.append((time.perf_counter() - start) * 1e3)
    return sorted(found)[len(found) // 2]


def measured(store: SqliteStore, database: sqlite3.Connection, asked: Asked) -> tuple[object, ...]:
    """(table, tenant and filters, matches, page, total, page and total of plain SQLite), milliseconds."""
    page, matching = ours(Scoped(store, asked.tenant), asked)
    times = [milliseconds(page), milliseconds(matching)]
    matches = matching()
    if asked.table in FLAT:
        text, values = flat(asked)
        newest, number = f"SELECT * {text} ORDER BY start_time DESC LIMIT {PAGE}", f"SELECT count(*) {text}"
        times.append(milliseconds(lambda: database.execute(newest, values).fetchall(), 1))
        times.append(milliseconds(lambda: database.execute(number, values).fetchall(), 1))
        assert database.execute(number, values).fetchone() == (matches,), asked
    return asked.table, f"{asked.tenant}: {asked.what}", matches, *times, *("–",) * (4 - len(times))


def summarised(store: SqliteStore, database: sqlite3.Connection) -> Sequence[tuple[object, ...]]:
    """(what, ms): the analytics of the month, as the API answers them, and the document's part of them in plain SQL."""
    scoped = Scoped(store, "default")
    month = "WHERE tenant = 'default' AND start_time >= '2025' GROUP BY"
    times = "count(*), avg(duration_ms), min(duration_ms), max(duration_ms)"
    tokens = "count(*), sum(input_tokens), sum(output_tokens), sum(total_cost)"
    statements = [
        *(f"SELECT {key}, {times} FROM execution_logs {month} {key}" for key in ("status", "agent_type")),
        *(f"SELECT {key}, {tokens} FROM llm_call_logs {month} {key}" for key in ("provider", "model_id")),
    ]
    plain = milliseconds(lambda: [database.execute(statement).fetchall() for statement in statements], 1)
    return [
        ("plain SQLite: by status, agent, provider, model", plain),
        ("tachograph: the same, quantiles, series, slowest steps, errors",
         milliseconds(lambda: summary(scoped, SummaryAsked(), NOW))),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.lists")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the databases here")
    parser.add_argument("--only", default="", help="only filters whose name holds this text")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        store, database = built(given.folder or Path(name), given.calls)
        rows = [
            measured(store, database, Asked(table, what, tenant, where))
            for table, filters in ASKED.items()
            for what, where in filters.items()
            for tenant in (("default", "acme") if table in FLAT and where else ("default",))
            if given.only in what
        ]
        months = summarised(store, database)
        store.close()
        database.close()
    head = ("list", "tenant: limited to", "matches", "page ms", "total ms", "plain page ms", "plain total ms")
    wanted = "Wanted: page ≤ 20 ms where it fills within 20,000 rows or an index serves it, else ≤ 250; total ≤ 150."
    show(f"Newest {PAGE} of {given.calls:,} rows", head, rows, wanted)
    show(f"Summary of {DAYS} days, {given.calls:,} calls", ("what", "ms"), months, "Wanted: ≤ 50 ms.")


if __name__ == "__main__":
    main(sys.argv[1:])
