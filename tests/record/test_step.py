"""The door: what each kind of step records, on every way out."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from decimal import Decimal
from typing import Any

import pytest

import tachograph
from tachograph import LimitExceeded, LLMCall, ToolCall, Usage, run, step
from tachograph.events.call import CallEnded, CallStarted, Timeline
from tachograph.events.content import inline
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.limits.guard import Intent, Refused, Spent, Ticket
from tachograph.testing import Captured, capture


@pytest.fixture
def events() -> Iterator[Captured]:
    """What the test records."""
    with capture() as captured:
        yield captured


def ends(events: Captured) -> list[tuple[int, str]]:
    """(step, status) of every end, in order."""
    found: list[tuple[int, str]] = []
    for event in events:
        if isinstance(event.body, (RunEnded, StepEnded, CallEnded)):
            found.append((event.step, event.body.status))
        elif isinstance(event.body, ToolEnded):
            found.append((event.step, event.body.state))
    return found


def shapes(events: Captured) -> list[tuple[str, int]]:
    """(type, step) of every event."""
    return [(type(event.body).__name__, event.step) for event in events]


def test_a_run_records_everything_it_was_told(events: Captured) -> None:
    """All facts of the trigger are in the start, the output and reason in the end; seqs have no gap."""
    with run(
        "desk", session="s", user="u", tenant="t", tags=["a"], metadata={"k": 1}, version="2", environment="prod",
        platform="whatsapp", agent_type="support", input="hello", traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    ) as desk:  # fmt: skip
        desk.output = "bye"
    started, ended = (event.body for event in events)
    assert started == RunStarted(
        name="desk", execution_id=desk.execution_id or "", session="s", user="u", tenant="t", tags=("a",),
        metadata=inline('{"k":1}'), version="2", environment="prod", platform="whatsapp", agent_type="support",
        input=inline('"hello"'), trace_id="a" * 32, trace_parent="b" * 16, owner=started.owner,
    )  # fmt: skip
    assert ended == RunEnded(status="completed", stop_reason="final_answer", output=inline('"bye"'))
    assert ([event.seq for event in events], desk.id) == ([0, 1], events[0].run)


def test_a_model_call_stores_its_messages_once_and_names_nodes(events: Captured) -> None:
    """The second request begins with the first and its reply: only the new message is appended."""
    talk: list[Any] = [{"role": "user", "content": "hi"}]
    with run("desk"):
        with step(LLMCall("gpt-4o", talk, provider="openai", params={"temperature": 0})) as call:
            call.reply = "hello"
            call.usage = Usage(10, 0, 0, 5, basis="provider")
            call.finish_reason, call.response_id, call.reported_cost = "stop", "r1", Decimal("0.0001")
        talk += [{"role": "assistant", "content": "hello"}, {"role": "user", "content": "more"}]
        with step(LLMCall("gpt-4o", talk, provider="openai")):
            pass
    assert [(event.seq, event.body.parent, event.body.message.text) for event in events.of(MessageAppended)] == [
        (1, None, '{"role":"user","content":"hi"}'),
        (3, 1, '{"role":"assistant","content":"hello"}'),
        (5, 3, '{"role":"user","content":"more"}'),
    ]
    assert [event.body.input for event in events.of(CallStarted)] == [1, 5]
    assert events.of(CallEnded)[0].body == CallEnded(
        status="completed", output=3, usage=Usage(10, 0, 0, 5, basis="provider"), reported_cost=100_000,
        finish_reason="stop", response_id="r1",
    )  # fmt: skip
    assert events.of(CallEnded)[1].body == CallEnded(status="completed")


def test_a_stream_keeps_first_token_chunks_timeline_and_text(events: Captured) -> None:
    """A keep-alive counts as a chunk, not as content; the text is the reply."""
    with run("desk"), step(LLMCall("m", streaming=True)) as call:
        for text in (None, "he", "llo"):
            call.add(text)
    message, ended = events.of(MessageAppended)[0].body, events.of(CallEnded)[0].body
    assert message.message.text == '{"role":"assistant","content":"hello"}'
    assert (ended.chunks, ended.first_token_ns, ended.usage) == (3, 3_000_000, Usage())
    assert ended.timeline == Timeline(1, (2_000, 1_000, 1_000))


def test_an_aborted_stream_keeps_the_partial_text(events: Captured) -> None:
    """What had arrived before the connection broke is the output of the failed attempt."""

    def cut() -> None:
        with step(LLMCall("m")) as call:
            call.add("half a sen")
            raise ConnectionError("cut")

    with run("desk"), pytest.raises(ConnectionError):
        cut()
    ended = events.of(CallEnded)[0].body
    assert (ended.status, ended.error.type, ended.error.category) == ("failed", "ConnectionError", "network")
    assert events.of(MessageAppended)[0].body.message.text == '{"role":"assistant","content":"half a sen"}'


def test_tools_end_in_the_state_they_were_given(events: Captured) -> None:
    """Completed, failed by exception, failed without one, rejected, skipped."""
    with run("desk"):
        with step(ToolCall("a", {"x": 1}, call_id="c1", classification="read")) as tool:
            tool.output = [1]
        with pytest.raises(ValueError, match="no"), step(ToolCall("b")):
            raise ValueError("no")
        with step(ToolCall("c")) as tool:
            tool.fail("bad input")
        with step(ToolCall("d")) as tool:
            tool.reject("not allowed")
        with step(ToolCall("e")) as tool:
            tool.skip("seen before")
    found = [(event.body.state, event.body.reason) for event in events.of(ToolEnded)]
    assert found == [
        ("completed", None), ("failed", None), ("failed", None), ("rejected", "not allowed"),
        ("skipped", "seen before"),
    ]  # fmt: skip
    assert events.of(ToolStarted)[0].body == ToolStarted(
        name="a", call_id="c1", arguments=inline('{"x":1}'), classification="read"
    )
    assert events.of(ToolEnded)[2].body.error.message == "bad input"


def test_user_steps_nest_and_carry_their_facts(events: Captured) -> None:
    """A step's parent is the step around it."""
    with run("desk"), step("plan", kind="plan", input=1, action_type="x", refs={"report_id": "r"}) as plan:
        with step("inner") as inner:
            inner.output = 2
        plan.note("seen", {"a": 1})
        plan.score("quality", 0.5, kind="judge")
    assert shapes(events) == [
        ("RunStarted", 0), ("StepStarted", 1), ("StepStarted", 2), ("StepEnded", 2), ("Note", 1), ("Score", 1),
        ("StepEnded", 1), ("RunEnded", 0),
    ]  # fmt: skip
    assert events[1].body == StepStarted(
        kind="plan", name="plan", input=inline("1"), action_type="x", refs={"report_id": "r"}
    )
    assert (events[2].body.parent, events.of(Note)[0].body.data, events.of(Score)[0].body.target) == (
        1, inline('{"a":1}'), 1,
    )  # fmt: skip


