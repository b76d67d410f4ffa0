from __future__ import annotations

from typing import Any

import pytest

from tachograph.wire.sessions import swe_agent
from tachograph.wire.sessions.draft import Origin, Problem
from tests.wire.recordings import Facts
from tests.wire.samples import encoded, outcome, read, swe_trajectory, tools, transcript


def test_a_step_is_a_call_and_the_action_it_led_to() -> None:
    """The action's first word is the tool, the next message its result; how long it ran is the only time there is."""
    (run,) = read(swe_agent.read, [swe_trajectory()], Origin("a.traj", at=10**18))
    assert len(Facts([run]).calls) == 2
    assert tools(run) == [
        ("open", None, "open till.py\n", "completed", "1: print(1)"),
        ("submit", None, "submit\n", "completed", "done"),
    ]
    assert [message["content"] for message in transcript(run)] == [
        "Work.",
        "Fix it.",
        "Let me look.",
        "1: print(1)\n$",
        "Good.",
    ]
    assert (run.events[0].at, run.events[-1].mono) == (10**18, 2 * 10**9)
    assert outcome(run) == ("completed", "final_answer", "diff")
    start = Facts([run]).starts[0]
    assert start.input is not None
    assert start.metadata is not None
    assert start.input.value() == "Fix it."
    assert start.metadata.value() == {
        "environment": "shop",
        "exit_status": "submitted",
        "model_stats": {"api_calls": 2},
    }


def test_function_calls_are_read_as_such() -> None:
    """Newer files name the tool and its arguments, and pair results by a list of ids."""
    record = swe_trajectory()
    record["history"][2]["tool_calls"] = [{"id": "c1", "function": {"name": "open", "arguments": '{"path":"till.py"}'}}]
    record["history"][3] = {"role": "tool", "content": "1: print(1)", "tool_call_ids": ["c1"]}
    assert tools(read(swe_agent.read, [record])[0])[0] == (
        "open",
        "c1",
        {"path": "till.py"},
        "completed",
        "1: print(1)",
    )


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({"agent": {"model": {"name": "gpt-4o"}}}, ("openai", "gpt-4o")),
        ('{"agent": {"model": {"name": "claude-sonnet-4"}}}', ("anthropic", "claude-sonnet-4")),
        ("not json", ("unknown", "unknown")),
        (None, ("unknown", "unknown")),
    ],
)
def test_the_configuration_names_the_model(config: Any, model: tuple[str, str]) -> None:
    """As an object, or as JSON in a string; otherwise nobody knows."""
    runs = read(swe_agent.read, [{**swe_trajectory(), "replay_config": config}])
    assert {(start.provider, start.model) for start, _ in Facts(runs).calls} == {model}


@pytest.mark.parametrize(
    ("exit_status", "wanted"),
    [
        ("submitted", ("completed", "final_answer", "diff")),
        ("submitted (exit_cost)", ("failed", "cost_budget", "diff")),
        ("exit_context", ("failed", "token_budget", "diff")),
        ("exit_format", ("failed", "schema_failed", "diff")),
        ("exit_error", ("failed", "internal_error", "diff")),
        (None, ("abandoned", "process_died", "diff")),
    ],
)
def test_the_exit_status_is_told_in_our_words(exit_status: str | None, wanted: tuple[str, str, str]) -> None:
    """What was cut off has failed, even where a submission was saved; without a status it broke off."""
    record = swe_trajectory()
    record["info"]["exit_status"] = exit_status
    assert outcome(read(swe_agent.read, [record])[0]) == wanted


def test_demonstrations_are_messages_and_nothing_else() -> None:
    """What a demonstration's assistant says is no call of this run, and its task is not this one."""
    record = swe_trajectory()
    record["history"][1:1] = [
        {"role": "user", "content": "A demo.", "is_demo": True},
        {"role": "assistant", "content": "See.", "action": "ls", "is_demo": True},
    ]
    (run,) = read(swe_agent.read, [record])
    assert (len(Facts([run]).calls), len(tools(run)), len(transcript(run))) == (2, 2, 7)
    assert Facts([run]).starts[0].input.value() == "Fix it."


def test_a_file_of_another_shape_is_a_problem() -> None:
    """No history, or one that is no list of messages: reported, not raised."""
    found = list(swe_agent.read(encoded([{"trajectory": []}, {"history": [3]}, b"["]), Origin("x.traj")))
    assert [item.line for item in found if isinstance(item, Problem)] == [1, 2, 3]
