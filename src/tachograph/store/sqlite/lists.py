"""How a query is read: in the order of which index, or over which few runs. SQLite does not know how many there are.

Each table that people list has an index in the order of its list, which holds every column that the list is limited by:
a page of rare rows is found by reading that index alone, and so is the number of all matches. Where a condition leaves
few rows, only they are read: those of one run or report, or of the runs that meet what is asked of runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tachograph.store.query import Page, Query, Where
from tachograph.store.relations import Plan, Relation, plan
from tachograph.store.sqlite import sql
from tachograph.store.sqlite.connections import StoreConnection

FEW_RUNS = 500
"""So many runs are named one by one."""
FEW_STEPS = 20_000
"""So many steps of a report are read and sorted."""

LISTS: Mapping[str, tuple[str, str]] = {
    "steps": ("steps_list", "started_at"),
    "calls": ("calls_list", "started_at"),
    "tool_calls": ("tool_calls_list", "started_at"),
    "sessions": ("sessions_list", "updated_at"),
}
"""Table → the index of its list, and the column that it is in the order of. That of steps leaves out model calls."""

_IN_ORDER = frozenset({"pk", "started_at"})
"""Columns whose order runs are found in."""
_KEYED: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "pk": "NOT INDEXED",
        "id": "INDEXED BY runs_id",
        "execution_id": "INDEXED BY runs_execution",
        "session": "INDEXED BY runs_session",
        "parent_run": "INDEXED BY runs_parent",
        "user": "INDEXED BY runs_user",
        "tenant": "INDEXED BY runs_list",
    },
    "sessions": {"session": ""},
}
"""Columns, the rarest first, whose equality says how rows are found; '' leaves it to SQLite."""
_BY_RUN: Mapping[str, str] = {"run": ""}
_ONE_ROW = frozenset(("pk", "id", "run"))
"""Columns with so few rows a value that several values are few rows too."""
NO_CALLS = Where("kind", "ne", "llm")
"""Leaves model calls out of the steps, as the index of their list does."""


def answer(connection: StoreConnection, query: Query) -> Page:
    """The page that a query asks for, and its total, as of one moment. Raises ValueError as `plan` does."""
    made = plan(query)
    connection.execute("BEGIN")
    try:
        made = narrowed(connection, made)
        index = index_for(connection, made)
        found = [] if query.limit == 0 else _rows(connection, made, index)
        total = connection.execute(*_count(made, index)).fetchone()[0] if query.total else None
    finally:
        connection.execute("COMMIT")
    return _page(made, found, total)


def narrowed(connection: StoreConnection, made: Plan) -> Plan:
    """The same question with simpler conditions, where that can be.

    A tenant that is the only one is not asked for, few runs are named by their numbers, and steps of any kind but model
    calls are said to be no model calls. To find few runs may mean to look at all runs, which is little beside a list of
    what they did. Sums are asked for hour by hour: there runs are looked for only where an index finds them.
    """
    relation, where = made.relation, made.query.where
    if relation.name == "steps" and any(_no_call(each) for each in where):
        where = (*(each for each in where if each != NO_CALLS), NO_CALLS)
    of_run = [each for each in where if sql.behind(relation, each.column) == "runs"]
    if of_run:
        asked: Sequence[Where] = [each for each in of_run if not _is_always_so(connection, each)]
        if not _equal(where, "run") and (not made.query.measures or any(_is_keyed(relation, each) for each in asked)):
            asked = _few_runs(connection, relation, asked)
        where = (*(each for each in where if each not in of_run), *asked)
    return msgspec.structs.replace(made, query=msgspec.structs.replace(made.query, where=where))


def index_for(connection: StoreConnection, made: Plan) -> str:
    """The index to find rows by, as SQL says it; '' when SQLite is to choose."""
    query, name = made.query, made.relation.name
    if query.measures or any(each.op == "in" and not each.value for each in query.where):
        return ""  # SQLite sees that nothing is `IN ()`, and has then no use for an index that it is told to use
    for column, index in _KEYED.get(name, _BY_RUN).items():
        if _equal(query.where, column):
            return index
    if name not in LISTS or (name == "steps" and NO_CALLS not in query.where):
        return ""
    for each in query.where:
        if each.column == "report_id" and each.op == "eq" and _is_rare(connection, each.value):
            return ""
    return f"INDEXED BY {LISTS[name][0]}"


# ---- conditions ------------------------------------------------------------------------------------------------------


def _no_call(where: Where) -> bool:
    """Whether steps that meet it are no model calls."""
    if where.column != "kind":
        return False
    return where == NO_CALLS or (where.op == "eq" and where.value not in {None, NO_CALLS.value})


def _equal(wheres: Sequence[Where], column: str) -> bool:
    """Whether only rows with certain values in a column are asked for."""
    return any(
        where.column == column and (where.op == "eq" or (where.op == "in" and column in _ONE_ROW)) for where in wheres
    )


def _is_always_so(connection: StoreConnection, where: Where) -> bool:
    """Whether it names the tenant, and there is no other."""
    if where.column != "tenant" or where.op != "eq":
        return False
    ends = "SELECT (SELECT min(tenant) FROM runs), (SELECT max(tenant) FROM runs)"
    return set(connection.execute(ends).fetchone()) == {where.value}


def _is_keyed(relation: Relation, where: Where) -> bool:
    """Whether it leaves few runs, which an index finds."""
    column = relation.borrowed[where.column].columns[where.column]
    return where.op == "eq" and column != "tenant" and column in _KEYED["runs"]


def _few_runs(connection: StoreConnection, relation: Relation, of_run: Sequence[Where]) -> Sequence[Where]:
    """The numbers of the runs that meet the conditions when they are few, else the conditions."""
    if not of_run:
        return ()
    text, values = sql.runs(relation, of_run)
    found = connection.execute(f"{text} LIMIT ?", (*values, FEW_RUNS + 1)).fetchall()
    return of_run if len(found) > FEW_RUNS else (Where("run", "in", tuple(run for (run,) in found)),)


def _is_rare(connection: StoreConnection, report: Any) -> bool:
    """Whether few steps belong to a report."""
    text = "SELECT count(*) FROM (SELECT 1 FROM steps WHERE report_id = ? LIMIT ?)"
    found: int = connection.execute(text, (report, FEW_STEPS + 1)).fetchone()[0]
    return found <= FEW_STEPS


# ---- rows ------------------------------------------------------------------------------------------------------------


def _rows(connection: StoreConnection, made: Plan, index: str) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(*_select(made, index)).fetchall()
    except sqlite3.DatabaseError as problem:
        if "integer overflow" not in str(problem):
            raise
    # Somebody recorded nonsense that adds up to more than 64 bits hold. That must not cost everybody else the answer.
    return connection.execute(*sql.groups(made, saturated=True)).fetchall()


def _select(made: Plan, index: str) -> sql.Statement:
    name, column = LISTS.get(made.relation.name, ("", ""))
    listed = index.endswith(f" {name}")
    if listed and (made.query.limit is None or made.order[0][0] != column):
        return sql.select(made)
    # Where all runs are sorted, only what they are sorted by is read of them.
    is_sorted = made.relation.name == "runs" and made.order != () and made.order[0][0] not in _IN_ORDER
    return sql.select(made, index, by_key=is_sorted)


def _count(made: Plan, index: str) -> sql.Statement:
    of_steps = any(sql.behind(made.relation, where.column) == "steps" for where in made.query.where)
    return sql.count(made, "" if of_steps else index)


def _page(made: Plan, found: Sequence[tuple[Any, ...]], total: int | None) -> Page:
    flags = [place for place, name in enumerate(made.columns) if name in made.relation.flags]
    width = len(made.columns)
    rows = [dict(zip(made.columns, values, strict=False)) for values in found]
    if flags:
        for row, values in zip(rows, found, strict=True):
            row.update((made.columns[place], bool(values[place])) for place in flags)
    query = made.query
    full = query.limit is not None and found and len(found) == query.limit and not query.measures
    return Page(rows, tuple(found[-1][width:]) if full else None, total)
