"""A page of a list: so many rows from an offset, or from behind or before the row that a cursor names.

An offset counts rows from the beginning, so a row that comes in meanwhile moves all others; a cursor stays where it is
and costs the same on the first page and the thousandth. A cursor is the place of a row in the order, as text that only
we read; one that leads back asks in the opposite order, and its rows are turned round.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from tachograph.errors import InvalidParameter
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where
from tachograph.store.relations import plan

Ordinal = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that a store can hold."""
RowT = TypeVar("RowT")
Place = tuple[Ordinal, Ordinal, Ordinal]
"""Where a row stands in a list of what runs hold: time, run, step."""

Text = Annotated[str, Meta(min_length=1, max_length=500)]
"""What a list can be limited to."""


class PageAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list."""

    limit: Annotated[int, Meta(ge=1, le=500, description="Most rows to give.")] = 50
    offset: Annotated[int, Meta(ge=0, le=2**31, description="Rows to leave out before the first.")] = 0
    cursor: Annotated[
        Annotated[str, Meta(max_length=2_000)] | None,
        Meta(description="`next_cursor` or `previous_cursor` of a page; goes on from there, whatever came since."),
    ] = None


class PageGiven(Struct, frozen=True, kw_only=True):
    """What every page says of its list."""

    total_count: Annotated[int, Meta(ge=0, description="Rows on all pages together.")]
    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]
    next_cursor: Annotated[str | None, Meta(description="Give it as `cursor` for the next page; null on the last.")]
    previous_cursor: Annotated[
        str | None, Meta(description="Give it as `cursor` for the page before; null on the first.")
    ] = None


class Paged(Struct, frozen=True, kw_only=True):
    """Rows of a page and the cursors around them."""

    rows: Sequence[Mapping[str, Any]]
    next_cursor: str | None
    previous_cursor: str | None
    top: str | None
    """What leads to rows before the first of this page, also where there are none yet; None for no rows."""

    def given(self, asked: PageAsked, total_count: int) -> dict[str, Any]:
        """The fields of `PageGiven`."""
        return {
            "total_count": total_count,
            "limit": asked.limit,
            "offset": asked.offset,
            "next_cursor": self.next_cursor,
            "previous_cursor": self.previous_cursor,
        }


def page(index: Index, query: Query, asked: PageAsked, place: Any = Place) -> Paged:
    """The page of the query's rows; `place` is the type of the values it is ordered by. Raises InvalidParameter."""
    order = plan(query).order
    names = [name for name, _ in order]
    back = asked.cursor is not None and asked.cursor.startswith(_BACK)
    found = index.find(
        msgspec.structs.replace(
            query,
            columns=tuple(dict.fromkeys((*query.columns, *names))),
            order=tuple(f"{'-' * (down is not back)}{name}" for name, down in order),
            limit=asked.limit + 1,
            offset=asked.offset,
            after=None if asked.cursor is None else _place(asked.cursor, place),
        )
    ).rows
    rows, is_more = found[: asked.limit], len(found) > asked.limit
    rows = rows[::-1] if back else rows
    if not rows:
        return Paged(rows=(), next_cursor=None, previous_cursor=None, top=None)
    is_begun = is_more if back else asked.cursor is not None or asked.offset > 0
    top = _BACK + _cursor(rows[0][name] for name in names)
    return Paged(
        rows=rows,
        next_cursor=_cursor(rows[-1][name] for name in names) if back or is_more else None,
        previous_cursor=top if is_begun else None,
        top=top,
    )


class Listing(Struct, Generic[RowT], frozen=True, kw_only=True):
    """A page without the number of all rows, which may take longer to find than the page."""

    rows: tuple[RowT, ...]
    next_cursor: str | None
    previous_cursor: str | None
    top: str | None
    """What leads to rows that come before the first of this page; None for no rows."""


def listing(paged: Paged, rows: Iterable[RowT]) -> Listing[RowT]:
    """The page with these rows, made of its own."""
    return Listing(
        rows=tuple(rows), next_cursor=paged.next_cursor, previous_cursor=paged.previous_cursor, top=paged.top
    )


def total(index: Index, query: Query) -> int:
    """How many rows the query has on all pages together."""
    return index.find(msgspec.structs.replace(query, columns=(), order=(), limit=0, after=None, total=True)).total or 0


def meeting(asked: Struct, columns: Mapping[str, str]) -> tuple[Where, ...]:
    """Equalities for the fields of `asked` that are given, by the column that each is about."""
    values = ((column, getattr(asked, name)) for name, column in columns.items())
    return tuple(Where(column, "eq", value) for column, value in values if value is not None)


_BACK = "~"
"""What a cursor begins with that leads back."""


def _cursor(values: Iterable[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(list(values))).rstrip(b"=").decode()


def _place(cursor: str, kind: Any) -> tuple[Any, ...]:
    said, cursor = cursor, cursor.removeprefix(_BACK)
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found: tuple[Any, ...] = msgspec.json.decode(text, type=kind)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidParameter("cursor", said, "give the `next_cursor` of an answer to the same question") from None
    return found
