"""Source document 1, the loop behind the trace: rows of its acceptance column, each with every path that it names.

| row | tests |
|---|---|
| llm_call, failed calls | here: 503, 503, 200; test_traced.py |
| tool_execution | test_traced.py::test_the_trace_has_everything_the_loop_did |
| tool_rejected | here: every refusal path is exactly one |
| loop_intervention | here: warn, block, skip |
| phase_change | here; test_loop.py::test_phases_follow_the_last_line_that_names_one |
| loop_complete | here: exactly one on every exit path |
| schema_retry | here: numbered, and what was sent |
| loop detection | here; limits/test_loops.py |
| loop never ends on detection | here: it ends |
| exit statuses | here: one script for each |
| profiles | test_rules.py::test_a_profile_states_figures_that_the_agent_may_state_itself |
| budget exit event | here: one event for each limit, with limit, value, threshold |
| LLM retry | here: 401 is not repeated |
| schema retry and nudge | here |
| budgets | here: a model without a price |
| cost | test_comparisons.py::test_what_a_run_cost_is_what_its_calls_cost |
| completion gates | here: refused, then accepted |
| tool lifecycle | test_laws.py: tools_end_once |
| refusal chain | here: not run, recorded, told, at each stage |
| parallel read-only prefix | here: all are authorised before one runs |
| result of a loop | test_laws.py: totals_are_sums |
| feedback to the model | here: each is a note with its kind |
| live event kinds | test_progress.py |
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tachograph.agent.hooks import Block, FinishAgent, Hooks, Reprompt
from tachograph.agent.rules import Phase
from tachograph.agent.spec import Verify
from tachograph.agent.tools.approval import Deny
from tachograph.agent.tools.tool import Tool
from tachograph.errors import LimitExceeded, ModelError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.tool import ToolEnded
from tachograph.fold.trace.event import kind_of
from tachograph.instrument import trace
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent
from tachograph.testing import Captured
from tests.agent.running import add, agent, ran, same

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing traced yet."""
    trace.reset_agent_trace_state()


def traced(kind: str) -> list[Any]:
    """The trace events of one kind, in order."""
    return [event for event in trace.peek_agent_trace() if kind_of(event) == kind]


def hooked(event: str, effect: Any, **how: Any) -> dict[str, Any]:
    """Fields of an agent with one hook."""
    hooks = Hooks()
    hooks.on(event, lambda moment: effect, **how)
    return {"hooks": hooks}


REFUSALS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "unknown tool": ([Call("nope"), "ok"], {}),
    "malformed arguments": ([Call("add", "{oops"), "ok"], {}),
    "unfit arguments": ([Call("add", {"a": "x", "b": 2}), "ok"], {}),
    "a tool of another phase": (
        [Call("add", {"a": 1, "b": 2}), "ok"],
        {"phases": (Phase("plan", tools=("same",)), Phase("act"))},
    ),
    "a hook": ([Call("same"), "ok"], hooked("pre_tool_use", Block("never"))),
    "a hook that fails": ([Call("same"), "ok"], hooked("pre_tool_use", 17)),
    "a hook that finishes": ([Call("same")], hooked("pre_tool_use", FinishAgent("over"))),
    "approval": ([Call("add", {"a": 1, "b": 2}), "ok"], {"approve": lambda asked: Deny("no")}),
    "nobody to approve": ([Call("add", {"a": 1, "b": 2}), "ok"], {"approve": None}),
    "the limit on tools": ([Call("same")], {"limits": "0 tool calls"}),
    "the limit on tools, one call": ([Call("same"), "ok"], {"limits": "0 tool calls: block"}),
    "the limit on tools, silently": ([Call("same"), "ok"], {"limits": "0 tool calls: skip"}),
    "the limit on tools, wrapping up": ([Call("same"), "ok"], {"limits": "0 tool calls: wrap_up"}),
}


@pytest.mark.parametrize("path", REFUSALS)
async def test_every_refusal_is_one_rejection_and_the_model_is_told(path: str, events: Captured) -> None:
    """The tool does not run; one `tool_rejected` with its reason, one end, one result in the conversation."""
    script, fields = REFUSALS[path]
    began: list[str] = []

    async def look() -> str:
        began.append("same")
        return "x"

    async def plus(a: int, b: int) -> int:
        began.append("add")
        return a + b

    tools = [Tool.of(look, name="same"), Tool.of(plus, name="add", approve="approve" in fields)]
    found = await ran(agent(script, tools=tools, **fields), events)
    assert began == []
    assert len(traced("tool_rejected")) == 1
    assert traced("tool_rejected")[0].reason
    assert traced("tool_execution") == []
    assert [event.body.state in ("rejected", "skipped") for event in events.of(ToolEnded)] == [True]
    results = [message.text for message in found.messages if message.role == "tool"]
    assert len(results) == 1
    assert results[0]


