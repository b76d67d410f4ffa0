"""The trace facade: what is recorded shows up in the traces by itself, in the context that began it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tachograph
from tachograph import LLMCall, ToolCall, compose, run, settings, step
from tachograph.errors import LimitExceeded, NotFound
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.tool import ToolEnded
from tachograph.instrument import trace
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
from tachograph.instrument.trace import (
    AgentTraceSummary,
    ContextCompaction,
    LlmCall,
    LlmFailed,
    LLMTraceEntry,
    LoopComplete,
    LoopIntervention,
    OtherEvent,
    PhaseChange,
    SchemaRetry,
    ToolExecution,
    ToolRejected,
)
from tachograph.limits.guard import AdmitAll, Intent, Refused, Spent, Ticket
from tachograph.record.after.resumed import resumed
from tachograph.store.open import open_store
from tachograph.testing import Captured, capture
from tests.instrument.traced import RETRY, USED, ask, fresh, kinds, use
from tests.queries.kept import batch
from tests.wire import recordings


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    """No test finds the trace of another."""
    with fresh():
        yield


# ---- the LLM trace ---------------------------------------------------------------------------------------------------


def test_an_entry_is_exactly_these_four_figures(events: Captured) -> None:
    """A recorded call: the model as requested, all input tokens, output tokens, whole milliseconds."""
    trace.enable_tracing()
    ask()
    (entry,) = trace.peek_trace()
    assert entry == LLMTraceEntry("gpt-4o", 15, 5, 1)
    assert trace.to_json(entry) == b'{"model":"gpt-4o","input_tokens":15,"output_tokens":5,"duration_ms":1}'


def test_a_call_is_traced_from_enabling_on(events: Captured) -> None:
    """What ended before is dropped, not buffered; enabling again clears nothing."""
    ask("before")
    trace.trace_llm_call(LLMTraceEntry("before", 1, 1, 1))
    trace.enable_tracing()
    ask("after")
    trace.enable_tracing()
    trace.trace_llm_call(LLMTraceEntry("own", 1, 2, 3))
    assert [entry.model for entry in trace.peek_trace()] == ["after", "own"]


def test_nothing_is_traced_unless_enabled(events: Captured) -> None:
    """Neither what is recorded nor what a program traces itself."""
    ask()
    trace.trace_llm_call(LLMTraceEntry("m", 1, 2, 3))
    assert trace.take_trace() == []


def test_taking_drains_and_peeking_does_not() -> None:
    """In the order of the calls; taken twice, the second is empty; peeked twice, both are the same."""
    trace.enable_tracing()
    entries = [LLMTraceEntry(model, 1, 2, 3) for model in ("a", "b")]
    for entry in entries:
        trace.trace_llm_call(entry)
    assert trace.peek_trace() == trace.peek_trace() == entries
    assert (trace.take_trace(), trace.take_trace(), trace.peek_trace()) == (entries, [], [])


def test_the_sums_come_in_this_order() -> None:
    """Input tokens, output tokens, milliseconds, calls; zeros when there are none; nothing is drained."""
    trace.enable_tracing()
    assert trace.peek_trace_summary() == (0, 0, 0, 0)
    trace.trace_llm_call(LLMTraceEntry("a", 10, 2, 300))
    trace.trace_llm_call(LLMTraceEntry("b", 5, 1, 50))
    assert trace.peek_trace_summary() == trace.peek_trace_summary() == (15, 3, 350, 2)
    assert len(trace.peek_trace()) == 2


def test_a_reset_empties_and_disables(events: Captured) -> None:
    """A call after it is not traced."""
    trace.enable_tracing()
    ask()
    trace.reset_trace_state()
    ask()
    assert (trace.take_trace(), trace.peek_trace_summary()) == ([], (0, 0, 0, 0))


def test_only_completed_calls_are_entries(events: Captured) -> None:
    """An entry has no status, so a failed call is none; the agent trace has it."""
    trace.enable_tracing()
    with pytest.raises(TimeoutError), step(LLMCall("gpt-4o")):
        raise TimeoutError
    assert (trace.take_trace(), kinds()) == ([], ["llm_failed"])


def test_the_switch_goes_with_the_context() -> None:
    """Tasks and worker threads of an enabled context trace; its own thread does not learn of theirs; others do not."""

    def one() -> list[LLMTraceEntry]:
        trace.trace_llm_call(LLMTraceEntry("m", 1, 2, 3))
        return trace.take_trace()

    async def child(*, enable: bool = False) -> list[LLMTraceEntry]:
        if enable:
            trace.enable_tracing()
        return one()

    async def parent(*, enable: bool) -> list[int]:
        before = len(await asyncio.create_task(child()))
        if enable:
            trace.enable_tracing()
        own = [len(await asyncio.create_task(child(enable=not enable)))]
        thread = await asyncio.to_thread(one)
        return [before, *own, len(thread), len(await asyncio.create_task(child()))]

    assert asyncio.run(parent(enable=True)) == [0, 1, 1, 1]
    assert asyncio.run(parent(enable=False)) == [0, 1, 0, 0]
    trace.enable_tracing()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trace.trace_llm_call, LLMTraceEntry("m", 1, 2, 3)).result()
        assert pool.submit(trace.take_trace).result() == []


# ---- the agent trace -------------------------------------------------------------------------------------------------


def test_a_whole_loop_is_traced_as_it_is_recorded(events: Captured) -> None:
    """Calls, tools, what the program adds and the end, in order; tracing is not enabled for it."""
    with run("desk") as desk:
        with step(LLMCall("gpt-4o", iteration=1)) as call:
            call.reply, call.usage = "hi", USED
        use(call_id="c1", classification="read", requested_by=call.number)
        with contextlib.suppress(ValueError), step(ToolCall("pay", iteration=1)):
            raise ValueError
        trace.emit_agent_event(RETRY)
        desk.output = "done"
    assert trace.take_agent_trace() == [
        LlmCall(
            call_id=call.id or "", model="gpt-4o", input_tokens=15, output_tokens=5, cache_tokens=2, duration_ms=1,
            iteration=1,
        ),
        ToolExecution(
            tool_name="search", tool_use_id="c1", duration_ms=1, status="ok", classification="read", iteration=1
        ),
        ToolExecution(
            tool_name="pay", tool_use_id="", duration_ms=1, status="error", classification="other", iteration=1
        ),
        RETRY,
        LoopComplete(
            status="done", iterations=1, total_duration_ms=11, tools_used=("search", "pay"),
            successful_tools=("search",),
        ),
    ]  # fmt: skip
    assert (trace.take_agent_trace(), trace.take_trace()) == ([], [])


def test_a_call_outside_a_loop_has_iteration_0_and_completes_none(events: Captured) -> None:
    """A bare model call and a bare tool call are events of their own and end no loop."""
    ask()
    use()
    assert [event.iteration for event in trace.peek_agent_trace()] == [0, 0]
    assert (kinds(), trace.agent_trace_summary().status) == (["llm_call", "tool_execution"], "unknown")


def test_three_attempts_have_three_ids_and_one_success(events: Captured) -> None:
    """Two failures and a success: the failures are visible, the summary counts the success."""
    with run("desk"):
        for attempt in (1, 2):
            with contextlib.suppress(ConnectionError), step(LLMCall("gpt-4o", attempt=attempt)) as call:
                call.usage = USED
                raise ConnectionError
        ask(attempt=3)
    told = trace.peek_agent_trace()[:3]
    assert [type(event) for event in told] == [LlmFailed, LlmFailed, LlmCall]
    assert len({event.call_id for event in told}) == 3
    assert {(event.error, event.category) for event in told[:2]} == {("ConnectionError", "network")}
    summary = trace.agent_trace_summary()
    assert (summary.llm_calls, summary.total_input_tokens, summary.iterations) == (1, 15, 1)


def test_a_stream_that_is_given_up_is_a_failed_call(events: Captured) -> None:
    """Closed early or forgotten, it is told once, where it began, although others write its end."""

    def stream() -> Generator[str, None, None]:
        with step(LLMCall("gpt-4o", streaming=True)) as call:
            for text in ("a", "b"):
                call.add(text)
                yield text

    reading = stream()
    next(reading)
    reading.close()
    with ThreadPoolExecutor(1) as pool:
        held = [stream()]
        next(held[0])
        held.clear()
        gc.collect()
        pool.submit(ask).result()
        assert pool.submit(kinds).result() == ["llm_call"]
    told = [event for event in trace.peek_agent_trace() if isinstance(event, LlmFailed)]
    assert [(event.status, event.error) for event in told] == [("cancelled", "GeneratorExit")] * 2


class Refusing(AdmitAll):
    """Lets everything but tools pass, and says how they are refused."""

    def __init__(self, answer: Refused) -> None:
        self.answer = answer

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:  # type: ignore[override]
        """No tool."""
        return self.answer if intent.kind == "tool" else super().admit(intent, spent, now)


def refused() -> Any:
    """A refusal that the program lives with."""
    return contextlib.suppress(LimitExceeded)


def test_every_refused_tool_call_is_exactly_one_event() -> None:
    """Refused by a guard, rejected by the program, skipped by it, inside a run and outside: one event with a reason."""
    with capture(Refusing(Refused("max_tool_calls", 5, 1, 5, reason="enough"))), run("desk"), refused():
        use()
    with capture(Refusing(Refused("quota", 5, 1, 5))), pytest.raises(LimitExceeded):
        use()
    with capture(), run("desk"):
        for decide in ("reject", "skip"):
            with step(ToolCall("pay")) as tool:
                getattr(tool, decide)(decide)
    rejected = [event for event in trace.peek_agent_trace() if isinstance(event, ToolRejected)]
    assert [(event.tool_name, event.reason) for event in rejected] == [
        ("search", "enough"), ("search", "quota"), ("pay", "reject"), ("pay", "skip"),
    ]  # fmt: skip
    assert (trace.agent_trace_summary().tool_rejections, trace.agent_trace_summary().tools_used) == (4, ())


def test_repeated_calls_are_warned_about_blocked_and_skipped() -> None:
    """The 2nd, 3rd and 4th identical call are three interventions, whether the tool ran or was refused."""
    with capture() as events, run("desk") as desk:
        use()
        assert desk._recorder is not None
        assert desk._run is not None
        tool = next(event.step for event in events.of(ToolEnded))
        warned = LimitHit(metric="tool_loop", mode="warn", used=1, requested=1, threshold=2, evidence=(tool,))
        desk._recorder.emit(desk._run, warned, 0)
        use()
        for mode, used in (("block", 2), ("skip", 3)):
            desk._recorder.guard = Refusing(Refused("tool_loop", used, 1, used, mode=mode))  # type: ignore[arg-type]
            with pytest.raises(LimitExceeded):
                use()
    told = [event for event in trace.peek_agent_trace() if isinstance(event, LoopIntervention)]
    assert [(event.tool_name, event.kind, event.count) for event in told] == [
        ("search", "warn", 2), ("search", "block", 3), ("search", "skip", 4),
    ]  # fmt: skip
    summary = trace.agent_trace_summary()
    assert (summary.interventions, summary.tool_executions, summary.tool_rejections) == (3, 2, 2)


def test_a_compaction_step_is_told_with_its_metadata(events: Captured) -> None:
    """20 messages before, 6 after: 15 archived."""
    with run("desk"), step("compact", kind="compaction", iteration=3) as compaction:
        compaction.metadata = {"messages_before": 20, "messages_after": 6, "summary_chars": 412}
    assert trace.peek_agent_trace()[0] == ContextCompaction(archived_messages=15, new_summary_len=412, iteration=3)


def test_phases_and_schema_retries_are_told_by_the_program(events: Captured) -> None:
    """The phase is the last one the reply names; N retries are N events numbered from 1; no figure counts them."""
    reply = "next_phase: build\nno, rather\nnext_phase: verify"
    with run("desk") as desk:
        trace.emit_agent_event(PhaseChange(from_phase="plan", to_phase=trace.next_phase(reply), iteration=1))
        for attempt in (1, 2, 3):
            trace.emit_agent_event(SchemaRetry(attempt=attempt, errors=(f"e{attempt}",), nudge_used=attempt > 1))
    told = trace.peek_agent_trace()
    assert told[0] == PhaseChange(from_phase="plan", to_phase="verify", iteration=1)
    assert [event.attempt for event in told if isinstance(event, SchemaRetry)] == [1, 2, 3]
    nothing = AgentTraceSummary(status="done", total_duration_ms=trace.agent_trace_summary().total_duration_ms)
    assert trace.agent_trace_summary() == trace.agent_trace_summary(desk.run_id) == nothing


def test_every_way_out_of_a_loop_completes_it_once(events: Captured) -> None:
    """Answer, exception, cancellation, generator close, a limit, and a recorder that goes: one `loop_complete` each."""

    def generate() -> Generator[int, None, None]:
        with run("generator"):
            yield 1

    async def cancelled() -> None:
        with run("task"):
            await asyncio.sleep(60)

    async def cancel() -> list[Any]:
        task = asyncio.create_task(collecting(cancelled()))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    async def collecting(work: Any) -> list[Any]:
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return trace.take_agent_trace()

    with run("answer") as answered:
        answered.output = 42
    with contextlib.suppress(ValueError), run("error"):
        raise ValueError
    reading = generate()
    next(reading)
    reading.close()
    with run("limit") as limited:
        limited.stop("failed", "max_iterations")
    in_task = asyncio.run(cancel())
    with capture():
        left = run("left")
        left.__enter__()
        assert left._recorder is not None
        left._recorder.close_runs(tachograph.events.run.Failure("Stopped"), "abandoned", "process_died")
    told = [*trace.take_agent_trace(), *in_task]
    assert [(type(event), event.status) for event in told] == [
        (LoopComplete, status)
        for status in ("done", "failed", "cancelled", "budget_exhausted", "abandoned", "cancelled")
    ]


def test_what_is_no_trace_event_is_refused() -> None:
    """A mapping, say, however much it looks like one."""
    with pytest.raises(TypeError, match="dict is not a trace event"):
        trace.emit_agent_event({"type": "llm_call"})  # type: ignore[arg-type]


def test_an_unknown_kind_breaks_nothing(events: Captured) -> None:
    """It is kept whole, with the run too, and no summary counts it."""
    other = OtherEvent("native_tool_fallback", {"accepted": True, "policy": "allow_once"})
    with run("desk") as desk:
        trace.emit_agent_event(other)
    assert trace.peek_agent_trace()[0] == other
    assert trace.to_json(other) == b'{"type":"native_tool_fallback","accepted":true,"policy":"allow_once"}'
    assert trace.events_of(list(events)) == trace.peek_agent_trace()
    assert trace.agent_trace_summary(desk.run_id) == trace.agent_trace_summary()


def test_an_event_is_the_same_in_the_trace_whatever_the_run_may_keep(tmp_path: Path) -> None:
    """Where no content is recorded, the note says only that it happened; this context's own trace has it whole."""
    system = compose.System(settings.read(home=tmp_path, drain=False, capture="none"))
    before = tachograph.record.scope.use(lambda: system.recorder)
    try:
        with run("desk"):
            trace.emit_agent_event(RETRY)
    finally:
        tachograph.record.scope.use(before)
        system.recorder.close()
    assert trace.peek_agent_trace()[0] == RETRY


