"""The trace of one run, from its events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tachograph.events.call import CallEnded, CallMetered
from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Event
from tachograph.events.ids import step_id
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import STOP_REASONS, Failure, RunEnded
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Usage
from tachograph.fold.totals import fold as totals_of
from tachograph.fold.trace.event import (
    ContextCompaction,
    LlmCall,
    LlmFailed,
    LoopComplete,
    LoopIntervention,
    OtherEvent,
    SchemaRetry,
    ToolExecution,
    ToolRejected,
)
from tachograph.fold.trace.run import RECENT, RunTrace, events_of, fold
from tachograph.fold.trace.summary import AgentTraceSummary, add_up
from tests.strategies import Tape, any_runs, runs, stored
from tests.wire import recordings

USED = Usage(10, 2, 3, 5, basis="provider")


def of(tape: Tape, kind: type) -> list[Any]:
    """Trace events of one kind."""
    return [event for event in events_of(tape.events) if isinstance(event, kind)]


def loop(tape: Tape) -> LoopComplete:
    """The one `loop_complete` of a run."""
    (found,) = of(tape, LoopComplete)
    assert isinstance(found, LoopComplete)
    return found


# ---- model calls -----------------------------------------------------------------------------------------------------


def test_a_completed_call_says_what_it_used() -> None:
    """All input tokens, and apart from them those read from a cache; milliseconds from start to end."""
    tape = Tape()
    tape.begin()
    call = tape.call(iteration=2)
    tape.wait(41_900_000).reply(call, usage=USED)
    assert events_of(tape.events) == [
        LlmCall(
            call_id=step_id(tape.run, call), model="gpt-4o", input_tokens=15, output_tokens=5, cache_tokens=2,
            duration_ms=42, iteration=2,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["failed", "cancelled", "abandoned"])
def test_a_call_that_did_not_complete_is_told_and_not_counted(status: str) -> None:
    """It has a kind of its own, with its error and what it used all the same."""
    tape = Tape()
    tape.begin()
    call = tape.call(iteration=1)
    error = Failure("TimeoutError", "too late", "timeout") if status == "failed" else None
    tape.reply(call, status, error=error, usage=USED)
    assert events_of(tape.events) == [
        LlmFailed(
            call_id=step_id(tape.run, call), model="gpt-4o", status=status,
            error="TimeoutError" if error else "", category="timeout" if error else "", input_tokens=15,
            output_tokens=5, cache_tokens=2, duration_ms=1, iteration=1,
        )
    ]  # fmt: skip
    assert fold(tape.events) == AgentTraceSummary()


def test_each_attempt_is_a_call_of_its_own() -> None:
    """Two failures and a success: three ids, one of them counted, one iteration."""
    tape = Tape()
    tape.begin()
    first = None
    for attempt, status in enumerate(("failed", "failed", "completed"), 1):
        call = tape.call(attempt=attempt, retry_of=first)
        tape.reply(call, status)
        first = first or call
    tape.finish("completed", stop_reason="final_answer")
    told = events_of(tape.events)
    assert [type(event) for event in told] == [LlmFailed, LlmFailed, LlmCall, LoopComplete]
    assert len({event.call_id for event in told[:3]}) == 3
    assert (fold(tape.events).llm_calls, loop(tape).iterations) == (1, 1)


def test_usage_that_is_known_late_is_what_the_call_used() -> None:
    """The call is told once, with the last figures, and the sums follow; the same for one that failed."""
    tape = Tape()
    tape.begin()
    calls = [tape.call(), tape.call()]
    tape.reply(calls[0])
    tape.reply(calls[1], "failed")
    tape.add(Note(name="aside"), calls[0])
    for call in calls:
        tape.add(CallMetered(call=call, usage=Usage(1, basis="estimated")), call)
        tape.add(CallMetered(call=call, usage=USED), call)
    assert [(event.input_tokens, event.output_tokens, event.cache_tokens) for event in events_of(tape.events)] == [
        (15, 5, 2), (15, 5, 2),
    ]  # fmt: skip
    assert fold(tape.events) == add_up(events_of(tape.events))
    assert fold(tape.events).total_input_tokens == 15


def test_usage_of_an_unknown_call_changes_nothing() -> None:
    """What is metered must be among the calls that ended lately."""
    tape = Tape()
    tape.begin()
    calls = [tape.call() for _ in range(2 * RECENT + 1)]
    for call in calls:
        tape.reply(call)
    for call in (calls[0], 9_999):
        tape.add(CallMetered(call=call, usage=USED), call)
    assert fold(tape.events).total_input_tokens == 0


# ---- tools and limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status"), [("completed", "ok"), ("failed", "error"), ("cancelled", "error"), ("abandoned", "error")]
)
def test_a_tool_that_ran_has_one_of_two_statuses(state: str, status: str) -> None:
    """Ok for one that completed, error for every other; with its class, the provider's id and its time."""
    tape = Tape()
    tape.begin()
    tool = tape.tool("search", call_id="call_1", classification="read", iteration=3)
    tape.wait(6_000_000).result(tool, None, state)
    assert events_of(tape.events) == [
        ToolExecution(
            tool_name="search", tool_use_id="call_1", duration_ms=7, status=status, classification="read", iteration=3
        )
    ]