async def test_the_second_third_and_fourth_equal_call_are_interventions(events: Captured) -> None:
    """Warned, blocked, skipped, each in the trace with its count; in the end the run is stopped for it."""
    found = await ran(agent(lambda request: Call("same")), events)
    assert [(one.kind, one.count) for one in traced("loop_intervention")][:3] == [
        ("warn", 2), ("block", 3), ("skip", 4),
    ]  # fmt: skip
    assert (found.stop_reason, len(traced("tool_execution"))) == ("tool_loop", 2)


async def test_a_changed_result_begins_the_count_anew(events: Captured) -> None:
    """Same, same, other, same: nothing is refused but what repeats after the change."""
    said = iter(["a", "a", "b", "b", "b"])

    async def look() -> str:
        return next(said)

    calls = [Call("look")] * 2 + [Call("same")] + [Call("look")] * 2
    found = await ran(agent([*calls, "done"], tools=[look, same]), events)
    states = [event.body.state for event in events.of(ToolEnded)]
    assert (found.completed, states) == (True, ["completed"] * 5)


async def test_other_tools_in_between_do_not_reset_the_count(events: Captured) -> None:
    """A, B, A counts two."""
    script = [Call("same"), Call("add", {"a": 1, "b": 2}), Call("same"), "done"]
    await ran(agent(script), events)
    assert [(one.tool_name, one.kind, one.count) for one in traced("loop_intervention")] == [("same", "warn", 2)]


def _forever(request: Any) -> Any:
    return Call("add", {"a": len(request.messages), "b": 0})


EXITS: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "an answer": (lambda: ["done"], {}, "done"),
    "a hook": (lambda: [Call("same")], hooked("pre_tool_use", FinishAgent("over")), "done"),
    "a blocked prompt": (list, hooked("user_prompt", Block("no")), "failed"),
    "the same again": (lambda: lambda request: Call("same"), {}, "stuck"),
    "words without the word": (lambda: ["hm"] * 3, {"done": "DONE", "nudges": 1}, "stuck"),
    "turns": (lambda: _forever, {"limits": "2 turns"}, "budget_exhausted"),
    "turns, wrapping up": (lambda: [Call("same"), "so far"], {"limits": "2 turns: wrap_up"}, "budget_exhausted"),
    "calls": (lambda: _forever, {"limits": "1 model call"}, "budget_exhausted"),
    "tools": (lambda: _forever, {"limits": "1 tool call"}, "budget_exhausted"),
    "tokens": (lambda: _forever, {"limits": "600 tokens", "max_tokens": 10}, "budget_exhausted"),
    "money": (lambda: _forever, {"limits": "$0.0001"}, "budget_exhausted"),
    "time": (lambda: [Silent("hm")], {"limits": "0.1s"}, "budget_exhausted"),
    "endless words": (lambda: [Endless("and ", 0.01)], {"limits": "0.1s"}, "budget_exhausted"),
    "a limit that raises": (lambda: _forever, {"limits": "1 turn: raise"}, "budget_exhausted"),
    "nothing": (lambda: [""] * 5, {}, "failed"),
    "half": (lambda: [Say("half", finish="length")], {}, "failed"),
    "a filter": (lambda: [Say("", finish="content_filter")], {}, "failed"),
    "no number": (lambda: ["x"] * 3, {"output": int}, "failed"),
    "a tool not used": (lambda: ["x"] * 4, {"required_tools": ("add",)}, "failed"),
    "a gate": (lambda: ["x"] * 4, {"verify": Verify(lambda answer: "no")}, "failed"),
    "the provider": (lambda: [ModelError("auth", "no", status=401)], {}, "failed"),
    "a fault of ours": (lambda: [ValueError("ours")], {}, "failed"),
}


