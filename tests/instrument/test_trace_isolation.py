"""Contexts never see each other's traces, whoever records, however it is mixed; and all of it is bounded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

import tachograph
from tachograph import LLMCall, ToolCall, run, step
from tachograph.instrument import context, trace
from tachograph.instrument.trace import AgentTraceSummary, Dropped
from tachograph.testing import Captured, capture
from tests.instrument.traced import RETRY, ask, fresh, kinds, models


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    """No test finds the trace of another."""
    with fresh():
        yield


# ---- contexts --------------------------------------------------------------------------------------------------------


def test_threads_never_see_each_others_traces() -> None:
    """Several threads at once, step by step at the same time: each has its own calls and nothing else."""
    ready = threading.Barrier(4)

    def work(number: int) -> list[tuple[list[str], list[str]]]:
        trace.enable_tracing()
        seen = []
        for turn in range(5):
            ready.wait()
            ask(f"{number}/{turn}")
            ready.wait()
            seen.append((models(), [entry.model for entry in trace.peek_trace()]))
        return seen

    with capture(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    for number, seen in enumerate(found):
        expected = [f"{number}/{turn}" for turn in range(5)]
        assert seen == [(expected[: turn + 1], expected[: turn + 1]) for turn in range(5)]
    assert (trace.peek_agent_trace(), trace.peek_trace()) == ([], [])


def test_tasks_never_see_each_others_traces() -> None:
    """Siblings in step with each other, their parent, their children and worker threads: each has its own calls."""

    async def work(name: str, ready: asyncio.Barrier) -> dict[str, list[str]]:
        seen: dict[str, list[str]] = {}
        async with ready:
            ask(f"{name} first")
        async with ready:
            child = asyncio.create_task(leaf(f"{name} child"))
            ask(f"{name} second")
        seen[f"{name} child"] = await child
        seen[f"{name} thread"] = await asyncio.to_thread(traced, f"{name} thread")
        seen[name] = models()
        return seen

    async def leaf(name: str) -> list[str]:
        await asyncio.sleep(0)
        return traced(name)

    def traced(name: str) -> list[str]:
        ask(name)
        return models()

    async def program() -> dict[str, list[str]]:
        ask("parent")
        ready = asyncio.Barrier(3)
        parts = await asyncio.gather(*(work(name, ready) for name in "abc"))
        return {"parent": models(), **{key: seen for part in parts for key, seen in part.items()}}

    with capture():
        ask("thread")
        found = asyncio.run(program())
    expected = {name: [f"{name} first", f"{name} second"] for name in "abc"}
    alone = {f"{name} {kind}": [f"{name} {kind}"] for name in "abc" for kind in ("child", "thread")}
    assert found == {"parent": ["parent"], **expected, **alone}
    assert models() == ["thread"]


def test_a_step_is_traced_where_it_began() -> None:
    """Ended by another thread, or by another task, it is still an event of the context that began it."""

    async def generate() -> AsyncIterator[int]:
        with step(LLMCall("stream")):
            yield 1
            yield 2

    async def finish(stream: AsyncIterator[int]) -> list[str]:
        async for _ in stream:
            pass
        return kinds()

    async def program() -> tuple[list[str], list[str]]:
        stream = generate()
        await anext(stream)
        return await asyncio.create_task(finish(stream)), kinds()

    with capture():
        assert asyncio.run(program()) == ([], ["llm_call"])
        tool = step(ToolCall("search"))
        tool.__enter__()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(tool.__exit__, None, None, None).result()
            assert pool.submit(kinds).result() == []
    assert kinds() == ["tool_execution"]


def test_a_full_trace_drops_its_oldest_and_says_so(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries and events are bounded; what was dropped is counted, and the summaries still have it."""
    monkeypatch.setattr(context, "MOST_KEPT", 3)
    trace.enable_tracing()
    with run("desk"):
        for number in range(5):
            ask(str(number))
    assert [entry.model for entry in trace.peek_trace()] == ["2", "3", "4"]
    assert kinds() == ["llm_call", "llm_call", "loop_complete"]
    assert trace.dropped() == Dropped(llm_entries=2, agent_events=3)
    assert (trace.peek_trace_summary().calls, trace.agent_trace_summary().llm_calls) == (5, 5)
    trace.reset_trace_state()
    trace.reset_agent_trace_state()
    assert (trace.dropped(), trace.agent_trace_summary()) == (Dropped(0, 0), AgentTraceSummary())


def test_runs_are_followed_in_bounded_memory(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of too many open or ended runs are let go; late notes of theirs follow nobody."""
    monkeypatch.setattr(trace, "ENDED_RUNS", 2)
    monkeypatch.setattr(trace, "MOST_RUNS", 2)
    trace._live.clear()
    trace._ended.clear()
    ended = []
    for number in range(3):
        with run(f"ended {number}") as each:
            pass
        ended.append(each)
    opened = [run(f"open {number}") for number in range(3)]
    for each in opened:
        each.__enter__()
    ended[0].note("agent_trace.schema_retry", msgspec.to_builtins(RETRY))
    assert list(trace._ended) == [each.run_id for each in ended[1:]]
    assert list(trace._live) == [each.run_id for each in opened[1:]]
    assert trace.take_agent_trace()[-1] == RETRY
    for each in reversed(opened):
        each.__exit__(None, None, None)


# ---- recorders that change -------------------------------------------------------------------------------------------


def test_whatever_recorder_there_is_is_traced(tmp_path: Path) -> None:
    """Before and after a change of settings, and inside a capture within."""
    first = tachograph.configure(home=tmp_path / "first", drain=False)
    ask("first")
    second = tachograph.configure(home=tmp_path / "second", drain=False)
    ask("second")
    with capture():
        ask("captured")
    ask("second again")
    second.close()
    assert first is not second
    assert models() == ["first", "second", "captured", "second again"]


def test_two_captures_with_the_same_ids_do_not_mix() -> None:
    """A run that begins anew under an id that was seen is another run."""
    found = []
    for calls in (3, 1):
        with capture(), run("desk") as desk:
            for _ in range(calls):
                ask()
        found.append((desk.run_id, trace.agent_trace_summary(desk.run_id).llm_calls))
    assert found == [(found[0][0], 3), (found[0][0], 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_traces_what_it_records_and_nothing_else(tmp_path: Path) -> None:
    """The child sees none of the parent's events, its own are traced, and the parent goes on with its own."""
    program = (
        "import os\n"
        "from tachograph import LLMCall, run, step\n"
        "from tachograph.instrument import trace\n"
        "def ask(model):\n"
        "    with step(LLMCall(model)) as call:\n"
        "        call.reply = 'hi'\n"
        "def models():\n"
        "    return [event.model for event in trace.peek_agent_trace() if hasattr(event, 'model')]\n"
        "with run('desk'):\n"
        "    ask('parent')\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        ask('child')\n"
        "        os._exit(0 if models() == ['child'] and not trace._listener.failed else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    ask('parent again')\n"
        "assert models() == ['parent', 'parent again']\n"
    )
    there = {**os.environ, "TACHOGRAPH_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=there, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_program_that_does_not_trace_loads_none_of_it() -> None:
    """Recording alone imports no trace and has no listener: it costs nothing there."""
    program = (
        "import sys, tachograph\n"
        "tachograph.run, tachograph.step, tachograph.tool\n"
        "from tachograph.record.feed import Feed\n"
        "assert Feed.listeners == ()\n"
        "assert not [name for name in sys.modules if 'trace' in name.split('.') and name.startswith('tachograph')]\n"
    )
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=there, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