def test_a_step_outside_any_run_brings_its_own(events: Captured) -> None:
    """Nothing is dropped for lack of a run."""
    with step("alone"):
        pass
    assert shapes(events) == [("RunStarted", 0), ("StepStarted", 1), ("StepEnded", 1), ("RunEnded", 0)]


def test_a_run_inside_a_run_is_its_child(events: Captured) -> None:
    """The child names the step that started it, keeps the session and the trace."""
    with run("lead", session="s") as lead, step("delegate", kind="delegation") as at, run("worker"):
        pass
    child = events.of(RunStarted)[1].body
    assert (child.parent_run, child.parent_step, child.session) == (lead.run_id, at.number, "s")
    assert child.trace_id == (lead.run_id or "").replace("-", "")


def test_every_way_out_ends_a_step_once(events: Captured) -> None:
    """Return, exception, generator close, an abandoned stream, cancellation, interrupt, exit."""

    def stream() -> Generator[int, None, None]:
        with step("stream"):
            yield 1
            yield 2

    async def sleeper() -> None:
        async with step("sleeper"):
            await asyncio.sleep(10)

    async def cancelled() -> None:
        task = asyncio.create_task(sleeper())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with run("all"):
        list(stream())
        closed = stream()
        next(closed)
        closed.close()
        dropped = stream()
        next(dropped)
        del dropped
        gc.collect()
        asyncio.run(cancelled())
        for error in (KeyboardInterrupt, SystemExit, RuntimeError):
            with pytest.raises(error), step("raises"):
                raise error
    assert [status for _, status in ends(events)] == [
        "completed", "cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "failed", "completed",
    ]  # fmt: skip
    assert len({number for number, _ in ends(events)}) == len(ends(events))


