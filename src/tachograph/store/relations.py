"""What a `Query` can ask about: every table with its key, its columns, and the columns it borrows from others.

A borrowed column is read through a link: a call knows its run by number, so `session` of a call is that of its run.
Links are followed only when a query names a column behind one. Both backends read this table, so they know the same
names and refuse the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import get_annotations

from msgspec import Struct

from tachograph.store import rows
from tachograph.store.query import Query


@dataclass(frozen=True)
class Link:
    """A way to another table: our columns `via` are its key; `columns` maps our names to its names."""

    table: str
    via: tuple[str, ...]
    columns: Mapping[str, str]
    always: bool = True
    """Whether the row behind it is always there."""


@dataclass(frozen=True)
class Relation:
    """A table as queries see it."""

    name: str
    row: type[Struct]
    key: tuple[str, ...]
    generated: tuple[str, ...] = ()
    """Columns that are computed from others."""
    heavy: frozenset[str] = frozenset()
    """Columns that a query gets only when it names them: recorded content and packed bytes."""
    links: tuple[Link, ...] = field(default=())

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """Columns that hold bytes, in order."""
        return self.row.__struct_fields__

    @cached_property
    def own(self) -> frozenset[str]:
        """All columns but the borrowed ones."""
        return frozenset((*self.stored, *self.generated))

    @cached_property
    def usual(self) -> tuple[str, ...]:
        """What a query without `columns` gets."""
        own = tuple(name for name in (*self.stored, *self.generated) if name not in self.heavy)
        return (*own, "run_id") if "run_id" in self.borrowed else own

    @cached_property
    def borrowed(self) -> Mapping[str, Link]:
        """Borrowed column → the link behind which it is."""
        return {name: link for link in reversed(self.links) for name in link.columns}

    @cached_property
    def flags(self) -> frozenset[str]:
        """Columns that are true or false."""
        return frozenset(name for name, kind in self._kinds.items() if kind == "bool")

    @cached_property
    def never_null(self) -> frozenset[str]:
        """Columns that always have a value."""
        return frozenset(name for name, kind in self._kinds.items() if "None" not in kind)

    @property
    def _kinds(self) -> Mapping[str, str]:
        """Column → its type, as it is written in the row."""
        parts = (get_annotations(part) for part in reversed(self.row.__mro__) if issubclass(part, Struct))
        return {name: kind for part in parts for name, kind in part.items()}


_TIMES = ("ended_at",)
_TOKENS = ("input_tokens", "total_tokens")
_RUN = {
    "run_id": "id",
    "execution_id": "execution_id",
    "run_name": "name",
    "run_agent": "agent_type",
    "run_status": "status",
    "parent_run": "parent_run",
    "stop_reason": "stop_reason",
    "tenant": "tenant",
    "session": "session",
    "user": "user",
    "tags": "tags",
    "platform": "platform",
    "environment": "environment",
    "version": "version",
    "source": "source",
}
_OF_RUN = Link("runs", ("run",), _RUN)
_STEP_NAMES = (
    "parent", "iteration", "action_type", "report_id", "completion_id", "widget_id", "step_ref", "refs", "error_type",
    "error_category", "error_message", "metadata", "metadata_payload",
)  # fmt: skip
_OF_STEP = Link("steps", ("run", "step"), {name: name for name in _STEP_NAMES})
_OF_PRICE = Link("prices", ("price",), {"price_id": "price_id", "price_date": "price_date"}, always=False)


def _contents(*names: str) -> frozenset[str]:
    return frozenset(column for name in names for column in (name, f"{name}_payload"))


RELATIONS: Mapping[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation(
            "runs", rows.RunRow, ("pk",), _TIMES + _TOKENS, _contents("input", "output", "metadata") | {"loose_pages"}
        ),
        Relation("steps", rows.StepRow, ("run", "step"), _TIMES, _contents("input", "output", "metadata"), (_OF_RUN,)),
        Relation(
            "calls",
            rows.CallRow,
            ("run", "step"),
            _TIMES + _TOKENS,
            _contents("tools", "params") | {"timeline"},
            (_OF_RUN, _OF_STEP, _OF_PRICE),
        ),
        Relation(
            "tool_calls",
            rows.ToolRow,
            ("run", "step"),
            _TIMES,
            _contents("arguments", "result"),
            (_OF_RUN, _OF_STEP),
        ),
        Relation("sessions", rows.SessionRow, ("tenant", "session"), _TOKENS),
        Relation("limit_hits", rows.LimitRow, ("run", "seq"), links=(_OF_RUN,)),
        Relation("scores", rows.ScoreRow, ("run", "seq"), links=(_OF_RUN,)),
        Relation("payloads", rows.PayloadRow, ("id",), ("prefix",), frozenset({"encoding", "body", "prefix", "run"})),
        Relation("shares", rows.ShareRow, ("payload", "run")),
        Relation("nodes", rows.NodeRow, ("id",)),
        Relation("prices", rows.PriceRow, ("id",)),
        Relation("journals", rows.JournalRow, ("id",)),
        Relation("imports", rows.ImportRow, ("key",)),
        Relation("losses", rows.LossRow, ("id",)),
        Relation("erased", rows.ErasedRow, ("id",)),
        Relation("feed", rows.FeedRow, ("id",)),
        Relation("access_keys", rows.KeyRow, ("id",), heavy=frozenset({"hash"})),
        Relation("rollup_hour", rows.HourRow, ("facet", "hour", *rows.ROLLUP_KEYS)),
        Relation("rollup_day", rows.DayRow, ("facet", "day", *rows.ROLLUP_KEYS)),
        Relation("dirty_hours", rows.DirtyRow, ("tenant", "hour")),
    )
}
"""Every table that can be asked, by name."""

OF_RUN = ("steps", "calls", "tool_calls", "limit_hits", "scores")
"""Tables whose rows belong to one run each, and go with it."""

PROJECTIONS = (*OF_RUN, "sessions", "runs")
"""What `rebuild` makes again from the log. A run keeps its pk and id, which are the log's own names for it."""