@pytest.mark.parametrize("state", ["rejected", "skipped"])
@pytest.mark.parametrize(
    ("facts", "reason"), [({"reason": "not allowed"}, "not allowed"), ({"error": Failure("E", "no")}, "no"), ({}, "")]
)
def test_a_refused_tool_is_told_exactly_once(state: str, facts: dict[str, Any], reason: str) -> None:
    """Whoever refused it, and whether it was refused or skipped: one event, with the reason; the tool was not used."""
    tape = Tape()
    tape.begin()
    tape.result(tape.tool("pay", iteration=1), None, state, **facts)
    tape.finish()
    assert of(tape, ToolRejected) == [ToolRejected(tool_name="pay", reason=reason, iteration=1)]
    assert (fold(tape.events).tools_used, loop(tape).tools_used, len(events_of(tape.events))) == ((), (), 2)


def hits(*limits: LimitHit) -> list[LoopIntervention]:
    """What limits give that are reached in a run with one search behind it, inside iteration 4."""
    tape = Tape()
    tape.begin()
    turn = tape.step("turn", kind="iteration", iteration=4)
    tool = tape.tool("search", parent=turn)
    tape.result(tool)
    for limit in limits:
        tape.add(msgspec.structs.replace(limit, evidence=(tool,) if limit.evidence else ()), turn)
    return of(tape, LoopIntervention)


def test_the_same_call_again_is_warned_about_blocked_and_skipped() -> None:
    """The 2nd, 3rd and 4th identical call: three interventions, also where nothing was refused yet."""
    assert hits(
        LimitHit(metric="tool_loop", mode="warn", used=1, requested=1, threshold=2, evidence=(1,)),
        LimitHit(metric="tool_loop", mode="block", used=2, requested=1, refused_kind="tool", refused_name="search"),
        LimitHit(metric="tool_loop", mode="skip", used=3, requested=1, refused_kind="tool", refused_name="search"),
    ) == [
        LoopIntervention(tool_name="search", kind=kind, count=count, iteration=4)
        for kind, count in (("warn", 2), ("block", 3), ("skip", 4))
    ]


def test_a_limit_that_repeats_nothing_is_no_intervention() -> None:
    """Budgets that end the loop show in its status; what only observes changes nothing; a blocked tool counts."""
    assert (
        hits(
            LimitHit(metric="cost_budget", mode="stop", refused_kind="llm", refused_name="gpt-4o"),
            LimitHit(metric="max_tool_calls", mode="raise", refused_kind="tool", refused_name="search"),
            LimitHit(metric="tool_loop", mode="observe", evidence=(1,)),
            LimitHit(metric="cost_budget", mode="warn"),
        )
        == []
    )
    assert hits(LimitHit(metric="max_tool_calls", mode="block", used=9, refused_kind="tool", refused_name="pay")) == [
        LoopIntervention(tool_name="pay", kind="block", count=9, iteration=4)
    ]


