"""Decorators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from tachograph import run, step
from tachograph.events.content import inline
from tachograph.events.run import RunEnded, StepEnded
from tachograph.testing import Captured


def test_decorators_wrap_every_kind_of_function(events: Captured) -> None:
    """Plain, async, generator and async generator functions; values and signatures stay as they were."""

    @run("plain")
    def plain(a: int) -> int:
        """Doc."""
        return a + 1

    @step("coroutine")
    async def coroutine(a: int) -> int:
        return a + 1

    @step("generator")
    def generator() -> Iterator[int]:
        yield from (1, 2)

    @step("async generator")
    async def agenerator() -> AsyncIterator[int]:
        for number in (1, 2):
            yield number

    async def collect() -> list[int]:
        return [item async for item in agenerator()]

    results = plain(1), asyncio.run(coroutine(1)), list(generator()), asyncio.run(collect())
    assert (results, plain.__doc__, plain.__name__) == ((2, 2, [1, 2], [1, 2]), "Doc.", "plain")
    assert events.of(RunEnded)[0].body.output == inline("2")
    assert [event.body.output for event in events.of(StepEnded)] == [inline("2"), None, None]
