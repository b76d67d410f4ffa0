"""`Query` values as SQL text with `?` parameters. Names come from `relations` only, values only as parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tachograph.store.query import Query, Where
from tachograph.store.relations import RELATIONS, Plan, Relation

Statement = tuple[str, list[Any]]


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return f'"{name}"'


def insert(relation: Relation, *, conflict: str = "") -> str:
    """INSERT of a whole row, fields in order; `conflict` is what follows."""
    columns = relation.stored
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {relation.name} ({_list(columns)}) VALUES ({marks}){conflict}"


def upsert(relation: Relation) -> str:
    """INSERT of a whole row that takes the place of the one with the same key."""
    rest = [name for name in relation.stored if name not in relation.key]
    changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in rest)
    return insert(relation, conflict=f" ON CONFLICT ({_list(relation.key)}) DO UPDATE SET {changes}")


def update(relation: Relation) -> str:
    """UPDATE of a whole row by its key, with the same parameters as `insert`."""
    places = {name: place for place, name in enumerate(relation.stored, 1)}
    changes = ", ".join(f"{quoted(name)} = ?{place}" for name, place in places.items() if name not in relation.key)
    return f"UPDATE {relation.name} SET {changes} WHERE {_by_key(relation, places)}"


def fetch(relation: Relation) -> str:
    """SELECT of a whole row by its key."""
    places = {name: place for place, name in enumerate(relation.key, 1)}
    return f"SELECT {_list(relation.stored)} FROM {relation.name} WHERE {_by_key(relation, places)}"


def select(plan: Plan, hint: str = "", *, by_key: bool = False) -> Statement:
    """The rows of a page. Pages with a limit return their columns and then the values of the order, for the cursor.

    `hint` says which index of the table is read. The keys of a page are then found first, if possible in that index
    alone, and the other columns are read for these few rows only. `by_key` does so without an index.
    """
    query = plan.query
    if query.measures:
        return groups(plan)
    at = _places(plan)
    cursor = plan.order if query.limit is not None else ()
    chosen = ", ".join((*map(at, plan.columns), *(at(name) for name, _ in cursor)))
    ranked = " ORDER BY " + ", ".join(f"{at(name)}{' DESC' * down}" for name, down in plan.order)
    conditions, values = _conditions(query.where, at)
    if query.after is not None:
        text, more = _beyond(plan, query.after, at)
        conditions.append(text)
        values += more
    limit, more = _limit(query)
    values += more
    if not (hint or by_key) or not limit:
        return f"SELECT {chosen} {_from(plan, plan.names(), hint)}{_where(conditions)}{ranked}{limit}", values
    order = [name for name, _ in plan.order]
    names = (*(where.column for where in query.where), *order)
    key = ", ".join(map(at, plan.relation.key))
    keys = f"SELECT {key} {_from(plan, names, hint)}{_where(conditions)}{ranked}{limit}"
    same = " AND ".join(f"t.{quoted(name)} = k.{quoted(name)}" for name in plan.relation.key)
    rest = f"CROSS JOIN {plan.relation.name} t ON {same}{_joins(plan, (*plan.columns, *order))}"
    return f"SELECT {chosen} FROM ({keys}) k {rest}{ranked}", values


def count(plan: Plan, hint: str = "") -> Statement:
    """How many rows, or groups, there are on all pages. `hint` says which index of the table is read."""
    query = plan.query
    at = _places(plan)
    if query.measures:
        if not query.group:
            return "SELECT 1", []
        conditions, values = _conditions(query.where, at)
        text = f"{_from(plan, plan.names())}{_where(conditions)} GROUP BY {', '.join(map(at, query.group))}"
        return f"SELECT count(*) FROM (SELECT 1 {text})", values
    of_run = [where for where in query.where if hint and behind(plan.relation, where.column) == "runs"]
    rest = [where for where in query.where if where not in of_run]
    conditions, values = _conditions(rest, at)
    if of_run:
        # To look each run up costs more than to look into the set of all that are meant.
        text, more = runs(plan.relation, of_run)
        conditions.append(f't."run" IN ({text})')
        values += more
    return f"SELECT count(*) {_from(plan, [where.column for where in rest], hint)}{_where(conditions)}", values


def runs(relation: Relation, of_run: Sequence[Where]) -> Statement:
    """Numbers of the runs that meet conditions on columns which the relation borrows from them."""
    conditions, values = _conditions(of_run, lambda name: f"r.{quoted(relation.borrowed[name].columns[name])}")
    return f'SELECT r."pk" FROM runs r{_where(conditions)}', values


def behind(relation: Relation, name: str) -> str:
    """The table that a column is borrowed from; '' when it is the relation's own."""
    return "" if name in relation.own else relation.borrowed[name].table


def groups(plan: Plan, *, saturated: bool = False) -> Statement:
    """The groups of a query with measures; `saturated` sums stop at the greatest number that there is room for."""
    query = plan.query
    at = _places(plan)
    conditions, values = _conditions(query.where, at)
    chosen = (*map(at, query.group), *(_measure(m.function, m.column, at, saturated) for m in query.measures))
    text = f"SELECT {', '.join(chosen)} {_from(plan, plan.names())}{_where(conditions)}"
    if query.group:
        text += f" GROUP BY {', '.join(map(at, query.group))}"
    if plan.order:
        ranks = {name: place for place, name in enumerate(plan.columns, 1)}
        text += " ORDER BY " + ", ".join(f"{ranks[name]}{' DESC' * down}" for name, down in plan.order)
    limit, more = _limit(query)
    return text + limit, values + more


