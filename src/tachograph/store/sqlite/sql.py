"""`Query` values as SQL text with `?` parameters. Names come from `relations` only, values only as parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tachograph.store.query import Where
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


def select(plan: Plan) -> Statement:
    """The rows of a page. Pages with a limit return their columns and then the values of the order, for the cursor."""
    query = plan.query
    at = _places(plan)
    conditions, values = _conditions(query.where, at)
    if query.measures:
        chosen = [*(at(name) for name in query.group), *(_measure(m.function, m.column, at) for m in query.measures)]
        ranks = {name: str(place) for place, name in enumerate(plan.columns, 1)}
    else:
        cursor = plan.order if query.limit is not None else ()
        chosen = [*(at(name) for name in plan.columns), *(at(name) for name, _ in cursor)]
        ranks = {name: at(name) for name, _ in plan.order}
    if query.after is not None:
        text, more = _beyond(plan, query.after, at)
        conditions.append(text)
        values += more
    text = f"SELECT {', '.join(chosen)} {_from(plan)}{_where(conditions)}"
    if query.group:
        text += f" GROUP BY {', '.join(map(at, query.group))}"
    text += (
        " ORDER BY " + ", ".join(f"{ranks[name]}{' DESC' * down}" for name, down in plan.order) if plan.order else ""
    )
    if query.limit is not None or query.offset:
        text += " LIMIT ? OFFSET ?"
        values += [-1 if query.limit is None else query.limit, query.offset]
    return text, values


def count(plan: Plan) -> Statement:
    """How many rows, or groups, there are on all pages."""
    query = plan.query
    at = _places(plan)
    conditions, values = _conditions(query.where, at)
    text = f"{_from(plan)}{_where(conditions)}"
    if not query.measures:
        return f"SELECT count(*) {text}", values
    if not query.group:
        return "SELECT 1", []
    return f"SELECT count(*) FROM (SELECT 1 {text} GROUP BY {', '.join(map(at, query.group))})", values


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


def _from(plan: Plan) -> str:
    """The table, and those of the links that the query needs."""
    relation = plan.relation
    wanted = set(plan.names()) - relation.own
    text = f"FROM {relation.name} t"
    for link in relation.links:
        if any(relation.borrowed[name] is link for name in wanted):
            target = RELATIONS[link.table].key
            on = " AND ".join(
                f"{link.table}.{quoted(theirs)} = t.{quoted(ours)}"
                for ours, theirs in zip(link.via, target, strict=True)
            )
            text += f" {'' if link.always else 'LEFT '}JOIN {link.table} ON {on}"
    return text


def _measure(function: str, column: str, at: Callable[[str], str]) -> str:
    return f"{function}({at(column) if column else '*'})"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


_LAST_LETTER = "\U0010ffff"
"""No character, and greater than all of them: what starts with `a` lies between `a` and `a` with it."""
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
        case "not_null":
            return f"{place} IS NOT NULL", []
        case "in":
            return f"{place} IN ({', '.join('?' * len(value))})", list(value)
        case "prefix":
            return f"({place} >= ? AND {place} < ?)", [value, value + _LAST_LETTER]
        case "contains" if where.column == "tags":
            return f"EXISTS (SELECT 1 FROM json_each({place}) each WHERE each.value = ?)", [value]
        case "contains":
            return f"contains({place}, ?)", [value]
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
