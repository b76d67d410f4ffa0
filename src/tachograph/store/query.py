"""Questions as plain values: filter, group, measure, page. No SQL here and no store.

A `Query` names a table of the schema, conditions that must all hold, an order and a page. Backends translate it; the
memory backend executes it as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Op = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "prefix", "null", "not_null"]
Function = Literal["count", "sum", "min", "max", "histogram"]


class Where(Struct, frozen=True):
    """One condition. `contains` is a case-insensitive substring of text; on `tags` it is membership."""

    column: str
    op: Op
    value: Any = None


class Measure(Struct, frozen=True):
    """One aggregate: `count` of rows (column empty) or of non-null values, `sum`, `min`, `max`, `histogram`.

    A histogram is packed (`fold.histogram`). All but `count` are None where there is no value.
    """

    function: Function
    column: str = ""

    @property
    def name(self) -> str:
        """Key of the result: `count`, or `sum_duration_ns`."""
        return f"{self.function}_{self.column}" if self.column else self.function


class Query(Struct, frozen=True):
    """A question to one table. With `measures` it groups by `group`; without, it pages through rows."""

    table: str
    where: tuple[Where, ...] = ()
    columns: tuple[str, ...] = ()
    """Columns wanted; empty means all that are not payload."""
    group: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    order: tuple[str, ...] = ()
    """Column names, `-name` for descending; the primary key always breaks ties, in the direction of the last one."""
    limit: int | None = 50
    offset: int = 0
    after: tuple[Any, ...] | None = None
    """Keyset cursor: the order values and key of the last row seen."""
    total: bool = False
    """Whether to count all matches."""


class Page(Struct, frozen=True):
    """Rows, the cursor to go on with, and the number of matches when it was asked for."""

    rows: Sequence[Mapping[str, Any]]
    after: tuple[Any, ...] | None = None
    total: int | None = None
