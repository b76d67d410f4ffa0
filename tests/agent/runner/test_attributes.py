from __future__ import annotations

import json

import pytest

from tachograph.agent.runner.attributes import generation, known, metadata, person, root, text_of, tool
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.run import Failure, RunEnded, RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.handoffs import Handing

STARTED = RunStarted(name="desk", execution_id="e", user="u-1")
ASKED = CallStarted(provider="openai", model="gpt-x", agent_type="Ana Bot")


@pytest.mark.parametrize(
    ("ended", "credit", "reason", "discarded"),
    [
        (RunEnded(status="completed", stop_reason="final_answer"), "true", "final_answer", "false"),
        (RunEnded(status="completed", stop_reason="human_handoff"), "false", "human_handoff", "false"),
        (RunEnded(status="completed", stop_reason="final_answer", discarded=True), "false", "final_answer", "true"),
        (RunEnded(status="completed", error=Failure("X")), "false", "completed", "false"),
        (RunEnded(status="failed", stop_reason="tool_loop"), "false", "tool_loop", "false"),
        (RunEnded(status="cancelled", stop_reason="superseded"), "false", "superseded", "false"),
    ],
)
def test_a_credit_is_what_the_core_says(ended: RunEnded, credit: str, reason: str, discarded: str) -> None:
    """Completed, not given to a person, not discarded, no error; all of it is text."""
    assert root("t", (), STARTED, None, ended) == {
        "langfuse.trace.name": "t", "langfuse.user.id": "u-1",
        "langfuse.trace.metadata.credit_used": credit,
        "langfuse.trace.metadata.stop_reason": reason,
        "langfuse.trace.metadata.discarded": discarded,
    }  # fmt: skip


def test_what_is_not_known_is_not_said() -> None:
    """No null, no empty text; what Langfuse keeps as metadata is text, false and 0 too."""
    facts = {"account_id": 0, "conversation_id": None}
    assert root("t", ("a",), RunStarted(name="d", execution_id="e"), facts, None) == {
        "langfuse.trace.name": "t", "langfuse.trace.tags": '["a"]', "langfuse.user.id": "0",
    }  # fmt: skip
    assert metadata({"a": None, "b": "", "c": False, "d": 0, "e": 1.5}) == {
        "langfuse.trace.metadata.c": "false", "langfuse.trace.metadata.d": "0", "langfuse.trace.metadata.e": "1.5",
    }  # fmt: skip
    assert known({"a": None, "b": "", "c": 0, "d": ["x"]}) == {"c": 0, "d": "['x']"}
    assert (text_of(True), text_of(None), text_of("x")) == ("true", "", "x")
    assert person(Handing(effect_id="e", cause="model", state="failed", reason="words")) == {
        "handoff.to": "person", "handoff.reason": "model", "handoff.state": "failed",
    }  # fmt: skip


def test_a_generation_that_failed_says_what_kind_of_error() -> None:
    """Its category, not its words; tokens that nobody gave are not there."""
    ended = CallEnded(status="failed", error=Failure("ModelError", "secret words", "rate_limit"))
    assert generation(ASKED, ended, ended.usage, None, None) == {
        "langfuse.observation.type": "generation", "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x", "agent.name": "ana_bot", "error.type": "rate_limit",
    }  # fmt: skip
    assert "error.type" not in generation(ASKED, None, None, None, None)


def test_usage_is_told_in_classes_that_do_not_overlap() -> None:
    """The sums are those of the conventions, the details those of Langfuse; a known cost goes with them."""
    usage = Usage(input_uncached=10, cache_read=4, cache_write=2, output=9, reasoning=3, basis="provider")
    ended = CallEnded(status="completed", served_model="gpt-x-1", response_id="r1", usage=usage)
    found = generation(ASKED, ended, usage, Cost(state="priced", total=1_500_000), "s")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (16, 9)
    assert (found["gen_ai.response.model"], found["gen_ai.response.id"]) == ("gpt-x-1", "r1")
    details = json.loads(found["langfuse.observation.usage_details"])
    assert details == {
        "input": 10, "input_cache_read": 4, "input_cache_creation": 2, "output": 6, "output_reasoning_tokens": 3,
        "total": 25,
    }  # fmt: skip
    assert sum(details[name] for name in details if name != "total") == details["total"]
    assert json.loads(found["langfuse.observation.cost_details"]) == {"total": 0.0015}


def test_a_tool_says_what_became_of_it() -> None:
    """Its state and the class of its error; one that is still at work says neither."""
    started = ToolStarted(name="look", call_id="c1", agent_type="ana")
    ended = ToolEnded(state="failed", error=Failure("KeyError", "secret"))
    assert tool(started, ended) == {
        "langfuse.observation.type": "tool", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": "c1", "agent.name": "ana", "error.type": "KeyError",
        "langfuse.observation.metadata.state": "failed",
    }  # fmt: skip
    assert "error.type" not in tool(started, None)
