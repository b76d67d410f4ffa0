"""The door: what each kind of step records, on every way out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tachograph import LLMCall, ToolCall, Usage, run, step
from tachograph.events import chat
from tachograph.events.call import CallEnded, CallMetered, CallStarted, Timeline
from tachograph.events.content import inline
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score
from tachograph.events.run import StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost
from tachograph.fold.transcript import collect
from tachograph.queries.transcript import exchange
from tachograph.testing import Captured
from tests.record.shapes import shapes


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


def test_a_step_transcribes_a_conversation_once(events: Captured) -> None:
    """What is recorded already is named; what is new goes behind it, and a call that follows says nothing twice."""
    talk: list[Any] = [{"role": "user", "content": text} for text in "abc"]
    with run("desk"), step("tidy", kind="compaction") as tidying:
        nodes = [tidying.transcribe(talk[:2]), tidying.transcribe(talk), tidying.transcribe(talk[:2])]
        nodes += [tidying.transcribe([talk[0], talk[2]]), tidying.transcribe([])]
        with step(LLMCall("m", talk)):
            pass
    assert nodes == [3, 4, 3, 5, None]
    found = [(event.seq, event.body.parent) for event in events.of(MessageAppended)]
    assert found == [(2, None), (3, 2), (4, 3), (5, 2)]
    assert events.of(CallStarted)[0].body.input == 4
    assert step("never entered").transcribe(talk) is None


def test_a_stream_keeps_first_token_chunks_timeline_and_text(events: Captured) -> None:
    """A keep-alive counts as a chunk, not as content; the text is the reply."""
    with run("desk"), step(LLMCall("m", streaming=True)) as call:
        for text in (None, "he", "llo"):
            call.add(text)
    message, ended = events.of(MessageAppended)[0].body, events.of(CallEnded)[0].body
    assert message.message.text == '{"role":"assistant","content":"hello"}'
    assert (ended.chunks, ended.first_token_ns, ended.usage) == (3, 3_000_000, Usage())
    assert ended.timeline == Timeline(1, (2_000, 1_000, 1_000))


def test_chunks_that_somebody_else_counted(events: Captured) -> None:
    """A figure that is set stands, whatever was handed to `add`."""
    with run("desk"), step(LLMCall("m", streaming=True)) as call:
        call.add("a")
        call.chunks = 7
    assert events.of(CallEnded)[0].body.chunks == 7


def test_a_program_can_price_its_own_calls(events: Captured) -> None:
    """The cost is in the end event and says that no price list made it."""
    for price_id, said in (("", "program"), ("mine", "program:mine"), ("program:x", "program:x")):
        with run("desk"), step(LLMCall("m")) as call:
            call.cost = Cost("priced", total=5, price_id=price_id)
        assert events.of(CallEnded)[-1].body.cost == Cost("priced", total=5, price_id=said)


def test_a_call_can_be_metered_before_and_after_its_end(events: Captured) -> None:
    """Before, the figures are part of its end; afterwards each is an event of its own, even when the run is over."""
    early, late = Usage(1, output=2, basis="estimated"), Usage(3, output=4, basis="provider")
    with run("desk"):
        with step(LLMCall("m")) as call:
            call.meter(early)
        call.meter(late, Cost("priced", total=9))
    call.meter(late)
    call.meter(Usage())
    assert events.of(CallEnded)[0].body == CallEnded(status="completed", usage=early)
    assert [(event.step, event.body) for event in events.of(CallMetered)] == [
        (1, CallMetered(call=1, usage=late, cost=Cost("priced", total=9, price_id="program"))),
        (1, CallMetered(call=1, usage=late)),
    ]
    assert shapes(events)[-3:] == [("CallMetered", 1), ("RunEnded", 0), ("CallMetered", 1)]
    step(LLMCall("never entered")).meter(late)


def test_tokens_of_a_call_that_outlives_its_run_are_not_lost(events: Captured) -> None:
    """The run closed it as abandoned; what it used is money spent, and is said when it ends."""
    call = step(LLMCall("m"))
    with run("desk"):
        call.enter(None)
    call.usage = Usage(1, output=2, basis="provider")
    call.leave()
    assert shapes(events)[-3:] == [("CallEnded", 1), ("RunEnded", 0), ("CallMetered", 1)]
    assert (events.of(CallEnded)[0].body.status, events.of(CallMetered)[0].body.usage.output) == ("abandoned", 2)


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


def test_frozen_messages_are_recorded_in_their_plain_form(events: Captured) -> None:
    """As OpenAI chat completions spell them, each once, the reply too."""
    look = chat.ToolUse("c1", "look", "{}")
    talk = [chat.system("be brief"), chat.user("hi")]
    with run("desk"):
        with step(LLMCall("gpt-4o", talk)) as call:
            call.reply = chat.assistant("", look)
        talk += [call.reply, chat.result(look, "nothing")]
        with step(LLMCall("gpt-4o", talk)):
            pass
    said = events.of(MessageAppended)
    assert [event.body.role for event in said] == ["system", "user", "assistant", "tool"]
    assert [event.body.parent for event in said] == [None, 1, 2, 4]
    assert said[2].body.message.text == (
        '{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",'
        '"function":{"name":"look","arguments":"{}"}}]}'
    )


def test_reminders_stand_behind_one_request_and_nowhere_else(events: Captured) -> None:
    """The call's input ends with them; its reply, and the next request, follow what was said before them."""
    talk: list[Any] = [{"role": "user", "content": "hi"}]
    note = {"role": "user", "content": "be quick"}
    with run("desk"):
        for reply in ("hello", "bye"):
            with step(LLMCall("gpt-4o", list(talk), reminders=[note, chat.user("and kind")])) as call:
                call.reply = reply
            talk += [{"role": "assistant", "content": reply}, {"role": "user", "content": "more"}]
    said = [(event.seq, event.body.parent, event.body.ephemeral) for event in events.of(MessageAppended)]
    assert said == [
        (1, None, False), (2, 1, True), (3, 2, True), (5, 1, False),
        (7, 5, False), (8, 7, True), (9, 8, True), (11, 7, False),
    ]  # fmt: skip
    starts = [body for event in events if isinstance(body := event.body, CallStarted)]
    ended = [body for event in events if isinstance(body := event.body, CallEnded)]
    assert ([body.input for body in starts], [body.output for body in ended]) == ([3, 9], [5, 11])
    tree = collect(events)
    assert tree.tips == (11,)
    assert [[message.node for message in part] for part in exchange(tree, starts[1], ended[1])] == [
        [1, 5, 7, 8, 9], [11],
    ]  # fmt: skip


def test_a_request_of_reminders_alone_has_them_as_its_input(events: Captured) -> None:
    """They have nothing to stand behind."""
    with run("desk"), step(LLMCall("gpt-4o", reminders=["wake up"])) as call:
        call.reply = "yes"
    assert [(event.body.parent, event.body.ephemeral) for event in events.of(MessageAppended)] == [
        (None, True), (None, False),
    ]  # fmt: skip
    assert events.of(CallStarted)[0].body.input == 1