def test_a_step_that_is_never_left_ends_when_it_is_collected(events: Captured) -> None:
    """A stream object that was dropped ends with the next event, not in its finaliser."""
    with run("desk") as desk:
        held = step("forgotten").__enter__()
        del held
        gc.collect()
        desk.note("later")
    assert [type(event.body).__name__ for event in events] == [
        "RunStarted", "StepStarted", "Note", "StepEnded", "RunEnded",
    ]  # fmt: skip
    assert events.of(StepEnded)[0].body.status == "cancelled"


def test_steps_that_outlive_their_run_are_abandoned_with_it(events: Captured) -> None:
    """The run closes what is open; the late end is not recorded again."""
    with run("desk"):
        late = step("late").__enter__()
    late.__exit__(None, None, None)
    assert ends(events) == [(1, "abandoned"), (0, "completed")]


def test_how_runs_end(events: Captured) -> None:
    """Status and stop reason follow the exception, or what the program said."""
    with run("a") as said:
        said.stop("failed", "tool_loop")
    with pytest.raises(ZeroDivisionError), run("b"):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), run("c"):
        raise KeyboardInterrupt
    with pytest.raises(LimitExceeded), run("d"):
        raise LimitExceeded("cost_budget", 1, 1, 1)
    with run("e") as thrown:
        thrown.discarded = True
    found = [(body.status, body.stop_reason, body.discarded) for body in (e.body for e in events.of(RunEnded))]
    assert found == [
        ("failed", "tool_loop", False), ("failed", "internal_error", False), ("cancelled", "signal", False),
        ("failed", "cost_budget", False), ("completed", "", True),
    ]  # fmt: skip


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


def test_the_tool_decorator_records_arguments_and_result(events: Captured) -> None:
    """Arguments by parameter name, however they were passed; a wrong call fails as it would have."""

    @tachograph.tool(classification="read")
    def look_up(key: str, *, depth: int = 1) -> dict[str, int]:
        return {key: depth}

    assert look_up("a", depth=2) == {"a": 2}
    with pytest.raises(TypeError, match="missing"):
        look_up()  # type: ignore[call-arg]
    assert [event.body.arguments.text for event in events.of(ToolStarted)] == [
        '{"key":"a","depth":2}', '{"args":[],"kwargs":{}}',
    ]  # fmt: skip
    assert [event.body.state for event in events.of(ToolEnded)] == ["completed", "failed"]


class Stingy:
    """A guard that allows one model call and no tool named `rm`, and remembers what it settled."""

    def __init__(self) -> None:
        self.settled: list[Usage | None] = []

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """One model call, no rm."""
        if intent.kind == "llm" and spent.llm_calls >= 1:
            return Refused("max_llm_calls", 1, 1, 1)
        if intent.name == "rm":
            return Refused("denied_tool", 0, 1, 0, reason="rm is not allowed", evidence=(0,))
        return Ticket()

    def settle(self, ticket: Ticket, usage: Usage | None, now: int) -> None:
        """Remember."""
        self.settled.append(usage)