def test_an_event_that_cannot_be_kept_with_its_run_is_traced(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the recorder's failures reaches the program, and nothing is missing here; the failure is counted."""
    with run("desk") as desk:
        assert desk._recorder is not None
        monkeypatch.setattr(desk._recorder, "emit", lambda *_: None)
        trace.emit_agent_event(RETRY)
        monkeypatch.setattr(desk._recorder, "emit", lambda *_: 1 / 0)
        trace.emit_agent_event(RETRY)
        monkeypatch.undo()
    assert kinds() == ["schema_retry", "schema_retry", "loop_complete"]
    assert desk._recorder.health.faults == {"trace:ZeroDivisionError": 1}


def test_usage_that_comes_late_is_in_both_traces(events: Captured) -> None:
    """A call that is metered after its end shows what it used, in the trace, its entry, and both summaries."""
    trace.enable_tracing()
    with run("desk") as desk:
        with step(LLMCall("gpt-4o")) as call:
            call.reply = "hi"
        assert trace.peek_trace() == [LLMTraceEntry("gpt-4o", 0, 0, 1)]
        call.meter(USED)
    assert trace.peek_trace() == [LLMTraceEntry("gpt-4o", 15, 5, 1)]
    assert trace.agent_trace_summary() == trace.agent_trace_summary(desk.run_id) == trace.fold(list(events))
    assert trace.agent_trace_summary().total_input_tokens == 15


def test_what_the_loggers_log_is_traced(events: Captured) -> None:
    """An execution is a loop and its calls are calls, late token counts included; a call alone is no loop."""
    trace.enable_tracing()
    executions, calls = ExecutionLogger(), LLMCallLogger()
    with executions.log_execution("planner", "plan") as plan:
        call = calls.start_llm_call("openai", "gpt-4", "A dashboard")
        _ = calls.end_llm_call(call, response="Two widgets.")
        _ = calls.update_token_usage(call, 10, 3)
        plan.output_data = {"widgets": 2}
    with calls.log_llm_call("openai", "gpt-4", "Alone") as alone:
        alone.response, alone.input_tokens, alone.output_tokens = "ok", 5, 2
    told = [(type(event), getattr(event, "input_tokens", None)) for event in trace.take_agent_trace()]
    assert told == [(LlmCall, 10), (LoopComplete, None), (LlmCall, 5)]
    assert [tuple(msgspec.structs.astuple(entry))[:3] for entry in trace.take_trace()] == [
        ("gpt-4", 10, 3), ("gpt-4", 5, 2),
    ]  # fmt: skip
    assert trace.agent_trace_summary(events[0].run).total_input_tokens == 10


# ---- summaries -------------------------------------------------------------------------------------------------------


def test_the_summary_of_this_program_is_this(events: Captured) -> None:
    """All thirteen keys of a loop with every kind of event, byte for byte."""
    with run("desk") as desk:
        ask(iteration=1)
        use()
        with step(ToolCall("pay")) as tool:
            tool.reject("not allowed")
        for event in (
            LoopIntervention(tool_name="search", kind="warn", count=2, iteration=1),
            ContextCompaction(archived_messages=15, new_summary_len=9, iteration=1),
            PhaseChange(from_phase="a", to_phase="b", iteration=1), RETRY, OtherEvent("x"),
        ):  # fmt: skip
            trace.emit_agent_event(event)
        desk.output = "done"
    assert trace.to_json(trace.agent_trace_summary()) == (
        b'{"status":"done","iterations":1,"total_duration_ms":15,"llm_calls":1,"tool_executions":1,'
        b'"tool_rejections":1,"interventions":1,"compactions":1,"total_input_tokens":15,"total_output_tokens":5,'
        b'"total_llm_duration_ms":1,"total_tool_duration_ms":1,"tools_used":["search"]}'
    )


def test_two_loops_add_up_in_the_context_and_not_in_their_runs(events: Captured) -> None:
    """The context's summary counts both; asked for one run, only that one, with its own end."""
    ids = []
    for number in (1, 2):
        with run(f"loop {number}") as each:
            for _ in range(number):
                ask()
        ids.append(each.run_id)
    assert trace.agent_trace_summary().llm_calls == 3
    assert [trace.agent_trace_summary(each).llm_calls for each in ids] == [1, 2]
    assert [trace.fold([event for event in events if event.run == each]).llm_calls for each in ids] == [1, 2]


def test_a_run_is_whole_though_its_contexts_see_a_part_each() -> None:
    """Work in tasks and worker threads: each sees its own, and the run's summary has everything."""

    async def worker(number: int) -> int:
        ask(f"model {number}")
        await asyncio.to_thread(use)
        return trace.agent_trace_summary().llm_calls

    async def program() -> tuple[str | None, list[int], AgentTraceSummary]:
        with run("desk") as desk:
            seen = await asyncio.gather(*(worker(number) for number in range(3)))
        return desk.run_id, seen, trace.agent_trace_summary()

    with capture():
        name, seen, own = asyncio.run(program())
        whole = trace.agent_trace_summary(name)
    assert (seen, own.llm_calls, own.tool_executions, own.status) == ([1, 1, 1], 0, 0, "done")
    assert (whole.llm_calls, whole.tool_executions, whole.status) == (3, 3, "done")
    assert trace.agent_trace_summary() == AgentTraceSummary()


def test_a_live_summary_is_that_of_the_stored_events(tmp_path: Path) -> None:
    """A run with every kind of event, some of them large: while it runs, when it has ended, and from the store."""
    system = tachograph.configure(store=f"sqlite:{tmp_path / 'runs.db'}", drain_interval=0.02)
    try:
        with run("desk") as desk:
            name = desk.run_id or ""
            ask()
            use()
            trace.emit_agent_event(RETRY)
            trace.emit_agent_event(SchemaRetry(attempt=2, errors=("long " * 500,), nudge_used=True))
            tools = tuple(f"tool {number}" for number in range(200))
            trace.emit_agent_event(
                LoopComplete(
                    status="stuck", iterations=9, total_duration_ms=5, tools_used=tools, successful_tools=tools[:1]
                )
            )
            with contextlib.suppress(ValueError), step(LLMCall("gpt-4o")):
                raise ValueError
            with step("compact", kind="compaction") as compaction:
                compaction.metadata = {"messages_before": 9, "messages_after": 3, "words": "x" * 600}
            running = trace.agent_trace_summary(name)
        live, told = trace.agent_trace_summary(name), trace.peek_agent_trace()
        trace._ended.clear()
        assert live == running == trace.agent_trace_summary(name)
        assert (live.status, live.iterations, live.compactions) == ("stuck", 9, 1)
        with contextlib.closing(compose.open_store(system.settings)) as store:
            assert trace.events_of(store.read(name), store.fetch) == told
        with pytest.raises(NotFound):
            trace.agent_trace_summary("018bcfe5-6802-7000-8000-000200000000")
    finally:
        system.close()


def test_an_imported_conversation_has_the_same_trace_from_a_store(shared_data: Path) -> None:
    """One of each of two benchmarks and of a coding agent, stored and read back: events and summary are as before."""
    names = ("tau-bench", "tau2-bench simulation", "claude session log (all lines, in order)")
    rows = {row["format"]: row for row in recordings.index(shared_data) if row["format"] in names}
    for row in rows.values():
        found = recordings.runs(shared_data / "trajectories" / row["file"], row["line"])
        with contextlib.closing(open_store("memory:")) as store:
            store.append(batch(*(each.events for each in found)))
            for each in found:
                read = list(store.read(each.run))
                assert trace.events_of(read, store.fetch) == trace.events_of(each.events) != []
                assert trace.fold(read) == trace.fold(each.events)
    assert len(rows) == 3


def test_a_run_that_began_before_it_was_followed_is_read_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the feed did not tell from the beginning, the store does."""
    system = tachograph.configure(store=f"sqlite:{tmp_path / 'runs.db'}", drain_interval=0.02)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(tachograph.record.feed.Feed, "listeners", ())
            desk = run("desk")
            desk.__enter__()
            ask()
        ask()
        desk.__exit__(None, None, None)
        assert trace.agent_trace_summary(desk.run_id).llm_calls == 2
        assert kinds() == ["llm_call", "loop_complete"]
    finally:
        system.close()


def test_a_note_of_a_program_is_an_event_of_the_context_that_wrote_it(events: Captured) -> None:
    """Where the trace facade cannot be called, a note of that name says the same."""
    with run("desk") as desk:
        desk.note("agent_trace.schema_retry", msgspec.to_builtins(RETRY))
    assert trace.peek_agent_trace()[0] == RETRY
    assert [event.body.name for event in events.of(Note)] == ["agent_trace.schema_retry"]


def test_a_loop_that_goes_on_completes_again(tmp_path: Path) -> None:
    """Each of its ends is told; the summary of the run is that of all of it, live and from the store."""
    system = tachograph.configure(store=f"sqlite:{tmp_path / 'runs.db'}", drain_interval=0.02)
    try:
        with run("desk") as desk:
            ask()
            desk.stop("paused", "approval")
        with resumed(desk.run_id or "") as again:
            ask()
            again.output = "done"
        assert kinds() == ["llm_call", "loop_complete", "llm_call", "loop_complete"]
        live = trace.agent_trace_summary(desk.run_id)
        assert (live.status, live.llm_calls) == ("done", 2)
        assert live == trace._stored(desk.run_id or "")
    finally:
        system.close()