class Plan(Struct, frozen=True):
    """A query whose names are all good, with defaults filled in."""

    query: Query
    relation: Relation
    columns: tuple[str, ...]
    """What each row of the answer holds."""
    order: tuple[tuple[str, bool], ...]
    """(column or measure, descending), down to the key that breaks ties."""

    def names(self) -> Iterator[str]:
        """Every column the query touches."""
        yield from (where.column for where in self.query.where)
        if self.query.measures:
            yield from self.query.group
            yield from (measure.column for measure in self.query.measures if measure.column)
        else:
            yield from self.columns
            yield from (name for name, _ in self.order)


def plan(query: Query) -> Plan:
    """Check a query and fill it in. Raises ValueError for a table, column or combination there is not."""
    relation = RELATIONS.get(query.table)
    if relation is None:
        raise ValueError(f"no table {query.table!r}: ask one of {', '.join(RELATIONS)}")
    if query.group and not query.measures:
        raise ValueError("a query with `group` needs `measures`")
    if query.measures and query.after is not None:
        raise ValueError("groups are paged with `offset`, not with `after`")
    columns = (*query.group, *(measure.name for measure in query.measures)) if query.measures else query.columns
    order = [(name.removeprefix("-"), name.startswith("-")) for name in query.order]
    known = set(columns) if query.measures else relation.own | relation.borrowed.keys()
    for name, _ in order:
        if name not in known:
            raise ValueError(f"cannot order {query.table} by {name!r}")
    descending = bool(order) and order[-1][1]
    ties = query.group if query.measures else relation.key
    order += [(name, descending) for name in ties if name not in {known for known, _ in order}]
    made = Plan(query, relation, tuple(columns) or relation.usual, tuple(order))
    for name in made.names():
        if name not in relation.own and name not in relation.borrowed:
            raise ValueError(f"{query.table} has no column {name!r}")
    if query.after is not None and len(query.after) != len(order):
        raise ValueError(f"`after` has {len(query.after)} values, the order has {len(order)}")
    return made
