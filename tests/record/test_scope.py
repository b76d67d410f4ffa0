"""Scopes: where we are, in tasks, threads and generators."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.record import scope

RUN: Any = SimpleNamespace(id="01a1fcce-088b-7f7a-91c0-b26300000000", trace_id="0123456789abcdef0123456789abcdef")


class Entered:
    """A step by number, entered the way the door enters one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        self.scope = scope.enter(RUN, self.number, sys._getframe(1))

    def __exit__(self, *_: object) -> None:
        scope.leave(self.scope)


def here() -> int | None:
    """The current step's number."""
    found = scope.current()
    return None if found is None else found.step


def numbers(count: int, step: int = 1) -> Generator[int, None, None]:
    """A stream inside a step; it checks its own place at every turn."""
    with Entered(step):
        for number in range(count):
            assert here() == step
            yield number
            assert here() == step


async def stream(step: int) -> AsyncIterator[int]:
    """An async stream that awaits, yields, and starts a task of its own."""
    with Entered(step):
        for number in range(2):
            await asyncio.sleep(0)
            assert here() == step
            yield number
        assert await asyncio.create_task(inside()) == step


async def inside() -> int | None:
    """Where a task finds itself."""
    return here()


def test_nesting_and_leaving_in_any_order() -> None:
    """Inner steps hide outer ones; a step left early is skipped by those inside it."""
    outer, inner = Entered(1), Entered(2)
    outer.__enter__()
    inner.__enter__()
    seen = [here()]
    outer.__exit__()
    seen.append(here())
    inner.__exit__()
    assert [*seen, here()] == [2, 2, None]


def test_a_generator_does_not_leak_its_step_between_yields() -> None:
    """Its consumer, and generators that run in turns with it, never see it."""
    seen = [here() for _ in numbers(3)]
    first, second = numbers(3, 1), numbers(3, 2)
    for _ in range(3):
        next(first)
        seen.append(here())
        next(second)
        seen.append(here())
    first.close()
    second.close()
    assert seen == [None] * 9


def test_yield_from_is_still_inside() -> None:
    """A generator that delegates is current while it runs, hidden while its delegate is suspended."""

    def outer() -> Iterator[int]:
        with Entered(7):
            yield from numbers(2)
            assert here() == 7

    assert [here() for _ in outer()] == [None, None]


def test_context_managers_made_of_generators_surround_their_body() -> None:
    """`contextlib` drives a generator so that its step surrounds the caller: there it must be visible."""

    @contextlib.contextmanager
    def managed() -> Iterator[None]:
        with Entered(3):
            yield

    with managed():
        seen = here()
    assert (seen, here()) == (3, None)


def test_async_generators_tasks_and_managers() -> None:
    """Awaiting inside a stream keeps its step, yielding hides it, tasks started inside inherit it."""

    @contextlib.asynccontextmanager
    async def managed() -> AsyncIterator[None]:
        with Entered(4):
            yield

    async def main() -> list[int | None]:
        seen = [here() async for _ in stream(5)]
        async with managed():
            seen.append(here())
            seen.append(await asyncio.create_task(inside()))
        return [*seen, here()]

    assert asyncio.run(main()) == [None, None, 4, 4, None]


def test_threads_inherit_only_a_copied_context() -> None:
    """A bare thread is outside; one that runs in a copied context is inside."""
    seen: list[int | None] = []
    with Entered(6):
        copied = contextvars.copy_context()
        for target in (lambda: seen.append(here()), lambda: copied.run(lambda: seen.append(here()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, 6]


def test_traceparent_goes_out_and_comes_in() -> None:
    """The header names the run's trace and the step; what comes in is checked as W3C Trace Context says."""
    with Entered(5):
        header = scope.traceparent()
    assert header == "00-0123456789abcdef0123456789abcdef-91c0b26300000005-01"
    assert scope.traceparent() is None
    found = [
        scope.parse_traceparent(text)
        for text in (header, "00-" + "0" * 32 + "-91c0b26300000005-01", "nonsense", None, f"  {header}-future".upper())
    ]
    good = ("0123456789abcdef0123456789abcdef", "91c0b26300000005")
    assert found == [good, (None, None), (None, None), (None, None), good]


def test_no_recorder_is_a_clear_error() -> None:
    """Recording without any configuration names what to do."""
    before = scope.use(None)
    try:
        with pytest.raises(SettingsError, match=r"tachograph\.configure"):
            scope.recorder()
    finally:
        scope.use(before)


def test_a_step_that_does_not_surround_is_never_current() -> None:
    """It is entered and left like any other, and what follows does not belong to it."""
    with Entered(1):
        beside = scope.enter(RUN, 2, None, surrounds=False)
        assert (here(), beside.open) == (1, True)
        scope.leave(beside)
        assert (here(), beside.open) == (1, False)


def test_the_step_of_one_recorder_is_found_behind_that_of_another() -> None:
    """Two recorders' steps may be inside each other; each sees its own."""
    mine, theirs = SimpleNamespace(recorder="mine"), SimpleNamespace(recorder="theirs")
    outer = scope.enter(mine, 1, None)  # type: ignore[arg-type]
    inner = scope.enter(theirs, 2, None)  # type: ignore[arg-type]
    found = [scope.current(of) for of in (None, "mine", "theirs", "nobody")]  # type: ignore[arg-type]
    scope.leave(inner)
    scope.leave(outer)
    assert found == [inner, outer, inner, None]
