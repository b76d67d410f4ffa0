from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.call import CallStarted
from tachograph.events.note import Note, Score
from tachograph.events.run import Failure, StepEnded, StepStarted
from tachograph.events.usage import Usage
from tachograph.wire.sessions import openhands
from tachograph.wire.sessions.draft import Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import Record, openhands_record, outcome, read, tools, transcript


def _run(record: Record) -> Recorded:
    (run,) = read(openhands.read, [record])
    return run


def test_actions_name_the_reply_they_came_from() -> None:
    """Each reply is one call, with usage, cost and duration from the metrics; tools are as the model asked for them."""
    run = _run(openhands_record())
    ((started, ended),) = Facts([run]).calls
    assert (started.provider, started.model, ended.reported_cost) == ("openai", "gpt-4.1", 500_000_000)
    assert ended.usage == Usage(input_uncached=50, output=5, basis="provider")
    assert started.tools is not None
    assert started.tools.value() == [{"name": "execute_bash"}]
    assert [event.mono / 1e9 for event in run.events if isinstance(event.body, CallStarted)] == [3.5]
    assert tools(run) == [("execute_bash", "t1", {"command": "make"}, "failed", "boom")]
    assert [message["role"] for message in transcript(run)] == ["system", "user", "assistant", "tool"]
    start = Facts([run]).starts[0]
    assert (start.agent_type, start.input and start.input.value()) == ("CodeActAgent", "Fix it.")
    assert start.metadata is not None
    assert start.metadata.value() == {"instance": "shop-1", "model": "openai/gpt-4.1"}


def test_actions_no_model_asked_for_are_steps() -> None:
    """A recall is a retrieval with what it found; an error beside the steps is a note."""
    record = openhands_record()
    record["history"].append({"id": 9, "timestamp": "2026-04-05T06:00:09", "observation": "error", "content": "lost"})
    run = _run(record)
    steps = [event.body for event in run.events if isinstance(event.body, StepStarted | StepEnded)]
    assert [getattr(body, "kind", None) for body in steps] == ["retrieval", None]
    assert steps[1].output is not None
    assert steps[1].output.value() == "nothing known"
    assert [event.body.name for event in run.events if isinstance(event.body, Note)] == ["error"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("RuntimeError: Agent reached maximum iteration", "max_iterations"),
        ("AgentStuckInLoopError: Agent got stuck", "tool_loop"),
        ("ConnectionError: gone", "internal_error"),
    ],
)
def test_an_error_is_why_the_run_failed(error: str, reason: str) -> None:
    """Limits that OpenHands enforces have their own reasons; any other error is internal; the verdict is a score."""
    run = _run({**openhands_record(), "error": error})
    assert outcome(run) == ("failed", reason, None)
    assert Facts([run]).ends[0].error == Failure(error.partition(":")[0], error)
    assert [(e.body.name, e.body.value) for e in run.events if isinstance(e.body, Score)] == [("resolved", 0.0)]


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (
            {"action": "finish", "args": {"final_thought": "", "thought": "All done."}},
            ("completed", "final_answer", "All done."),
        ),
        ({"action": "finish", "args": {}}, ("completed", "final_answer", "")),
        (
            {"action": "message", "source": "agent", "args": {"content": "Shall I?"}},
            ("completed", "final_answer", "Shall I?"),
        ),
        ({"action": "message", "source": "user", "args": {"content": "Go on."}}, ("abandoned", "process_died", None)),
    ],
    ids=["finish with a thought", "finish in silence", "the agent speaks", "the user speaks"],
)
def test_how_a_run_without_an_error_ends(last: Record, wanted: tuple[str, str, Any]) -> None:
    """Finishing, or words of the agent, complete a run; anything else breaks off."""
    record = {**openhands_record(), "error": None}
    record["history"] = [*record["history"], {"id": 9, "timestamp": "2026-04-05T06:00:09", "source": "agent", **last}]
    assert outcome(_run(record)) == wanted


def test_two_actions_of_one_reply_are_one_call() -> None:
    """A reply that asks for two tools is seen with each action, and counted once."""
    record = openhands_record()
    first = record["history"][4]
    asked = first["tool_call_metadata"]["model_response"]["choices"][0]["message"]["tool_calls"]
    asked.append({"id": "t9", "type": "function", "function": {"name": "think", "arguments": "{}"}})
    second = {**first, "id": 8, "tool_call_metadata": {**first["tool_call_metadata"], "tool_call_id": "t9"}}
    record["history"] += [second, {"id": 10, "observation": "think", "cause": 8, "content": "noted"}]
    run = _run(record)
    assert len(Facts([run]).calls) == 1
    assert [(name, state) for name, _, _, state, _ in tools(run)] == [
        ("execute_bash", "failed"),
        ("think", "completed"),
    ]
