from __future__ import annotations

from typing import Any

from tachograph.agent.runner.spans import Naming, Span, inline, spans
from tachograph.events.content import Content
from tachograph.fold.handoffs import Handing
from tachograph.record.intent import LLMCall, ToolCall
from tachograph.record.run import run
from tachograph.record.step import step
from tachograph.testing import Captured

NAMING = Naming(name="t", tags=())


def tree(span: Span) -> Any:
    """Names, nested."""
    return [span.name, *(tree(child) for child in span.children)]


def called(model: str = "m") -> None:
    """A model call that is recorded."""
    with step(LLMCall(model, [{"role": "user", "content": "go"}], "p")) as call:
        call.reply = {"role": "assistant", "content": "done"}


def worked(agent: str) -> None:
    """An iteration of an agent."""
    with step("iteration", kind="iteration", agent_type=agent):
        called()


def test_each_agents_part_is_a_span_of_its_own(events: Captured) -> None:
    """After a hand-off another agent's span follows, and the hand-off is an event of the root."""
    with run("desk", agent_type="Ana Bot"):
        worked("Ana Bot")
        with step("iteration", kind="iteration", agent_type="Ana Bot"):
            called()
            with (
                step(ToolCall("handoff_to_daniela", {})),
                step("handoff", kind="handoff", input={"from": "Ana Bot", "to": "Daniela", "reason": "a booking"}),
            ):
                pass
        with step("Daniela", kind="agent", agent_type="Daniela"):
            worked("Daniela")
    (root,) = spans(events, NAMING)
    assert tree(root) == [
        "t",
        ["t.agent.ana_bot", ["t.generation"], ["t.generation"], ["t.tool.handoff_to_daniela"]],
        ["t.agent.daniela", ["t.generation"]],
    ]
    assert [(mark.name, mark.attributes) for mark in root.marks] == [
        ("t.handoff", {"handoff.from": "ana_bot", "handoff.to": "daniela", "handoff.reason": "a booking"}),
    ]  # fmt: skip


def test_other_moments_are_events_of_the_root(events: Captured) -> None:
    """A person who is asked, a guardrail, a compaction, a retry, each with what is known of it and nothing more."""
    with run("desk", agent_type="ana") as record:
        with step("faq", kind="guardrail", input="what was said"), step("compact", kind="compaction"):
            pass
        record.note("llm_retry_attempt", {"attempt": 1, "category": "rate_limit", "delay": 0.5, "message": "words"})
        handing = Handing(effect_id="e", cause="limit", metric="deadline", reason="words", state="applied")
        record.note("handoff_requested", handing.facts())
        record.note("handoff_applied", handing.facts())
        record.note("handoff_failed", {"kind": "other"})
        record.note("llm_retry_attempt", "no facts")
        record.note("anything", {})
        with step("person", kind="handoff", action_type="person", input=handing.facts()):
            pass
    (root,) = spans(events, NAMING)
    assert [(mark.name, mark.attributes) for mark in root.marks] == [
        ("t.retry", {"retry.attempt": 1, "retry.category": "rate_limit", "retry.delay": 0.5}),
        ("t.handoff", {"handoff.to": "person", "handoff.reason": "deadline", "handoff.state": "applied"}),
        ("t.retry", {}),
        ("t.guardrail", {"guardrail.name": "faq"}),
        ("t.compaction", {"compaction.name": "compact"}),
    ]  # fmt: skip


def test_calls_of_other_steps_are_found(events: Captured) -> None:
    """A model call inside a step of any kind is a generation of the agent at work; steps without any are no spans."""
    with run("desk", agent_type="ana"):
        with step("nothing"):
            pass
        with step("summarise", kind="compaction"):
            called()
        worked("ana")
    (root,) = spans(events, NAMING)
    assert tree(root) == ["t", ["t.agent.ana", ["t.generation"], ["t.generation"]]]


def test_a_run_that_is_not_over(events: Captured) -> None:
    """What is open reaches to the last event, and the root says that it is unfinished."""
    record = run("desk", agent_type="ana")
    with record:
        worked("ana")
        (root,) = spans(events, NAMING)
    assert (root.error, root.children[0].error) == ("unfinished", "")
    assert root.end >= root.children[0].end
    assert all(inner.begin >= root.begin and inner.end <= root.end for inner in root.walk())


def test_runs_that_hang_nowhere_are_roots(events: Captured) -> None:
    """Two runs are two roots; a run below a step is none; events without a start are nothing."""
    with run("a"), step("inner"), run("b"):
        pass
    with run("c"):
        called()
    assert len(spans(events, NAMING)) == 2
    assert spans(events[1:2], NAMING) == []


def test_failures_are_named_by_their_class(events: Captured) -> None:
    """A tool that failed says by what, one that was refused that it was; a root says why the run ended."""
    with run("desk", agent_type="ana") as record, step("iteration", kind="iteration", agent_type="ana"):
        with step(ToolCall("refused", {})) as call:
            call.reject("no")
        with step(ToolCall("broken", {})) as broken:
            broken.fail(KeyError("words"))
        record.stop("failed", "tool_error")
    (root,) = spans(events, NAMING)
    assert [span.error for span in root.walk()] == ["tool_error", "", "rejected", "KeyError"]


def test_damage_does_not_hide_the_rest(events: Captured) -> None:
    """Messages that are not there leave a generation without content; content that is no JSON says nothing."""
    with run("desk", agent_type="ana"):
        worked("ana")
    left = [event for event in events if type(event.body).__name__ != "MessageAppended"]
    (root,) = spans(left, Naming(name="t", content=True))
    assert "langfuse.observation.input" not in root.children[0].children[0].attributes
    assert (inline(Content(text="{")), inline(Content(hash="00")), inline(None)) == (None, None, None)
