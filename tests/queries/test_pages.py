from __future__ import annotations

import base64
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import InvalidParameter
from tachograph.queries.pages import Ordinal, PageAsked, meeting, page, total
from tachograph.store.memory import MemoryStore
from tachograph.store.open import open_store
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

RUNS = Query("runs", columns=("name",), order=("-started_at",))
PLACE = tuple[Ordinal, Ordinal]


def _add(store: Any, name: str, at: int) -> None:
    tape = Tape(name, at=BEGAN + at)
    tape.begin(name)
    store.append(batch(tape.events))


def _names(store: Any, **asked: Any) -> tuple[list[str], str | None]:
    found = page(store, RUNS, PageAsked(**asked), PLACE)
    return [row["name"] for row in found.rows], found.next_cursor


def test_pages_by_cursor(store: Store) -> None:
    """A cursor goes on behind the last row, whatever came in since; the last page has none, even when it is full."""
    for number in range(4):
        _add(store, f"run {number}", number)
    first, cursor = _names(store, limit=2)
    _add(store, "newcomer", 10)
    second, end = _names(store, limit=2, cursor=cursor)
    assert (first, second, end) == (["run 3", "run 2"], ["run 1", "run 0"], None)
    assert _names(store, limit=2, offset=3) == (["run 1", "run 0"], None)
    assert _names(store, limit=1, offset=1, cursor=cursor) == (["run 0"], None)
    assert total(store, RUNS) == 5


def test_an_empty_list(store: Store) -> None:
    """Nothing has no rows, no next page and a count of 0."""
    assert (_names(store), total(store, RUNS)) == (([], None), 0)
    found = page(store, RUNS, PageAsked(limit=7, offset=2), PLACE)
    assert found.given(PageAsked(limit=7, offset=2), 0) == {
        "total_count": 0, "limit": 7, "offset": 2, "next_cursor": None, "previous_cursor": None,
    }  # fmt: skip


@given(starts=st.lists(st.integers(0, 3), max_size=9), limit=st.integers(1, 4))
def test_every_row_is_on_one_page(starts: list[int], limit: int) -> None:
    """Page by page, every row comes once and in order, also where many began at the same moment."""
    store = MemoryStore()
    for number, start in enumerate(starts):
        _add(store, str(number), start)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(len(starts) + 1):
        names, cursor = _names(store, limit=limit, cursor=cursor)
        seen += names
        if cursor is None:
            break
    assert seen == [row["name"] for row in store.find(msgspec.structs.replace(RUNS, limit=None)).rows]


def _walk(store: Any, limit: int) -> tuple[list[list[str]], list[list[str]]]:
    """The pages one sees on the way to the last one, and those on the way back."""
    forth, back = [page(store, RUNS, PageAsked(limit=limit), PLACE)], []
    while forth[-1].next_cursor is not None:
        forth.append(page(store, RUNS, PageAsked(limit=limit, cursor=forth[-1].next_cursor), PLACE))
    here = forth[-1]
    while here.previous_cursor is not None:
        here = page(store, RUNS, PageAsked(limit=limit, cursor=here.previous_cursor), PLACE)
        back.append(here)
        assert here.next_cursor is not None
    return [_named(each.rows) for each in forth], [_named(each.rows) for each in back]


def _named(rows: Any) -> list[str]:
    return [row["name"] for row in rows]


@given(starts=st.lists(st.integers(0, 3), max_size=9), limit=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_way_back_is_the_way_there(kind: str, starts: list[int], limit: int) -> None:
    """Who goes to the last page and back sees the same pages, also where many began at the same moment."""
    with TemporaryDirectory() as folder:
        store = open_store("memory:" if kind == "memory" else f"sqlite:{folder}/pages.db")
        for number, start in enumerate(starts):
            _add(store, str(number), start)
        forth, back = _walk(store, limit)
        store.close()
    assert back == forth[-2::-1]


def test_what_came_before_a_page(store: Store) -> None:
    """The page before the first row is empty until something comes; then it has what came, nearest first."""
    _add(store, "old", 0)
    first = page(store, RUNS, PageAsked(limit=2), PLACE)
    assert (first.previous_cursor, first.next_cursor) == (None, None)
    none = page(store, RUNS, PageAsked(cursor=first.top), PLACE)
    assert (none.rows, none.previous_cursor, none.next_cursor, none.top) == ((), None, None, None)
    for number in range(1, 4):
        _add(store, f"new {number}", number)
    news = page(store, RUNS, PageAsked(limit=2, cursor=first.top), PLACE)
    assert _named(news.rows) == ["new 2", "new 1"]
    assert _names(store, limit=2, cursor=news.previous_cursor)[0] == ["new 3"]
    assert _names(store, limit=2, cursor=news.next_cursor)[0] == ["old"]


def test_back_where_values_are_missing(store: Store) -> None:
    """An order by what some rows have not can be walked back too."""
    query = Query("runs", columns=("name",), order=("-duration_ns",))
    for number in range(4):
        tape = Tape(str(number), at=BEGAN + number)
        tape.begin(str(number))
        if number % 2:
            tape.finish()
        store.append(batch(tape.events))
    kind = tuple[Ordinal | None, Ordinal]
    forth = page(store, query, PageAsked(limit=3), kind)
    rest = page(store, query, PageAsked(limit=3, cursor=forth.next_cursor), kind)
    again = page(store, query, PageAsked(limit=3, cursor=rest.previous_cursor), kind)
    assert (len(rest.rows), _named(again.rows)) == (1, _named(forth.rows))


def _text(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "", "~", "~~", "x", "~x", "not base64!", "ü", _text([1]), _text([1, 2, 3]), _text(["1", 2]),
        _text([None, 2]), _text(2),
        _text([1, 2**63]), _text([1.5, 2]),
    ],
)  # fmt: skip
def test_what_is_no_cursor(store: Store, cursor: str) -> None:
    """A cursor that no answer gave is refused, by name and with what was given."""
    with pytest.raises(InvalidParameter, match="give the `next_cursor`") as caught:
        _names(store, cursor=cursor)
    assert (caught.value.name, caught.value.value) == ("cursor", cursor)


def test_bounds_of_a_page() -> None:
    """Limit and offset have bounds, and no other parameter is known."""
    for asked in ({"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": 2**31 + 1}, {"page": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(asked, PageAsked)
    assert msgspec.convert({"limit": 500, "offset": 2**31}, PageAsked).limit == 500


def test_equalities_of_what_is_given() -> None:
    """Fields that are given become conditions on their columns; the others ask nothing."""

    class Asked(msgspec.Struct):
        status: str | None = None
        user: str | None = None

    assert meeting(Asked(user="u"), {"status": "status", "user": "author"}) == (Where("author", "eq", "u"),)