def test_a_refusal_is_recorded_and_raised_before_the_effect() -> None:
    """One LimitHit per refusal, the body never runs, a refused tool ends as rejected, tickets are settled."""
    guard, ran = Stingy(), []
    with capture(guard) as events, run("desk"):
        with step(LLMCall("m")) as call:
            call.usage = Usage(1, 0, 0, 1, basis="provider")
        with pytest.raises(LimitExceeded, match="max_llm_calls"), step(LLMCall("m")):
            ran.append("llm")
        with pytest.raises(LimitExceeded, match="rm is not allowed"), step(ToolCall("rm")):
            ran.append("rm")
    hits = [(event.body.metric, event.body.refused_kind, event.body.refused_name) for event in events.of(LimitHit)]
    assert (hits, ran) == ([("max_llm_calls", "llm", "m"), ("denied_tool", "tool", "rm")], [])
    assert [(event.body.state, event.body.reason) for event in events.of(ToolEnded)] == [
        ("rejected", "rm is not allowed")
    ]
    assert guard.settled == [Usage(1, 0, 0, 1, basis="provider")]
    assert events.of(RunEnded)[0].body.status == "completed"


def test_a_guard_that_breaks_does_not_stop_the_program() -> None:
    """Its failure is a fault of ours: the effect happens once."""

    class Broken(Stingy):
        def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
            raise RuntimeError("guard")

    ran = []
    with capture(Broken()) as events, step(LLMCall("m")):
        ran.append(1)
    assert (ran, [event.body.status for event in events.of(CallEnded)]) == ([1], ["completed"])


def test_a_thousand_concurrent_runs_and_32_threads_do_not_cross(events: Captured) -> None:
    """Each run has exactly its own steps, calls and usage."""

    async def one(number: int) -> None:
        async with run(f"run-{number}"):
            for turn in range(3):
                async with step(LLMCall(f"model-{number}", [{"role": "user", "content": f"{number}/{turn}"}])) as call:
                    await asyncio.sleep(0)
                    call.usage = Usage(number, 0, 0, turn, basis="provider")

    async def many() -> None:
        await asyncio.gather(*(one(number) for number in range(1000)))

    asyncio.run(many())
    threads = [threading.Thread(target=lambda n=number: asyncio.run(one(n))) for number in range(1000, 1032)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_run: dict[str, list[Any]] = {}
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    assert len(by_run) == 1032
    for found in by_run.values():
        number = int(found[0].body.name.removeprefix("run-"))
        bodies = [event.body for event in found]
        assert [event.seq for event in found] == list(range(len(found)))
        assert {body.model for body in bodies if isinstance(body, CallStarted)} == {f"model-{number}"}
        usages = [body.usage for body in bodies if isinstance(body, CallEnded)]
        assert usages == [Usage(number, 0, 0, turn, basis="provider") for turn in range(3)]


def test_a_run_of_ten_thousand_steps(events: Captured) -> None:
    """Long runs keep their order and their parents."""
    with run("long"):
        for number in range(5_000):
            with step("outer"), step(f"inner-{number}"):
                pass
    assert len(events) == 20_002
    assert all(event.body.parent == event.seq - 1 for event in events.of(StepStarted)[1::2])


def test_log_records_carry_the_ids(events: Captured) -> None:
    """The filter adds execution, run and step; empty outside."""
    import logging

    ids = tachograph.RunIds()
    inside, outside = (logging.LogRecord("x", 20, "f", 1, "m", (), None) for _ in range(2))
    with run("desk") as desk, step("at") as at:
        ids.filter(inside)
    assert ids.filter(outside) is True
    found = [(record.execution_id, record.run_id, record.step) for record in (inside, outside)]  # type: ignore[attr-defined]
    assert found == [(desk.execution_id, desk.run_id, at.number), ("", "", "")]