def test_an_intervention_without_evidence_or_number_is_told_all_the_same() -> None:
    """No tool is known behind it, and no count can be said."""
    assert hits(LimitHit(metric="no_progress", mode="stop", used=float("inf"))) == [
        LoopIntervention(tool_name="", kind="stop", count=0, iteration=4)
    ]


# ---- compaction and notes --------------------------------------------------------------------------------------------


def compacted(status: str = "completed", start: Any = None, end: Any = None) -> list[Any]:
    """What a compaction gives whose metadata are these."""
    tape = Tape()
    tape.begin()
    facts = [None if each is None else inline(msgspec.json.encode(each).decode()) for each in (start, end)]
    tape.done(tape.step("compact", kind="compaction", iteration=2, metadata=facts[0]), status, metadata=facts[1])
    return events_of(tape.events)


def test_a_compaction_says_how_much_it_archived() -> None:
    """20 messages before and 6 after are 15 archived, for the summary is one of the six; said at start or end."""
    told = [ContextCompaction(archived_messages=15, new_summary_len=300, iteration=2)]
    assert compacted(end={"messages_before": 20, "messages_after": 6, "summary_chars": 300}) == told
    assert compacted(start={"messages_before": 20}, end={"messages_after": 6, "summary_chars": 300}) == told
    one = [ContextCompaction(archived_messages=1, new_summary_len=30, iteration=2)]
    assert compacted(end={"messages_before": 6, "messages_after": 6, "summary_chars": 30}) == one


def test_messages_that_only_became_shorter_archived_none() -> None:
    """Without a summary, and with as many messages as before."""
    told = [ContextCompaction(archived_messages=0, new_summary_len=0, iteration=2)]
    assert compacted(end={"messages_before": 6, "messages_after": 6, "summary_chars": 0}) == told


def test_a_compaction_that_does_not_say_is_still_one() -> None:
    """Figures that are missing, or none, are zero; a compaction that failed archived nothing and is not told."""
    nothing = [ContextCompaction(archived_messages=0, new_summary_len=0, iteration=2)]
    assert compacted() == nothing
    assert compacted(end={"messages_before": "20", "messages_after": 6}) == nothing
    assert compacted(end={"messages_before": 3, "messages_after": 9}) == nothing
    assert compacted(end=[1]) == nothing
    assert compacted("failed", end={"messages_before": 20, "messages_after": 6}) == []


def test_notes_of_that_name_are_trace_events() -> None:
    """Their data are the fields; what is no trace event stays a note, and an unknown kind is counted nowhere."""
    tape = Tape()
    tape.begin()
    for name, data in (
        ("agent_trace.schema_retry", '{"attempt":1,"errors":["e"],"nudge_used":true}'),
        ("agent_trace.empty_completion_retry", '{"attempt":2}'),
        ("agent_trace.llm_call", "[1]"),
        ("schema_retry", "{}"),
    ):
        tape.add(Note(name=name, data=inline(data)))
    assert events_of(tape.events) == [
        SchemaRetry(attempt=1, errors=("e",), nudge_used=True),
        OtherEvent("empty_completion_retry", {"attempt": 2}),
        OtherEvent("llm_call", {"value": [1]}),
    ]
    assert fold(tape.events) == AgentTraceSummary()


def test_what_a_program_tells_itself_counts_like_what_is_recorded() -> None:
    """Its calls and tools are the loop's; and a loop that says how it ended is not told a second time."""
    tape = Tape()
    tape.begin()
    for name, data in (
        ("llm_call", {"call_id": "", "model": "m", "input_tokens": 1, "output_tokens": 2, "cache_tokens": 0,
                      "duration_ms": 3, "iteration": 1}),
        ("tool_execution", {"tool_name": "t", "tool_use_id": "", "duration_ms": 4, "status": "ok",
                            "classification": "read", "iteration": 1}),
    ):  # fmt: skip
        tape.add(Note(name=f"agent_trace.{name}", data=inline(msgspec.json.encode(data).decode())))
    alone = Tape()
    alone.events, alone.run = list(tape.events), tape.run
    tape.finish()
    assert loop(tape) == LoopComplete(
        status="done", iterations=1, total_duration_ms=3, tools_used=("t",), successful_tools=("t",)
    )
    end = '{"status":"stuck","iterations":7,"total_duration_ms":9,"tools_used":[],"successful_tools":[]}'
    alone.add(Note(name="agent_trace.loop_complete", data=inline(end)))
    alone.finish("failed")
    assert (loop(alone).status, fold(alone.events).iterations) == ("stuck", 7)


