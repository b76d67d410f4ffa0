from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.note import Note, Score
from tachograph.events.usage import Usage
from tachograph.wire.sessions import tau
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import encoded, outcome, read, tau2_simulation, tau_result, tools, transcript


def _scores(run: Recorded) -> list[tuple[str, float | None, str]]:
    return [(e.body.name, e.body.value, e.body.kind) for e in run.events if isinstance(e.body, Score)]


def test_agent_and_customer_are_told_apart() -> None:
    """The agent's calls have iterations, the customer's have none; tools are their side's; the greeting is no call."""
    (run,) = read(tau.read, [tau2_simulation()])
    agent, user = Facts([run], "agent"), Facts([run], "user")
    assert [start.iteration for start, _ in agent.calls] == [1, 2, 3]
    assert [start.iteration for start, _ in user.calls] == [None, None, None]
    assert [(tool.name, tool.iteration) for tool, _ in agent.tools] == [("look_up", 1), ("look_up", 2)]
    assert [(tool.name, tool.iteration) for tool, _ in user.tools] == [("restart", None)]
    assert len(transcript(run)) == len(tau2_simulation()["messages"])


def test_a_repeated_id_is_answered_by_position() -> None:
    """The provider gave every call the same id: each result goes to the call before it."""
    (run,) = read(tau.read, [tau2_simulation()])
    assert [(name, state, result) for name, _, _, state, result in tools(run)] == [
        ("look_up", "completed", "one"),
        ("look_up", "failed", "two"),
        ("restart", "completed", "ok"),
    ]


def test_usage_cost_times_and_scores_are_kept() -> None:
    """What each message used and cost, when it came, how the benchmark judged, and the seeds of the run."""
    (run,) = read(tau.read, [tau2_simulation()])
    started, ended = Facts([run], "agent").calls[0]
    assert (started.provider, started.model, ended.finish_reason, ended.response_id) == (
        "openai",
        "gpt-4.1",
        "stop",
        "r",
    )
    assert (ended.usage, ended.reported_cost) == (Usage(input_uncached=10, output=2, basis="provider"), 1_000_000)
    assert [event.mono // 10**9 for event in run.events if event.body == started] == [2]
    assert (run.events[-1].at - run.events[0].at) == 20 * 10**9
    assert _scores(run) == [("reward", 1.0, "benchmark"), ("reward.DB", 1.0, "benchmark")]
    assert [event.body.name for event in run.events if isinstance(event.body, Note)] == ["reward_info"]
    metadata = Facts([run]).starts[0].metadata
    assert metadata is not None
    assert metadata.value() == {
        "task": "7", "trial": 0, "seed": 3, "user_cost": 0.002, "agent_cost": 0.003, "termination": "user_stop",
    }  # fmt: skip


def test_messages_are_kept_without_the_bookkeeping() -> None:
    """What was said and asked stays as it was written; usage, cost and raw replies are told by the call."""
    (run,) = read(tau.read, [tau2_simulation()])
    assert transcript(run)[2] == {
        "role": "assistant",
        "tool_calls": [{"id": "same", "name": "look_up", "arguments": {"n": 1}, "requestor": "assistant"}],
    }


@pytest.mark.parametrize(
    ("reason", "words", "wanted"),
    [
        ("user_stop", "bye ###STOP###", ("completed", "final_answer")),
        ("user_stop", "###TRANSFER###", ("completed", "human_handoff")),
        ("agent_stop", "bye", ("completed", "final_answer")),
        ("max_steps", "and?", ("failed", "max_iterations")),
        ("too_many_errors", "and?", ("failed", "tool_error")),
        ("agent_error", "and?", ("failed", "internal_error")),
        ("something_new", "and?", ("failed", "internal_error")),
        (None, "and?", ("failed", "internal_error")),
    ],
)
def test_termination_is_told_in_our_words(reason: str | None, words: str, wanted: tuple[str, str]) -> None:
    """Each reason the benchmark stops for has a status and a stop reason."""
    simulation = tau2_simulation()
    simulation["termination_reason"] = reason
    simulation["messages"][-1]["content"] = words
    assert outcome(read(tau.read, [simulation])[0])[:2] == wanted


def test_a_cost_of_zero_is_nobodys_price() -> None:
    """LiteLLM says 0 for models it has no price for: that is unknown."""
    simulation = tau2_simulation()
    for message in simulation["messages"]:
        message["cost"] = 0.0
    assert [end.reported_cost for _, end in Facts(read(tau.read, [simulation])).calls] == [None] * 6


def test_a_results_file_names_the_models() -> None:
    """Its head tells the models of both sides, where messages do not; else the file's name tells the agent's."""
    simulation = tau2_simulation()
    for message in simulation["messages"]:
        message["raw_data"] = None
    info = {"agent_info": {"llm": "claude-sonnet-4-5"}, "user_info": {"llm": "gpt-4.1"}}
    told = read(tau.read, [{"info": info, "simulations": [simulation]}])
    guessed = read(tau.read, [simulation], Origin("results/gpt-4.1_retail_default_1trials.json"))
    unknown = read(tau.read, [simulation], Origin("langchain_agent_airline.json"))
    models = [{start.model for start, _ in Facts(runs, "agent").calls} for runs in (told, guessed, unknown)]
    assert models == [{"claude-sonnet-4-5"}, {"gpt-4.1"}, {"unknown"}]
    assert {start.model for start, _ in Facts(told, "user").calls} == {"gpt-4.1"}


def test_the_older_benchmark_has_no_usage_and_no_times() -> None:
    """Each assistant message is a call with usage missing; all happens when the file was written."""
    (run,) = read(tau.read, [[tau_result()]], Origin("gpt-4o-airline.json", at=77))
    assert [(s.provider, s.model, end.usage.basis) for s, end in Facts([run]).calls] == [
        ("openai", "gpt-4o", "missing")
    ] * 2
    assert tools(run) == [("add", "c1", {"a": 1, "b": 2}, "completed", "3")]
    assert {event.at for event in run.events} == {77}
    assert outcome(run) == ("completed", "final_answer", "It is 3.")
    assert _scores(run) == [("reward", 1.0, "benchmark")]


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        ({"role": "tool", "name": "transfer_to_human_agents", "content": "ok"}, ("completed", "human_handoff")),
        ({"role": "user", "content": "and then?"}, ("failed", "max_iterations")),
    ],
)
def test_the_older_benchmark_ends_as_its_last_message_says(last: dict[str, Any], wanted: tuple[str, str]) -> None:
    """A transfer is a hand-off; without the customer's word of farewell the steps ran out."""
    result = tau_result()
    result["traj"][-1] = last
    assert outcome(read(tau.read, [result])[0])[:2] == wanted


def test_one_broken_conversation_does_not_cost_the_others() -> None:
    """A conversation of no known shape is a problem that says which one it is."""
    broken: list[Any] = [tau_result(), {"traj": [{"role": 3}], "reward": 1}, {"reward": 0}, tau_result()]
    found = list(tau.read(encoded([broken, b"{"]), Origin("r.json")))
    assert len({run.run for run in found if isinstance(run, Recorded)}) == 3
    problems = [(item.line, item.reason) for item in found if isinstance(item, Problem)]
    assert problems == [(1, "conversation 2: no messages"), (2, "not readable: Input data was truncated")]