@pytest.mark.parametrize("exit_", EXITS)
async def test_every_exit_completes_the_loop_once(exit_: str, events: Captured) -> None:
    """One `loop_complete`, with the status that its stop reason stands for."""
    script, fields, status = EXITS[exit_]
    model = ScriptedModel(script(), name="gpt-5-mini", provider="openai", strict=False)
    with suppress(LimitExceeded):
        await agent(model, **fields).run("go")
    assert [one.status for one in traced("loop_complete")] == [status]
    assert trace.agent_trace_summary().status == status


async def test_a_run_that_is_called_off_completes_the_loop_once(events: Captured) -> None:
    """As `cancelled`."""
    handle = agent([Silent("hm")]).start("go")
    await asyncio.sleep(0.02)
    handle.cancel()
    assert (await handle).status == "cancelled"
    assert [one.status for one in traced("loop_complete")] == ["cancelled"]


METRICS: dict[str, tuple[Any, dict[str, Any], tuple[float, float]]] = {
    "max_iterations": (_forever, {"limits": "2 turns"}, (2, 2)),
    "max_llm_calls": (_forever, {"limits": "2 model calls"}, (2, 2)),
    "max_tool_calls": (_forever, {"limits": "2 tool calls"}, (2, 2)),
    "token_budget": (_forever, {"limits": "500 tokens", "max_tokens": 10}, (0, 500)),
    "cost_budget": (_forever, {"limits": "$0.00001"}, (0, 0.00001)),
    "deadline": ([Silent("hm")], {"limits": "0.1s"}, (0.1, 0.1)),
    "tool_loop": (lambda request: Call("same"), {}, (5, 6)),
    "max_depth": ("ok", {"limits": "depth 0"}, (0, 0)),
    "session_limit": ("ok", {"limits": "0 runs/session"}, (0, 0)),
    "quota": ("ok", {"limits": "0 runs/tenant/day"}, (0, 0)),
}


@pytest.mark.parametrize("metric", METRICS)
async def test_a_limit_that_ends_a_run_is_one_event_with_its_figures(metric: str, events: Captured) -> None:
    """Metric, value and threshold; the run has the metric as its stop reason, and no request follows."""
    script, fields, (used, threshold) = METRICS[metric]
    model = ScriptedModel([script] if isinstance(script, str) else script, name="gpt-5-mini", provider="openai")
    found = await agent(model, **fields).run("go", session="s")
    stops = [event.body for event in events.of(LimitHit) if event.body.mode == "stop"]
    assert (found.status, found.stop_reason) == ("failed", metric)
    assert [(stop.metric, stop.threshold) for stop in stops] == [(metric, threshold)]
    assert stops[0].used >= used
    assert stops[0].used + stops[0].requested > threshold or metric in ("deadline", "tool_loop")
    last = max((event.seq for event in events.of(CallStarted)), default=-1)
    hit = next(event.seq for event in events.of(LimitHit) if event.body.mode == "stop")
    assert last < hit


async def test_two_refusals_and_a_reply_are_three_calls_and_one_success(events: Captured) -> None:
    """503, 503, 200: three ids, one `llm_call`, two `llm_failed`; a 401 is asked once."""
    busy = ModelError("overloaded", "busy", status=503, safe=True)
    assert (await ran(agent([busy, busy, "done"]), events)).completed
    ids = [one.call_id for kind in ("llm_call", "llm_failed") for one in traced(kind)]
    assert (len(traced("llm_call")), len(traced("llm_failed")), len(set(ids))) == (1, 2, 3)
    model = ScriptedModel([ModelError("auth", "no", status=401, safe=True)])
    assert (await agent(model).run("go")).stop_reason == "provider_error"
    assert len(model.requests) == 1


@pytest.mark.parametrize("nudge", ["auto", "off", "Numbers, please."])
async def test_each_correction_is_an_event_and_one_turn(nudge: str, events: Captured) -> None:
    """Two bad replies and a good one: numbered 1 and 2, what was sent is in the event, no bad reply is replayed."""
    model = ScriptedModel(["x", "y", "7"])
    found = await ran(agent(model, output=int, schema_retries=2, nudge=nudge, instructions="Count."), events)
    assert found.output == 7
    retries = traced("schema_retry")
    assert [(one.attempt, one.nudge_used, bool(one.errors)) for one in retries] == [
        (1, nudge != "off", True), (2, nudge != "off", True),
    ]  # fmt: skip
    extra = 0 if nudge == "off" else 1
    assert [len(request.messages) for request in model.requests] == [2, 2 + extra, 2 + extra]
    notes = [event.body for event in events.of(Note) if event.body.name == "agent_trace.schema_retry"]
    told = [json.loads(note.data.text or "")["correction"] for note in notes if note.data]
    assert told == [request.messages[-1].text if extra else "" for request in model.requests[1:]]
    assert all(message.text not in ("x", "y") for request in model.requests for message in request.messages)