def _limit(query: Query) -> Statement:
    if query.limit is None and not query.offset:
        return "", []
    return " LIMIT ? OFFSET ?", [-1 if query.limit is None else query.limit, query.offset]


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names))


def _by_key(relation: Relation, places: Mapping[str, int]) -> str:
    return " AND ".join(f"{quoted(name)} = ?{places[name]}" for name in relation.key)


def _places(plan: Plan) -> Callable[[str], str]:
    relation = plan.relation

    def place(name: str) -> str:
        if name in relation.own:
            return f"t.{quoted(name)}"
        link = relation.borrowed[name]
        return f"{link.table}.{quoted(link.columns[name])}"

    return place


def _from(plan: Plan, names: Iterable[str], hint: str = "") -> str:
    """The table, and those of the links that these columns need."""
    return f"FROM {plan.relation.name} t{hint and ' '}{hint}{_joins(plan, names)}"


def _joins(plan: Plan, names: Iterable[str]) -> str:
    """Links in their order, that of runs last and never read before our table: few runs are named by number."""
    relation = plan.relation
    wanted = set(names) - relation.own
    text = ""
    for link in sorted(relation.links, key=lambda link: link.table == "runs"):
        if any(relation.borrowed[name] is link for name in wanted):
            target = RELATIONS[link.table].key
            on = " AND ".join(
                f"{link.table}.{quoted(theirs)} = t.{quoted(ours)}"
                for ours, theirs in zip(link.via, target, strict=True)
            )
            how = "LEFT " if not link.always else "CROSS " if link.table == "runs" else ""
            text += f" {how}JOIN {link.table} ON {on}"
    return text


def _measure(function: str, column: str, at: Callable[[str], str], saturated: bool) -> str:
    if saturated and function == "sum":
        return f"CASE WHEN count({at(column)}) THEN CAST(total({at(column)}) AS INTEGER) END"
    return f"{function}({at(column) if column else '*'})"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


_LAST_LETTER = "\U0010ffff"
"""No character, and greater than all of them: what starts with `a` lies between `a` and `a` with it."""
NO_CALLS = ("kind", "llm")
"""Column and value of the condition that leaves model calls out of the steps."""
_COMPARE = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _conditions(wheres: Sequence[Where], at: Callable[[str], str]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for where in wheres:
        text, more = _condition(where, at(where.column))
        conditions.append(text)
        values += more
    return conditions, values


def _condition(where: Where, place: str) -> Statement:
    """One condition. A comparison with NULL, on either side, is not met."""
    value = where.value
    match where.op:
        case "null":
            return f"{place} IS NULL", []
        case "ne" if (where.column, value) == NO_CALLS:
            # The list of steps is a partial index, which SQLite uses only where the text says so.
            return f"{place} <> 'llm'", []
        case "not_null":
            return f"{place} IS NOT NULL", []
        case "in":
            return f"{place} IN ({', '.join('?' * len(value))})", list(value)
        case "prefix":
            return f"({place} >= ? AND {place} < ?)", [value, value + _LAST_LETTER]
        case "contains" if where.column == "tags":
            # The first condition is quick, and not met by most rows that do not meet the second.
            exact = f"EXISTS (SELECT 1 FROM json_each({place}) each WHERE each.value = ?)"
            return f"instr({place}, ?) AND {exact}", [msgspec.json.encode(value).decode(), value]
        case "contains":
            # `contains` folds only ASCII for ASCII, which SQLite does in a third of the time.
            return f"instr(lower({place}), lower(?)) > 0" if value.isascii() else f"contains({place}, ?)", [value]
    return f"{place} {_COMPARE[where.op]} ?", [value]


def _beyond(plan: Plan, after: Sequence[Any], at: Callable[[str], str]) -> Statement:
    """Rows that stand after the given one. NULL is the smallest value.

    An index on the first column is bounded only by a condition that stands alone, so that one is said twice.
    """
    lines: list[str] = []
    values: list[Any] = []
    for place, (name, down) in enumerate(plan.order):
        before = [f"{at(other)} IS ?" for other, _ in plan.order[:place]]
        text, more = _later(at(name), after[place], down=down, nullable=name not in plan.relation.never_null)
        lines.append(" AND ".join([*before, text]))
        values += [*after[:place], *more]
    text = f"({' OR '.join(lines)})"
    (first, down), value = plan.order[0], after[0]
    if value is not None and first in plan.relation.never_null:
        return f"{at(first)} {'<=' if down else '>='} ? AND {text}", [value, *values]
    return text, values


def _later(place: str, value: Any, *, down: bool, nullable: bool) -> Statement:
    if value is None:
        return ("0" if down else f"{place} IS NOT NULL"), []
    if not down:
        return f"{place} > ?", [value]
    return (f"({place} < ? OR {place} IS NULL)" if nullable else f"{place} < ?"), [value]
