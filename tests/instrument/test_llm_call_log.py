"""Rows of model calls: where they belong, what they used, what that cost."""

# What the loggers return may be awaited, and need not be.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import gc
import uuid
from decimal import Decimal
from typing import Any

import pytest

from tachograph import run, step
from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted
from tachograph.events.usage import Cost, Usage
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
from tachograph.record import scope
from tachograph.testing import Captured


def test_a_call_keeps_what_was_said(events: Captured) -> None:
    """Start and end events hold all of it, and so does the row."""
    logger = LLMCallLogger()
    with (
        run("desk") as desk,
        logger.log_llm_call("openai", "gpt-4", prompt="hi", report_id="r", completion_id=uuid.UUID(int=1),
                            metadata={"m": 1}) as call,
    ):  # fmt: skip
        call.response, call.input_tokens, call.output_tokens, call.chunks_count = "yo", 1500, 500, 7
        call.metadata = {"n": 2}
    started, ended = events.of(CallStarted)[0].body, events.of(CallEnded)[0].body
    assert (started.provider, started.model, started.operation, started.streaming, started.purpose) == (
        "openai", "gpt-4", "chat", False, None,
    )  # fmt: skip
    assert started.refs == {"report_id": "r", "completion_id": str(uuid.UUID(int=1))}
    assert (started.metadata.text, ended.metadata.text) == ('{"m":1}', '{"m":1,"n":2}')
    assert (ended.usage, ended.cost, ended.chunks) == (Usage(1500, output=500, basis="instrumentation"), None, 7)
    assert [event.body.message.text for event in events.of(MessageAppended)] == [
        '{"role":"user","content":"hi"}', '{"role":"assistant","content":"yo"}',
    ]  # fmt: skip
    timeless = {name: value for name, value in call.as_dict().items() if not name.endswith(("_time", "_at"))}
    assert timeless == {
        "id": call.id, "execution_log_id": desk.id, "provider": "openai", "model_id": "gpt-4",
        "call_type": "inference", "status": "completed", "duration_ms": call.duration_ms, "prompt": "hi",
        "response": "yo", "error_message": None, "input_tokens": 1500, "output_tokens": 500, "total_tokens": 2000,
        "input_cost": 0.045, "output_cost": 0.03, "total_cost": 0.075, "is_streaming": False, "chunks_count": 7,
        "metadata": {"m": 1, "n": 2}, "report_id": "r", "completion_id": uuid.UUID(int=1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call_type", "is_streaming", "wanted"),
    [
        ("inference", False, ("chat", False, None)),
        ("inference", True, ("chat", True, None)),
        ("inference_stream", False, ("chat", True, None)),
        ("embedding", False, ("embedding", False, None)),
        ("summarise", False, ("chat", False, "summarise")),
    ],
)
def test_a_type_of_call(events: Captured, call_type: str, is_streaming: bool, wanted: tuple[Any, ...]) -> None:
    """Streamed or not; operations by their name; any other word is kept as what the call is for."""
    with LLMCallLogger().log_llm_call("openai", "m", call_type, is_streaming=is_streaming) as call:
        pass
    started = events.of(CallStarted)[0].body
    assert (started.operation, started.streaming, started.purpose) == wanted
    assert call.is_streaming == wanted[1]


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        (None, []),
        ("hi", ['{"role":"user","content":"hi"}']),
        ({"role": "system", "content": "x"}, ['{"role":"system","content":"x"}']),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
         ['{"role":"user","content":"a"}', '{"role":"user","content":"b"}']),
        (7, ["7"]),
    ],
)  # fmt: skip
def test_a_prompt_becomes_messages(events: Captured, prompt: Any, messages: list[str]) -> None:
    """A text is the user's message, a list of messages stays one."""
    with LLMCallLogger().log_llm_call("openai", "m", prompt=prompt):
        pass
    assert [event.body.message.text for event in events.of(MessageAppended)] == messages