def test_content_that_a_store_keeps_by_hash_is_fetched() -> None:
    """With a way to fetch, nothing is lost; without one, and when it was not kept, only that it happened is known."""
    tape = Tape()
    tape.begin()
    text = inline('{"attempt":1,"errors":["e"],"nudge_used":true}')
    name = "agent_trace.schema_retry"
    tape.add(Note(name=name, data=stored(text)))
    tape.add(Note(name=name, data=Content(level="none")))
    tape.add(Note(name=name, data=inline("{")))
    assert text.text is not None
    payloads = {digest(text.text.encode()): text.text.encode()}

    def fetch(hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: payloads[key] for key in hashes}

    blank = SchemaRetry(attempt=0, errors=(), nudge_used=False)
    whole = SchemaRetry(attempt=1, errors=("e",), nudge_used=True)
    assert (events_of(tape.events, fetch), events_of(tape.events)) == ([whole, blank, blank], [blank, blank, blank])


# ---- iterations ------------------------------------------------------------------------------------------------------


def test_an_iteration_is_inherited() -> None:
    """A call without a number has that of the step around it, a tool that of the call that asked for it; else 0."""
    tape = Tape()
    tape.begin()
    turn = tape.step("turn", kind="iteration", iteration=3)
    inner = tape.step("plan", parent=turn)
    call = tape.call(parent=inner)
    tape.reply(call)
    tape.result(tape.tool(requested_by=call))
    tape.result(tape.tool(requested_by=999, parent=inner))
    tape.done(inner)
    tape.done(turn)
    tape.reply(tape.call(parent=inner))
    assert [event.iteration for event in events_of(tape.events)] == [3, 3, 3, 0]


@pytest.mark.parametrize(
    ("numbers", "iterations"),
    [([1, 2, 2, 3], 3), ([0, 1], 2), ([None, None], 2), ([5], 5), ([None, 1, None], 1), ([], 0)],
)
def test_the_numbers_of_the_program_say_how_many_iterations(numbers: list[int | None], iterations: int) -> None:
    """The highest number, counted from 1 or from 0; where no request has one, the requests are counted."""
    tape = Tape()
    tape.begin()
    for number in numbers:
        tape.reply(tape.call(iteration=number))
    tape.reply(tape.call(operation="embedding"))
    tape.finish()
    assert loop(tape).iterations == iterations


def test_iteration_steps_without_numbers_are_counted() -> None:
    """Two turns of two requests each are two iterations."""
    tape = Tape()
    tape.begin()
    for _ in range(2):
        turn = tape.step("turn", kind="iteration")
        for _ in range(2):
            tape.reply(tape.call(parent=turn))
    tape.finish()
    assert loop(tape).iterations == 2


# ---- how loops end ---------------------------------------------------------------------------------------------------

ENDS = {
    **{("completed", reason): "done" for reason in STOP_REASONS["completed"]},
    **{("cancelled", reason): "cancelled" for reason in STOP_REASONS["cancelled"]},
    **{("failed", reason): "failed" for reason in STOP_REASONS["failed"]},
    ("completed", ""): "done", ("failed", ""): "failed", ("cancelled", ""): "cancelled",
    ("abandoned", "process_died"): "abandoned", ("paused", "approval"): "idle",
    ("failed", "no_progress"): "stuck", ("failed", "tool_loop"): "stuck", ("failed", "watchdog"): "watchdog",
    ("failed", "max_iterations"): "budget_exhausted", ("failed", "max_llm_calls"): "budget_exhausted",
    ("failed", "max_tool_calls"): "budget_exhausted", ("failed", "max_handoffs"): "budget_exhausted",
    ("failed", "max_depth"): "budget_exhausted", ("failed", "deadline"): "budget_exhausted",
    ("failed", "token_budget"): "budget_exhausted", ("failed", "cost_budget"): "budget_exhausted",
    ("failed", "session_limit"): "budget_exhausted", ("failed", "quota"): "budget_exhausted",
}  # fmt: skip


