"""How many rows a list has on all its pages, without reading them where the roll-ups know.

Roll-ups know steps by agent, model, provider and status, hour by hour; what they do not cover (the hour that is open,
hours marked dirty, the edges of a period) is counted row by row. Any other condition counts rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tachograph.queries.pages import total
from tachograph.queries.period import Period, Wanted, added, facet_of, plan
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where


class Counted(Struct, frozen=True, kw_only=True):
    """A list whose rows roll-ups may know."""

    table: str
    always: tuple[Where, ...] = ()
    """What every row of the list meets."""
    rolled: Where
    """The same for rows of roll-ups."""
    keys: Mapping[str, str]
    """Columns of the table that roll-ups keep apart → the name of their key."""


_COUNT = Wanted((), ("count",))


def count(index: Index, now_ns: int, counted: Counted, period: Period, where: Sequence[Where]) -> int:
    """How many rows of the list started in the period and meet every condition: exact at this moment."""
    keys = {condition.column: condition for condition in where}
    known = counted.keys.keys() >= keys.keys() and all(each.op == "eq" and each.value for each in where)
    facet = facet_of({counted.keys[name] for name in keys}) if known else None
    if facet is None:
        return _rows(index, counted, period, where)
    parts = plan(index, period, now_ns)
    rolled = (counted.rolled, *(Where(counted.keys[name], "eq", each.value) for name, each in keys.items()))
    found: int = sum(row["count"] for row in added(index, parts, facet, rolled, _COUNT))
    return found + sum(_rows(index, counted, part, where) for part in parts.steps)


def _rows(index: Index, counted: Counted, period: Period, where: Sequence[Where]) -> int:
    return total(index, Query(counted.table, (*counted.always, *within(period), *where)))


def within(period: Period, column: str = "started_at") -> tuple[Where, ...]:
    """The period as conditions on when rows started, or on another of their times."""
    since = () if period.since is None else (Where(column, "ge", period.since),)
    return since if period.until is None else (*since, Where(column, "lt", period.until))