def test_a_call_belongs_where_it_happens_or_where_it_is_told(events: Captured) -> None:
    """Inside an execution below that; given the id or the row of an open one, below that one instead."""
    executions, calls = ExecutionLogger(), LLMCallLogger()
    main = executions.start_execution("main_agent", "main_execution")
    other = executions.start_execution("planner", "plan")
    here = calls.start_llm_call("openai", "m")
    by_id = calls.start_llm_call("openai", "m", execution_log_id=main.id)
    by_uuid = calls.start_llm_call("openai", "m", execution_log_id=uuid.UUID(main.id))
    by_row = calls.start_llm_call("openai", "m", execution_log_id=main)
    beside = calls.start_llm_call("openai", "m")
    assert [call.execution_log_id for call in (here, by_id, by_uuid, by_row, beside)] == [
        other.id, main.id, main.id, main.id, other.id,
    ]  # fmt: skip
    for call in (here, by_id, by_uuid, by_row, beside):
        calls.end_llm_call(call)
    executions.end_execution(other)
    executions.end_execution(main)
    assert len(events.of(RunStarted)) == 1


@pytest.mark.parametrize("inside", [False, True])
def test_an_execution_that_is_unknown_here_names_a_run_of_the_call_s_own(events: Captured, inside: bool) -> None:
    """Its text is the execution id under which the call is found; the run ends with the call."""
    calls = LLMCallLogger()
    desk = run("desk")
    if inside:
        desk.enter(None)
    with calls.log_llm_call("openai", "m", execution_log_id="exec_123") as call:
        pass
    desk.leave()
    own = events.of(RunStarted)[int(inside)]
    assert (own.body.name, own.body.execution_id, call.execution_id) == ("m", "exec_123", "exec_123")
    assert own.body.parent_run == (desk.run_id if inside else None)
    assert (call.run_id, call.execution_log_id) == (own.run, own.run)
    assert [event.body.status for event in events.of(RunEnded)] == ["completed"] * (1 + inside)


def test_a_call_that_nobody_can_end_is_cancelled(events: Captured) -> None:
    """Its row is gone: it does not stay started."""
    LLMCallLogger().start_llm_call("openai", "m")
    gc.collect()
    scope.recorder().settle_late()
    assert [event.body.status for event in events.of(CallEnded)] == ["cancelled"]


def test_an_execution_that_is_over_still_groups(events: Captured) -> None:
    """Its row knows the execution id; its id alone is all that is left of it here."""
    executions, calls = ExecutionLogger(), LLMCallLogger()
    with executions.log_execution("planner", "plan") as over:
        pass
    with calls.log_llm_call("openai", "m", execution_log_id=over) as by_row:
        pass
    with calls.log_llm_call("openai", "m", execution_log_id=over.id) as by_id:
        pass
    assert (by_row.execution_id, by_id.execution_id) == (over.execution_id, over.id)


def test_calls_that_overlap_are_not_inside_each_other(events: Captured) -> None:
    """Started by hand, a call does not surround what follows; as a block it does."""
    calls = LLMCallLogger()
    with run("desk") as desk:
        one, two = calls.start_llm_call("openai", "m"), calls.start_llm_call("openai", "m")
        with step("between"):
            pass
        calls.end_llm_call(one)
        calls.end_llm_call(two)
        with calls.log_llm_call("openai", "m") as block, step("within") as within:
            pass
    assert (one.execution_log_id, two.execution_log_id, within.parent_id) == (desk.id, desk.id, block.id)


def test_what_the_wire_says_is_kept_too(events: Captured) -> None:
    """Parameters and tier at the start; who answered, under which ids, at which price, at the end."""
    logger = LLMCallLogger()
    with logger.log_llm_call("openai", "m", params={"max_tokens": 5}, tier="flex") as call:
        call.finish_reason, call.served_model, call.served_tier = "length", "m-1", "default"
        call.response_id, call.request_id, call.http_status = "c1", "r1", 200
        call.reported_cost, call.sent = Decimal("0.25"), True
    started, ended = events.of(CallStarted)[0].body, events.of(CallEnded)[0].body
    assert (started.params.text, started.tier) == ('{"max_tokens":5}', "flex")
    assert (ended.finish_reason, ended.served_model, ended.served_tier) == ("length", "m-1", "default")
    assert (ended.response_id, ended.request_id, ended.http_status) == ("c1", "r1", 200)
    assert ended.reported_cost == 250_000_000