@pytest.mark.parametrize(("end", "status"), sorted(ENDS.items()))
def test_every_end_of_a_run_has_a_status(end: tuple[str, str], status: str) -> None:
    """Each status and stop reason a run can have gives exactly one `loop_complete`, with this word."""
    tape = Tape()
    tape.begin()
    tape.finish(end[0], stop_reason=end[1])
    assert loop(tape).status == status


def test_a_loop_says_which_tools_ran_and_which_succeeded() -> None:
    """One name an execution, refused ones left out; the successful ones once each."""
    tape = Tape()
    tape.begin()
    for name, state in (("a", "failed"), ("b", "completed"), ("a", "completed"), ("b", "completed"), ("c", "skipped")):
        tape.result(tape.tool(name), None, state)
    tape.wait(100_000_000).finish()
    assert loop(tape) == LoopComplete(
        status="done", iterations=0, total_duration_ms=111, tools_used=("a", "b", "a", "b"), successful_tools=("b", "a")
    )


def test_a_paused_run_that_goes_on_ends_again() -> None:
    """Waiting for a person is one end, the outcome another; after an outcome nothing ends any more."""
    tape = Tape()
    tape.begin()
    for status in ("paused", "completed", "failed"):
        tape.finish(status)
    assert [event.status for event in of(tape, LoopComplete)] == ["idle", "done"]


def test_a_loop_that_is_resumed_completes_again() -> None:
    """Each end is told as it comes; the summary is that of the last one, from the first start on."""
    tape = Tape()
    tape.begin()
    tape.finish("failed", stop_reason="max_iterations")
    tape.finish("completed")
    tape.wait(5_000_000).resume()
    tape.finish("completed")
    assert [event.status for event in of(tape, LoopComplete)] == ["budget_exhausted", "done"]
    summary = fold(tape.events)
    assert (summary.status, summary.total_duration_ms) == ("done", 9)


def brought(name: str = "gpt-4o", **facts: Any) -> Tape:
    """A run like the one that a model call outside any run brings along."""
    tape = Tape()
    tape.begin(name, **facts)
    tape.reply(tape.call())
    return tape


def test_a_call_outside_any_run_is_no_loop() -> None:
    """The run it brought along has no end of its own to tell, also for a tool, and when a limit refused it."""
    tape = brought()
    tape.finish()
    assert [type(event) for event in events_of(tape.events)] == [LlmCall]
    refused = Tape()
    refused.begin("pay")
    refused.add(LimitHit(metric="quota", mode="raise", refused_kind="tool", refused_name="pay"))
    refused.result(refused.tool("pay"), None, "rejected", reason="quota")
    refused.finish("failed", stop_reason="quota")
    assert [type(event) for event in events_of(refused.events)] == [ToolRejected]
    call = Tape()
    call.begin("gpt-4o")
    call.add(LimitHit(metric="quota", mode="raise", refused_kind="llm", refused_name="gpt-4o"))
    call.finish("failed", stop_reason="quota")
    assert events_of(call.events) == []


def test_a_run_that_is_more_than_its_call_is_a_loop() -> None:
    """Another name, a second step, an input or an answer: the run was begun for its own sake."""
    two = brought()
    two.reply(two.call())
    for tape in (brought("desk"), brought(input=inline("1")), two):
        tape.finish()
        assert loop(tape).status == "done"
    answered = brought()
    answered.finish(output=inline('"42"'))
    assert loop(answered).iterations == 1


def test_an_audit_run_has_no_trace() -> None:
    """What was done to the records is no work of an agent."""
    tape = Tape()
    tape.begin("pruned", source="audit")
    tape.add(Note(name="agent_trace.llm_call", data=inline("{}")))
    tape.finish()
    assert events_of(tape.events) == []


# ---- any run ---------------------------------------------------------------------------------------------------------


@given(any_runs)
def test_the_summary_is_the_sum_of_the_events(events: Sequence[Event]) -> None:
    """Of any run, sound or damaged: folding and adding up what was told give the same."""
    assert fold(events) == add_up(events_of(events))


