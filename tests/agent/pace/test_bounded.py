from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from tachograph.agent.pace.bounded import (
    Ended,
    Items,
    Overdue,
    Threads,
    answer_of,
    bounded,
    in_thread,
    is_async,
    outcome,
)
from tests.agent.tools.timed import back_within
from tests.house.source import environment

DEADLINE = 0.2
BACK = DEADLINE + 0.25


async def stubborn(seconds: float) -> str:
    """Sleeps on, whoever cancels it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "late"


async def numbers(count: int) -> AsyncIterator[int]:
    """Numbers."""
    for number in range(count):
        yield number


async def limited(awaitable: Any, late: list[Any]) -> str:
    """How waiting with a deadline ends."""
    try:
        return str(await bounded(awaitable, DEADLINE, late=late.append))
    except Overdue as problem:
        return f"{problem}: {problem.how}"


def test_what_is_done_in_time_is_returned() -> None:
    """Results and exceptions pass as they are, also without a deadline; a TimeoutError of its own is not ours."""

    async def own() -> None:
        raise TimeoutError("its own")

    assert asyncio.run(bounded(asyncio.sleep(0, "done"), 5)) == "done"
    assert asyncio.run(bounded(asyncio.sleep(0, "done"), None)) == "done"
    with pytest.raises(TimeoutError, match="its own") as problem:
        asyncio.run(bounded(own(), 5))
    assert not isinstance(problem.value, Overdue)


def test_a_task_that_yields_is_cancelled() -> None:
    """On the deadline it is stopped, its cleaning up included; there is no late result."""
    late: list[Any] = []
    assert back_within(BACK, lambda: asyncio.run(limited(asyncio.sleep(30), late))) == "not done within 0.2 s: stopped"
    assert late == []


def test_a_task_that_swallows_its_cancellation_is_left_behind() -> None:
    """Control is back all the same, its result is told later, and the end of the loop does not wait for it."""
    late: list[Any] = []

    async def patient() -> str:
        said = await limited(stubborn(0.6), late)
        await asyncio.sleep(0.7)
        return said

    assert back_within(BACK, lambda: asyncio.run(limited(stubborn(30), late))) == "not done within 0.2 s: left"
    assert late == []
    assert asyncio.run(patient()) == "not done within 0.2 s: left"
    assert late == ["late"]


def test_a_result_that_comes_during_the_grace_is_late() -> None:
    """Who answers its cancellation with a result is stopped, and the result is told and not used."""
    late: list[Any] = []

    async def answers() -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "answer"
        return "never"

    async def raises() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            raise ValueError("while cleaning up")

    assert asyncio.run(limited(answers(), late)) == "not done within 0.2 s: stopped"
    assert asyncio.run(limited(raises(), late)) == "not done within 0.2 s: stopped"
    assert [str(item) for item in late] == ["answer", "while cleaning up"]


@pytest.mark.parametrize("work", [partial(asyncio.sleep, 30), partial(stubborn, 30)], ids=["yields", "stubborn"])
def test_the_callers_cancellation_passes_on_in_time(work: Any) -> None:
    """Whoever waits can be cancelled; what it waited for is cancelled first, and left behind if it does not end."""

    async def cancelled() -> str:
        waiting = asyncio.ensure_future(bounded(work(), 60))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait((waiting,))
        return "cancelled" if waiting.cancelled() else "not cancelled"

    assert back_within(0.05 + 0.25, lambda: asyncio.run(cancelled())) == "cancelled"


def test_how_a_call_ends_is_a_value() -> None:
    """Values, awaited values, items of generators, exceptions, exits and inner cancellations; nothing is raised."""

    async def inner() -> None:
        raise asyncio.CancelledError("inner")

    def leaves() -> None:
        sys.exit(3)

    assert asyncio.run(outcome(lambda: 1)) == Ended(1)
    assert asyncio.run(outcome(lambda: asyncio.sleep(0, 2))) == Ended(2)
    assert asyncio.run(outcome(lambda: numbers(3))) == Ended(Items([0, 1, 2]))
    for call, error in ((inner, asyncio.CancelledError), (leaves, SystemExit), (lambda: 1 / 0, ZeroDivisionError)):
        assert type(asyncio.run(outcome(call)).error) is error


def test_ctrl_c_is_for_the_program() -> None:
    """A KeyboardInterrupt on the event loop is not taken for an error of what runs there."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(outcome(interrupted))


def test_a_thread_runs_in_the_callers_context() -> None:
    """Context variables are seen in the thread, and set for nobody else."""
    variable = contextvars.ContextVar("variable", default="unset")

    def swap() -> str:
        before = variable.get()
        variable.set("set in the thread")
        return f"{before} in {threading.current_thread().name}"

    async def main() -> tuple[str, str]:
        variable.set("set by the caller")
        return (await in_thread(swap, 5)).value, variable.get()

    assert asyncio.run(main()) == ("set by the caller in tachograph-tool", "set by the caller")