def test_usage_of_a_provider_tells_more_than_two_counts(events: Captured) -> None:
    """Its object is read in classes and counts first; one that says nothing leaves the counts."""
    calls = LLMCallLogger()
    said = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    for usage in (said, {}, None):
        call = calls.start_llm_call("openai", "gpt-4o")
        calls.end_llm_call(call, input_tokens=99, output_tokens=9, usage=usage)
        assert (call.input_tokens, call.output_tokens, call.total_tokens) == ((10, 5, 15) if usage else (99, 9, 108))
    assert [event.body.usage for event in events.of(CallEnded)] == [
        Usage(6, 4, None, 5, basis="provider"), *[Usage(99, output=9, basis="instrumentation")] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("count", ["many", -1, 2**60, float("inf"), object()])
def test_what_is_no_count_is_missing(events: Captured, count: Any) -> None:
    """Never 0, and never a reason to lose the call."""
    with LLMCallLogger().log_llm_call("openai", "gpt-4") as call:
        call.input_tokens, call.output_tokens = count, "5"  # type: ignore[assignment]
    assert events.of(CallEnded)[0].body.usage == Usage(output=5, basis="instrumentation")
    assert (call.input_tokens, call.output_tokens, call.total_tokens, call.total_cost) == (None, 5, None, None)


def test_late_figures_are_metered(events: Captured) -> None:
    """Before the end they are part of it; afterwards an event of their own, and the row follows."""
    calls = LLMCallLogger()
    call = calls.start_llm_call("openai", "gpt-4")
    calls.update_token_usage(call, 1, 1)
    assert call.total_cost is None
    calls.end_llm_call(call, response="ok")
    calls.update_token_usage(call, 1500, 500)
    assert (events.of(CallEnded)[0].body.usage.output, events.of(CallMetered)[0].body) == (
        1, CallMetered(call=1, usage=Usage(1500, output=500, basis="instrumentation")),
    )  # fmt: skip
    assert call.as_dict().items() >= {"input_tokens": 1500, "output_tokens": 500, "total_cost": 0.075}.items()


def test_a_stated_price_is_the_cost(events: Captured) -> None:
    """In the end event and in what is metered later; other models are left to the price list."""
    calls = LLMCallLogger()
    calls.token_prices["custom-model"] = {"input": 0.001, "output": 0.002}
    call = calls.start_llm_call("mine", "custom-model")
    calls.end_llm_call(call, input_tokens=1000, output_tokens=1000)
    assert (call.input_cost, call.output_cost, call.total_cost) == (0.001, 0.002, 0.003)
    calls.update_token_usage(call, 2000, 0)
    other = calls.end_llm_call(calls.start_llm_call("mine", "custom-model-2"), input_tokens=1, output_tokens=1)
    end, late = events.of(CallEnded)[0].body, events.of(CallMetered)[0].body
    assert end.cost == Cost(
        "priced", 1_000_000, 2_000_000, 3_000_000, price_id="program:override:custom-model", price_date="2023-11-14"
    )
    assert (late.cost.total, call.total_cost) == (2_000_000, 0.002)
    assert (events.of(CallEnded)[1].body.cost, other.total_cost) == (None, None)


def test_a_run_that_ends_first_takes_the_call_with_it_but_not_its_tokens(events: Captured) -> None:
    """The call is abandoned with its run; what it used is counted when it says so."""
    executions, calls = ExecutionLogger(), LLMCallLogger()
    execution = executions.start_execution("planner", "plan")
    call = calls.start_llm_call("openai", "gpt-4", execution_log_id=execution.id)
    executions.end_execution(execution)
    calls.end_llm_call(call, response="late", input_tokens=3, output_tokens=2)
    assert [event.body.status for event in events.of(CallEnded)] == ["abandoned"]
    assert [event.body.usage for event in events.of(CallMetered)] == [Usage(3, output=2, basis="instrumentation")]