async def test_a_model_without_a_price_is_refused_only_by_a_stated_budget(events: Captured) -> None:
    """A budget that somebody stated names the model and what to do; the shipped one says so, and tokens bound it."""
    stated = ScriptedModel(["never"], name="nobody-knows", provider="openai")
    found = await agent(stated, limits="$1").run("go")
    assert (found.stop_reason, stated.requests) == ("cost_budget", [])
    assert "nobody-knows" in found.detail
    assert "usd=None" in found.detail
    shipped = ScriptedModel([Call("same"), "done"], name="nobody-knows", provider="openai")
    assert (await agent(shipped).run("go")).completed
    warned = [event.body for event in events.of(LimitHit) if event.body.mode == "warn"]
    assert [hit.metric for hit in warned] == ["cost_budget"]


def _once(first: Any, then: Any) -> Callable[[Any], Any]:
    said = iter([first])
    return lambda _: next(said, then)


def _reprompting(event: str = "agent_stop") -> dict[str, Any]:
    hooks = Hooks()
    hooks.on(event, _once(Reprompt("again"), None))
    return {"hooks": hooks}


GATES: dict[str, tuple[list[Any], Callable[[], dict[str, Any]], str]] = {
    "word": (["hm", "17 DONE"], lambda: {"done": "DONE"}, "17"),
    "type": (["x", "17"], lambda: {"output": int}, "17"),
    "tool": (["16", Call("add", {"a": 1, "b": 2}), "17"], lambda: {"required_tools": ("add",)}, "17"),
    "function": (["16", "17"], lambda: {"verify": Verify(lambda answer: answer == "17" or "too low")}, "17"),
    "command": (["16", "17"], lambda: {"verify": Verify(("grep", "-q", "17"))}, "17"),
    "hook": (["16", "17"], _reprompting, "17"),
    "last hook": (["16", "17"], lambda: _reprompting("run_stop"), "17"),
    "empty": (["", "17"], dict, "17"),
}


@pytest.mark.parametrize("gate", GATES)
async def test_a_gate_refuses_and_then_accepts(gate: str, events: Captured) -> None:
    """The model is told once what is wrong; that is a note of its kind; and the second answer stands."""
    script, fields, answer = GATES[gate]
    model = ScriptedModel(script)
    found = await ran(agent(model, **fields()), events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "final_answer", answer)
    assert len(model.requests) == len(script)
    kinds = Counter(event.body.name for event in events.of(Note))
    assert sum(kinds[name] for name in ("nudge", "gate_refused", "agent_trace.schema_retry")) == 1
    assert model.requests[1].messages[-1].role == "user"


async def test_phases_are_told_by_their_names(events: Captured) -> None:
    """Of two lines that name a phase the last one counts."""
    script = ["next_phase: plan\nnext_phase: act", "done"]
    await ran(agent(script, phases=(Phase("plan"), Phase("act"))), events)
    assert [(one.from_phase, one.to_phase) for one in traced("phase_change")] == [("plan", "act")]


async def test_all_calls_are_authorised_before_one_runs(events: Captured) -> None:
    """Also those that only read: the hook for the last one is asked before the first one begins."""
    order: list[str] = []

    async def look(n: int) -> int:
        order.append(f"run {n}")
        return n

    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: order.append(f"ask {(moment.arguments or {})['n']}"))
    calls = [Call("look", {"n": n}) for n in range(3)]
    await ran(agent([calls, "done"], tools=[Tool.of(look, classification="read")], hooks=hooks), events)
    assert order[:3] == ["ask 0", "ask 1", "ask 2"]
    assert sorted(order[3:]) == ["run 0", "run 1", "run 2"]


async def test_the_reply_of_a_failed_attempt_is_no_reply(events: Captured) -> None:
    """What came before a break is in the record of its attempt and nowhere in the conversation."""
    script = [Say("half", then=ModelError("overloaded", "busy", in_stream=True)), Call("add", {"a": 1, "b": 1}), "2"]
    found = await ran(agent(script, tools=[add]), events)
    assert all("half" not in message.text for message in found.messages)
    assert events.of(CallEnded)[0].body.output is not None
