from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tachograph.agent.pace.bounded import Overdue
from tachograph.agent.pace.items import MOST, items_of

pytestmark = pytest.mark.anyio


def generated(query: str) -> Iterator[str]:
    """One by one."""
    yield query
    yield "b"


async def streamed(query: str) -> AsyncIterator[str]:
    """One by one."""
    yield query
    yield "b"


async def awaited(query: str) -> tuple[str, ...]:
    """At once."""
    return query, "b"


def listed(query: str) -> list[str]:
    """At once."""
    return [query, "b"]


def promised(query: str) -> Any:
    """A plain function with something to be awaited."""
    return awaited(query)


@pytest.mark.parametrize("search", [generated, streamed, awaited, listed, promised])
async def test_items_come_in_any_way(search: Any) -> None:
    """Plain or async, at once or one by one."""
    assert await items_of(search, "a", 5) == ["a", "b"]


@pytest.mark.parametrize(("given", "items"), [(None, []), ("a", ["a"]), ({"answer": "a"}, [{"answer": "a"}]), ((), [])])
async def test_one_is_one_and_none_is_none(given: Any, items: list[Any]) -> None:
    """A text is not read letter by letter."""
    assert await items_of(lambda query: given, "a", 5) == items


async def test_no_more_is_taken_than_can_be_used() -> None:
    """A search without end is left in the middle."""
    assert len(await items_of(lambda query: iter(int, 1), "a", 5)) == MOST


async def test_what_a_search_raises_comes_out() -> None:
    """As it is; what gives no items is a TypeError, and what is late Overdue."""
    with pytest.raises(ZeroDivisionError):
        await items_of(lambda query: [1 / 0], "a", 5)
    with pytest.raises(TypeError, match="int"):
        await items_of(lambda query: 3, "a", 5)
    with pytest.raises(Overdue):
        await items_of(lambda query: time.sleep(0.5), "a", 0.05)
