"""What a context has traced, and which context that is."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from tachograph.fold.trace.event import AgentTraceEvent, LlmCall, LLMTraceEntry, OtherEvent
from tachograph.fold.trace.run import Told
from tachograph.fold.trace.summary import AgentTraceSummary
from tachograph.instrument import context
from tachograph.instrument.context import Context, Kept, here


def call(tokens: int) -> LlmCall:
    """A call that read so many tokens."""
    return LlmCall(
        call_id=str(tokens), model="m", input_tokens=tokens, output_tokens=1, cache_tokens=0, duration_ms=7, iteration=1
    )


def kept() -> Kept[Told, AgentTraceEvent, AgentTraceSummary]:
    """An empty trace of agent events."""
    return Kept(lambda told: told.event, AgentTraceSummary(), AgentTraceSummary.plus)


def test_the_oldest_is_dropped_and_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full trace keeps the newest, says how many it dropped, and its total leaves none out."""
    monkeypatch.setattr(context, "MOST_KEPT", 3)
    trace = kept()
    for tokens in range(1, 6):
        trace.add(Told(call(tokens)))
    assert trace.peek() == [call(3), call(4), call(5)]
    assert (trace.dropped, trace.total().llm_calls, trace.total().total_input_tokens) == (2, 5, 15)


def test_taking_empties_and_resetting_forgets_what_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a take the total begins anew while the count of dropped ones goes on, until the trace is reset."""
    monkeypatch.setattr(context, "MOST_KEPT", 1)
    trace = kept()
    for tokens in (1, 2):
        trace.add(Told(call(tokens)))
    assert (trace.take(), trace.take(), trace.total(), trace.dropped) == ([call(2)], [], AgentTraceSummary(), 1)
    trace.reset()
    assert trace.dropped == 0


def test_what_is_corrected_is_kept_as_it_is_known_now() -> None:
    """A call whose figures change later shows them in both traces, wherever it stands by then."""
    mine = Context(object(), None)
    told = Told(call(0))
    mine.events.add(told)
    mine.calls.add(told)
    mine.calls.add(LLMTraceEntry("own", 1, 2, 3))
    told.event = call(9)
    assert mine.events.peek() == [call(9)]
    assert mine.calls.peek() == [LLMTraceEntry("m", 9, 1, 7), LLMTraceEntry("own", 1, 2, 3)]


def test_a_reader_is_never_disturbed_by_writers() -> None:
    """While other threads add, peeking and adding up see whole traces, and taking loses and repeats nothing."""
    trace = kept()
    ready = threading.Barrier(5)
    taken: list[AgentTraceEvent] = []

    def write(first: int) -> None:
        ready.wait()
        for number in range(first, first + 2_000):
            trace.add(Told(OtherEvent(str(number))))

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, first) for first in range(0, 8_000, 2_000)]
        ready.wait()
        while not all(writer.done() for writer in writers):
            trace.peek()
            trace.total()
            taken.extend(trace.take())
    taken.extend(trace.take())
    assert sorted(int(event.type) for event in taken) == list(range(8_000))


def test_a_context_stays_the_same_while_its_thread_or_task_lasts() -> None:
    """Asked again, across awaits and in plain copies of the context, it is the same."""

    async def task() -> bool:
        before = here()
        await asyncio.sleep(0)
        return before is here() and contextvars.copy_context().run(here) is before

    assert asyncio.run(task())
    assert here() is here()
    assert contextvars.copy_context().run(here) is here()


def test_a_copied_context_is_not_its_origin() -> None:
    """Tasks, their child tasks, worker threads and callbacks of a loop each have their own, however they were begun."""

    async def child() -> Context:
        return here()

    async def parent() -> list[Context]:
        found = [here(), await child(), *(await asyncio.gather(child(), child()))]
        found.append(await asyncio.to_thread(here))
        found.append(await asyncio.create_task(child()))
        called: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: called.set_result(here()))
        return [*found, await called]

    mine = here()
    own, awaited, *others = asyncio.run(parent())
    assert own is awaited
    assert len({id(each) for each in (mine, own, *others)}) == 2 + len(others)


def test_a_task_that_begins_before_its_parent_traced_is_its_own() -> None:
    """Also where nothing was copied: each finds what it began itself."""

    async def child() -> Context:
        return here()

    async def parent() -> tuple[Context, Context]:
        return await asyncio.create_task(child()), here()

    inner, outer = asyncio.run(parent())
    assert inner is not outer


def test_a_thread_that_is_used_again_for_another_task_begins_anew() -> None:
    """One worker thread, two calls from one task: neither sees what the other traced."""

    async def parent() -> list[Context]:
        here()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        return [await asyncio.to_thread(here) for _ in range(2)]

    first, second = asyncio.run(parent())
    assert first is not second


def test_a_later_thread_with_the_same_number_is_another() -> None:
    """Thread idents come back; a copied context does not take the new thread for the one that is gone."""
    found: list[tuple[int, Context]] = []
    copied: list[contextvars.Context] = []

    def first() -> None:
        found.append((threading.get_ident(), here()))
        copied.append(contextvars.copy_context())

    def second() -> None:
        found.append((threading.get_ident(), copied[0].run(here)))

    for target in (first, second):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert found[0][1] is not found[1][1]


def test_what_was_traced_goes_with_its_task() -> None:
    """When a task is over and forgotten, so is its trace; no cycle has to be found first."""
    gc.collect()
    gc.disable()
    try:

        async def task() -> weakref.ref[object]:
            thing = _Thing()
            here().events.add(Told(OtherEvent("x", {"thing": thing})))
            return weakref.ref(thing)

        assert asyncio.run(task())() is None
    finally:
        gc.enable()


class _Thing:
    """Something that can be watched."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_begins_anew() -> None:
    """The child's one thread is not the parent's, although it has its memory; the parent keeps what it had."""
    program = (
        "import os\n"
        "from tachograph.instrument.context import here\n"
        "mine = here()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(here() is mine)\n"
        "raise SystemExit(os.waitpid(child, 0)[1] or here() is not mine)\n"
    )
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=there, check=False).returncode == 0


def test_tasks_of_trio_are_contexts_too() -> None:
    """Where trio runs, a nursery's tasks neither share their parent's trace nor each other's."""
    trio = pytest.importorskip("trio", reason="trio is not installed")
    found: list[Context] = []

    async def child() -> None:
        found.append(here())

    async def parent() -> None:
        found.append(here())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)
        assert found[0] is here()

    trio.run(parent)
    assert len({id(each) for each in found}) == 3
