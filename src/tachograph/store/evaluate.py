"""`Query` values answered in plain Python: what a query means. SQL backends must agree with this, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import msgspec

from tachograph.fold import histogram
from tachograph.store.query import Measure, Page, Query, Where
from tachograph.store.relations import Plan, plan

Tables = Mapping[str, Mapping[Any, Any]]
"""Table name → key → row struct. A key of one column is its value, else a tuple."""
Cells = Callable[[str], Any]
"""One row: column name → value."""


def answer(query: Query, tables: Tables) -> Page:
    """The page that a query asks for. Raises ValueError as `plan` does."""
    made = plan(query)
    every = (_cells(made, row, tables) for row in tables[query.table].values())
    matching = [cells for cells in every if all(_meets(where, cells(where.column)) for where in query.where)]
    found = _groups(query, matching) if query.measures else matching
    found = _sorted(found, made)
    total = len(found) if query.total else None
    if query.after is not None:
        edge = _rank(made, dict(zip((name for name, _ in made.order), query.after, strict=True)).__getitem__)
        found = [cells for cells in found if _rank(made, cells) > edge]
    stop = None if query.limit is None else query.offset + query.limit
    page = found[query.offset : stop]
    rows = [{name: cells(name) for name in made.columns} for cells in page]
    full = query.limit is not None and len(rows) == query.limit and rows and not query.measures
    after = tuple(page[-1](name) for name, _ in made.order) if full else None
    return Page(rows, after, total)


def contains(text: str | None, needle: str) -> bool:
    """Case-insensitive substring. An ASCII needle folds ASCII letters only, which is fast and what SQL's LIKE does."""
    if text is None:
        return False
    if needle.isascii():
        return needle.encode().lower() in text.encode("utf-8", "surrogatepass").lower()
    return needle.lower() in text.lower()


def spellings(text: str) -> tuple[str, ...]:
    """How text may stand inside recorded JSON: with its letters as they are, or all but ASCII escaped."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    escaped = json.dumps(text)[1:-1]
    return (plain,) if plain == escaped else (plain, escaped)


def _cells(made: Plan, row: Any, tables: Tables) -> Cells:
    relation = made.relation

    def cell(name: str) -> Any:
        if name in relation.own:
            return getattr(row, name)
        link = relation.borrowed[name]
        key = tuple(getattr(row, ours) for ours in link.via)
        other = tables[link.table].get(key if len(key) > 1 else key[0])
        return None if other is None else getattr(other, link.columns[name])

    return cell


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}


def _meets(where: Where, value: Any) -> bool:
    """Whether a value meets a condition. A comparison with NULL, on either side, is not met."""
    match where.op:
        case "null":
            return value is None
        case "not_null":
            return value is not None
        case "in":
            return value is not None and value in where.value
        case "contains" if where.column == "tags":
            return value is not None and where.value in msgspec.json.decode(value)
        case "contains":
            return contains(value, where.value)
        case "prefix":
            return value is not None and value.startswith(where.value)
    return value is not None and where.value is not None and _COMPARE[where.op](value, where.value)


def _groups(query: Query, rows: Sequence[Cells]) -> list[Cells]:
    groups: dict[tuple[Any, ...], list[Cells]] = {} if query.group else {(): []}
    for cells in rows:
        groups.setdefault(tuple(cells(name) for name in query.group), []).append(cells)
    return [
        {
            **dict(zip(query.group, key, strict=True)),
            **{measure.name: _measured(measure, group) for measure in query.measures},
        }.__getitem__
        for key, group in groups.items()
    ]


def _measured(measure: Measure, rows: Sequence[Cells]) -> Any:
    if not measure.column:
        return len(rows)
    values = [value for cells in rows if (value := cells(measure.column)) is not None]
    if measure.function == "count":
        return len(values)
    if not values:
        return None
    return _FOLD[measure.function](values)


_FOLD: Mapping[str, Callable[[list[Any]], Any]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "histogram": lambda values: histogram.of(values).pack(),
}


def _sorted(rows: Iterable[Cells], made: Plan) -> list[Cells]:
    return sorted(rows, key=lambda cells: _rank(made, cells))


class _Down:
    """A value whose order is turned round."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment] # compared, never looked up

    def __init__(self, value: tuple[bool, Any]) -> None:
        self.value = value

    def __lt__(self, other: _Down) -> bool:
        return other.value < self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and other.value == self.value


def _rank(made: Plan, cells: Cells) -> tuple[Any, ...]:
    """What rows are sorted by. NULL is the smallest value."""
    ranks = (((value := cells(name)) is not None, value) for name, _ in made.order)
    return tuple(_Down(rank) if down else rank for rank, (_, down) in zip(ranks, made.order, strict=True))