@given(any_runs)
def test_an_event_seen_twice_changes_nothing(events: Sequence[Event]) -> None:
    """Every event comes once more, some time later: the trace is that of the first time."""
    assert events_of([*events, *events]) == events_of(events)


@given(runs())
def test_every_end_of_a_call_or_tool_is_told_once(events: Sequence[Event]) -> None:
    """Of a sound run: as many completed calls, failed calls, executions and refusals as it has ends of each."""
    told = [type(event) for event in events_of(events)]
    totals = totals_of(events)
    refused = totals.tool_ends.get("rejected", 0) + totals.tool_ends.get("skipped", 0)
    assert told.count(LlmCall) == totals.call_ends.get("completed", 0)
    assert told.count(LlmFailed) == sum(totals.call_ends.values()) - told.count(LlmCall)
    assert told.count(ToolRejected) == refused
    assert told.count(ToolExecution) == sum(totals.tool_ends.values()) - refused
    assert told.count(LoopComplete) == sum(isinstance(event.body, RunEnded) for event in events)


@given(runs())
def test_tokens_are_those_of_the_completed_calls(events: Sequence[Event]) -> None:
    """What the summary says was read and written is what the completed calls were last said to have used."""
    used: dict[int, Usage] = {}
    for event in events:
        if isinstance(event.body, CallEnded) and event.body.status == "completed":
            used[event.step] = event.body.usage
        elif isinstance(event.body, CallMetered) and event.body.call in used:
            used[event.body.call] = event.body.usage
    summary = fold(events)
    assert summary.total_input_tokens == sum(usage.input_total or 0 for usage in used.values())
    assert summary.total_output_tokens == sum(usage.output or 0 for usage in used.values())


def test_a_trace_asks_whose_a_step_is_when_it_begins() -> None:
    """What a step tells at its end is its beginner's; what is no step, of whoever is there at the time."""
    here = ["start"]
    trace = RunTrace(whose=lambda: here[0])
    tape = Tape()
    tape.begin()
    call, tool = tape.call(), tape.tool()
    compaction = tape.step("compact", kind="compaction")
    owners = []
    for event in tape.events:
        trace.apply(event)
    here[0] = "later"
    tape.add(Note(name="agent_trace.x"))
    tape.add(LimitHit(metric="tool_loop", mode="warn"))
    tape.reply(call)
    tape.result(tool)
    tape.done(compaction)
    tape.finish()
    for event in tape.events[tool + 2 :]:
        assert trace.apply(event) is not None
        owners.append(trace.owner)
    assert owners == ["later", "later", "start", "start", "start", "start"]
    assert trace.whole


def test_a_run_seen_from_its_middle_is_not_whole() -> None:
    """A call whose start was missed is told with what its end says; a tool without its name is not."""
    tape = Tape()
    tape.begin()
    call, tool = tape.call(), tape.tool()
    tape.add(CallEnded(status="completed", usage=USED, served_model="gpt-4o-2024"), call)
    tape.add(ToolEnded(state="completed"), tool)
    trace = RunTrace()
    told = [trace.apply(event) for event in tape.events[tool + 1 :]]
    assert (trace.whole, trace.summary.total_input_tokens, told[1]) == (False, 15, None)
    assert told[0] is not None
    assert told[0].event.model == "gpt-4o-2024"


def test_recorded_conversations_have_a_trace(shared_data: Path) -> None:
    """Of one recorded conversation of each format that is a run: the sums agree with its events and its totals."""
    rows = {row["format"]: row for row in reversed(recordings.index(shared_data)) if "ReAct" not in row["format"]}
    assert len(rows) == 10
    for row in rows.values():
        for run in recordings.runs(shared_data / "trajectories" / row["file"], row["line"]):
            summary, totals = fold(run.events), totals_of(run.events)
            assert summary == add_up(events_of(run.events))
            assert summary.llm_calls == totals.call_ends.get("completed", 0)
            assert summary.tool_executions + summary.tool_rejections == sum(totals.tool_ends.values())
            assert summary.status != "unknown"