def test_whatever_ends_in_a_thread_is_a_value() -> None:
    """Exceptions, exits and interrupts that code raises there end neither the thread nor the program."""

    def raising(error: BaseException) -> None:
        raise error

    async def main() -> list[str]:
        threads = Threads(size=1)
        errors = (ValueError("a"), SystemExit(3), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError())
        ended = [await in_thread(partial(raising, error), 5, threads=threads) for error in errors]
        return [type(one.error).__name__ for one in ended]

    assert asyncio.run(main()) == ["ValueError", "SystemExit", "KeyboardInterrupt", "StopIteration", "CancelledError"]


def test_a_thread_is_left_behind_and_replaced() -> None:
    """Control is back at the deadline, the only thread of the pool is replaced, and the late result is told."""
    told = threading.Event()
    late: list[Any] = []

    def tell(ended: Any) -> None:
        late.append(ended)
        told.set()

    async def main(threads: Threads) -> tuple[str, Ended]:
        with pytest.raises(Overdue) as problem:
            await in_thread(lambda: time.sleep(0.8), DEADLINE, late=tell, threads=threads)
        assert threads.left == 1
        return problem.value.how, await in_thread(lambda: "next", 5, threads=threads)

    assert back_within(BACK, lambda: asyncio.run(main(Threads(size=1)))) == ("left", Ended("next"))
    assert told.wait(5)
    assert late[0] == Ended(None)


def test_more_threads_than_there_are_wait_their_turn() -> None:
    """A call that never began is dropped when its time is over; threads left behind are replaced only so often."""
    release = threading.Event()
    began: list[int] = []

    def work(number: int) -> None:
        began.append(number)
        release.wait(5)

    async def main() -> list[str]:
        threads = Threads(size=1, most_left=1)
        found: list[str] = []
        for number in range(3):
            with pytest.raises(Overdue) as problem:
                await in_thread(partial(work, number), 0.1, threads=threads)
            found.append(problem.value.how)
        release.set()
        assert (await in_thread(lambda: "free again", 5, threads=threads)).value == "free again"
        return found

    assert asyncio.run(main()) == ["left", "left", "waiting"]
    assert began == [0, 1]


def test_many_calls_share_few_threads() -> None:
    """Two hundred calls at once run, never more at a time than there are threads, and all end."""
    running, most = 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1
        return number

    async def main() -> list[int]:
        threads = Threads(size=4)
        ended = await asyncio.gather(*(in_thread(partial(work, one), 30, threads=threads) for one in range(200)))
        return [one.value for one in ended]

    assert asyncio.run(main()) == list(range(200))
    assert most == 4


def test_a_thread_that_idles_leaves() -> None:
    """Nothing is left running when there was nothing to do for a while."""

    async def main(threads: Threads) -> str:
        return str((await in_thread(lambda: threading.current_thread().ident, 5, threads=threads)).value)

    threads = Threads(size=1, idle=0.05)
    ident = int(asyncio.run(main(threads)))
    deadline = time.monotonic() + 5
    while any(thread.ident == ident for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads._count == 0
    assert asyncio.run(main(threads))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_neither_exit_nor_fork_waits_for_a_thread() -> None:
    """A program with a hanging tool thread leaves at once, and its fork has threads of its own."""
    program = """
import asyncio, os, sys, time
from tachograph.agent.pace.bounded import Overdue, in_thread

async def main():
    try:
        await in_thread(lambda: time.sleep(60), 0.05)
    except Overdue:
        print("left", flush=True)

asyncio.run(main())
child = os.fork()
if child == 0:
    print(asyncio.run(in_thread(lambda: "forked", 5)).value, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment(), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("left\nforked\n", "")
    assert time.monotonic() - began < 20


def test_what_runs_on_the_loop_is_known_before_it_runs() -> None:
    """Async functions, methods, generators, objects and partials of them; plain ones are for threads."""

    class Later:
        async def __call__(self) -> None: ...

        async def method(self) -> None: ...

    assert [is_async(one) for one in (stubborn, numbers, Later(), Later().method, partial(partial(stubborn), 1))] == [
        True
    ] * 5
    assert [is_async(one) for one in (len, Later, lambda: stubborn(1), partial(len))] == [False] * 4


@pytest.mark.parametrize("kind", ["async", "plain", "wrapped"])
def test_a_function_of_the_program_answers_in_time(kind: str) -> None:
    """Async on the loop, plain in a thread, a plain one around an async one: a value, an error, or overdue."""

    async def on_the_loop(seconds: float) -> str:
        await asyncio.sleep(seconds)
        if not seconds:
            raise ValueError("none")
        return "done"

    def in_a_thread(seconds: float) -> str:
        time.sleep(seconds)
        if not seconds:
            raise ValueError("none")
        return "done"

    function = {"async": on_the_loop, "plain": in_a_thread, "wrapped": lambda seconds, *_: on_the_loop(seconds)}[kind]
    assert asyncio.run(answer_of(function, 0.01, seconds=5)) == Ended("done")
    assert str(asyncio.run(answer_of(function, 0, seconds=5)).error) == "none"

    def overdue() -> None:
        with pytest.raises(Overdue):
            asyncio.run(answer_of(function, 1, seconds=0.1))

    back_within(0.35, overdue)
