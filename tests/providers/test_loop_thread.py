"""A thread with an event loop, for programs without one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any

import pytest

from tachograph.providers import loop_thread
from tachograph.providers.loop_thread import LoopThread, shared

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """One of the test's own."""
    made = LoopThread()
    yield made
    made.close()


async def where() -> tuple[int, int]:
    """The thread and the event loop."""
    return threading.get_ident(), id(asyncio.get_running_loop())


def test_calls_share_one_loop_in_one_thread(thread: LoopThread) -> None:
    """Inside a running event loop, outside, and from other threads; it starts with the first."""
    assert not thread.running
    found = {thread.call(where)}

    async def inside() -> None:
        found.add(thread.call(where))
        found.add(await asyncio.to_thread(thread.call, where))

    asyncio.run(inside())
    assert (len(found), thread.running) == (1, True)
    assert threading.get_ident() not in next(iter(found))


def test_what_a_coroutine_raises_comes_out(thread: LoopThread) -> None:
    """The very exception."""
    error = ValueError("x")

    async def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="x") as raised:
        thread.call(fail)
    assert raised.value is error


def test_a_call_runs_in_a_copy_of_its_caller_s_context(thread: LoopThread) -> None:
    """It sees what is set, and what it sets stays there."""

    async def look() -> str:
        seen = WHO.get()
        WHO.set("inside")
        return seen

    token = WHO.set("caller")
    assert (thread.call(look), thread.call(look), WHO.get()) == ("caller", "caller", "caller")
    WHO.reset(token)


def test_a_call_from_the_loop_s_own_thread_does_not_wait_for_itself(thread: LoopThread) -> None:
    """However deep."""

    async def deeper(depth: int) -> int:
        return 0 if depth == 0 else 1 + thread.call(lambda: deeper(depth - 1))

    assert thread.call(lambda: deeper(3)) == 3
    names = [one.name for one in threading.enumerate()].count("tachograph-calls")
    thread.close()
    assert names - [one.name for one in threading.enumerate()].count("tachograph-calls") == 4


def test_closing_ends_what_is_going_on(thread: LoopThread) -> None:
    """Whoever waits is told, generators are closed, and the next call starts another thread."""
    closed, told, begun = list[str](), list[str](), threading.Event()

    async def pieces() -> Any:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            closed.append("generator")

    async def work() -> None:
        async for _ in pieces():
            begun.set()

    def wait() -> None:
        try:
            thread.call(work)
        except CancelledError:
            told.append("cancelled")

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(5)
    before = thread.call(where)
    thread.close()
    waiter.join(5)
    assert (closed, told, thread.running) == (["generator"], ["cancelled"], False)
    assert thread.call(where) != before


def test_closing_takes_a_bounded_time(thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not let itself be cancelled goes with the process."""
    monkeypatch.setattr(loop_thread, "_LEAVING", 0.1)
    begun, over = threading.Event(), threading.Event()

    async def stubborn() -> None:
        begun.set()
        over.wait(20)

    waiter = threading.Thread(target=lambda: thread.call(stubborn), daemon=True)
    waiter.start()
    assert begun.wait(5)
    since = time.monotonic()
    thread.close()
    assert time.monotonic() - since < 5
    over.set()
    waiter.join(5)


def test_a_loop_that_was_ended_by_what_it_ran_is_replaced(thread: LoopThread) -> None:
    """SystemExit ends an event loop; whoever asked for it gets it, and the next call works."""

    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        thread.call(leave)
    for one in threading.enumerate():
        if one.name == "tachograph-calls":
            one.join(0.5)
    assert thread.call(where)


def test_a_loop_that_cannot_be_had_is_an_error_each_time(thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for ever: nobody waits for a thread that is not there."""
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "run", _fail)
        for _ in range(2):
            with pytest.raises(OSError, match="too many open files"):
                thread.call(where)
    assert thread.call(where)


def test_a_process_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a forked child another, which leaves the parent's alone."""
    monkeypatch.setattr(loop_thread, "_shared", parents := LoopThread())
    monkeypatch.setattr(loop_thread, "_left", [])
    before = parents.call(where)
    assert shared() is parents
    loop_thread._forked()
    assert (shared() is parents, shared().running, loop_thread._left) == (False, False, [parents])
    assert parents.call(where) == before
    parents.close()
    loop_thread._leave()


def _fail(main: Coroutine[Any, Any, None]) -> None:
    main.close()
    raise OSError("too many open files")
