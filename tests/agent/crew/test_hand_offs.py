from __future__ import annotations

import pytest
from msgspec import structs

from tachograph.agent.agent import Agent
from tachograph.agent.chat import Chat
from tachograph.agent.compact.figures import WARN_AT
from tachograph.agent.hooks import Block, FinishRun, Hooks, Moment, ReplaceOutput
from tachograph.agent.progress import HandedOff
from tachograph.agent.reminders import Reminder
from tachograph.agent.rules import Phase
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.approval import Allow
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.events.note import Note
from tachograph.events.run import RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Usage
from tachograph.limits.limit import Limits
from tachograph.providers.port import Params
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.testing import Captured
from tests.agent.crew.crews import handed, hits, over, rejected, requests, steps, workers
from tests.agent.running import agent, ran

pytestmark = pytest.mark.anyio


async def refund(order: int) -> str:
    """Pay back an order."""
    return f"refunded {order}"


# ---- a hand-off -----------------------------------------------------------------------------------------------------


async def test_the_next_agent_goes_on_with_its_own_instructions_tools_model_and_answer(events: Captured) -> None:
    """What the second model is asked is the second agent's throughout, but for the conversation."""
    billing = over(
        "billing", [Call("refund", {"order": 7}), "17"], tools=[refund], instructions="You do money.", output=int,
        params=Params(temperature=0.5), max_tokens=99, description="Money matters.",
    )  # fmt: skip
    desk = over("desk", [Call("handoff_to_billing", {"reason": "money"})], billing, instructions="You are the desk.")
    found = await handed(desk, events)
    first, second, third = requests(desk, billing)
    assert [tool.name for tool in first.tools] == ["add", "same", "handoff_to_billing"]
    assert first.tools[2].description == "Hand this conversation over to billing: Money matters."
    assert [tool.name for tool in second.tools] == ["refund"]
    assert (first.messages[0].text, second.messages[0].text) == ("You are the desk.", "You do money.")
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "tool"]
    assert second.messages[3].text == "Handed over to billing."
    assert second.messages[1:3] == (first.messages[1], found.messages[1])
    assert (second.max_tokens, second.params.temperature, second.output_schema) == (99, 0.5, {"type": "integer"})
    assert third.messages[:4] == second.messages
    assert (found.agent, found.output, found.messages[0].role) == ("billing", 17, "user")
    assert workers(events) == ["desk", "billing", "billing"]


async def test_a_hand_off_is_a_step_with_one_end_below_its_call(events: Captured) -> None:
    """From, to, reason and what became of it stand in the record; the next agent's work is a part of its own."""
    billing = over("billing", ["done"])
    desk = over("desk", [Call("handoff_to_billing", {"reason": "money"})], billing)
    told: list[HandedOff] = []
    async with desk.stream("go") as stream:
        told = [value async for value in stream if isinstance(value, HandedOff)]
    assert told == [HandedOff(before="desk", after="billing", reason="money")]
    call = next(event for event in events.of(ToolStarted))
    [handing] = [event for event in events.of(StepStarted) if event.body.kind == "handoff"]
    assert (handing.body.parent, handing.body.agent_type) == (call.seq, "desk")
    assert '"reason":"money"' in (handing.body.input.text or "")
    assert steps(events) == [("handoff to billing", "completed")]
    kinds = [(event.body.kind, event.body.name, event.body.agent_type) for event in events.of(StepStarted)]
    assert kinds == [
        ("iteration", "iteration", "desk"), ("handoff", "handoff to billing", "desk"), ("agent", "billing", "billing"),
        ("iteration", "iteration", "billing"),
    ]  # fmt: skip


async def test_hooks_reminders_approval_and_phases_are_those_of_the_agent_at_work(events: Captured) -> None:
    """Those of the call stay; the people of the program are there for an agent that names none of its own."""
    seen: list[str] = []

    def watching(word: str) -> Hooks:
        hooks = Hooks()
        hooks.on("agent_step", lambda moment: seen.append(f"{word} {moment.agent}"))
        return hooks

    asked: list[str] = []

    def approve(one: object) -> Allow:
        asked.append("asked")
        return Allow()

    billing = over(
        "billing", [Call("refund", {"order": 7}), "next_phase: close", "done"], hooks=watching("billing"),
        tools=[Tool.of(refund, approve=True)], reminders=[Reminder("Be exact.")],
        phases=[Phase("open", "Open it."), Phase("close")],
    )  # fmt: skip
    desk = over(
        "desk", [Call("handoff_to_billing")], billing, hooks=watching("desk"), reminders=[Reminder("Be kind.")],
        approve=approve,
    )  # fmt: skip
    found = await handed(desk, events, hooks=watching("call"), reminders=[Reminder("Be quick.")])
    assert found.answer == "done"
    assert seen == ["desk desk", "call desk", "billing billing", "call billing"]
    assert asked == ["asked"]
    first, second, *_ = requests(desk, billing)
    assert [message.text.split("\n")[1] for message in first.messages[1:]] == ["Be kind.", "Be quick."]
    assert [message.text.split("\n")[1] for message in second.messages[4:]] == ["Be exact.", "Be quick."]
    assert second.messages[0].text == "Open it."


async def test_what_was_counted_of_one_agent_is_not_held_against_the_next(events: Captured) -> None:
    """Nudges and corrections begin anew; tools that succeeded did so."""
    second = over("second", ["", "x", "17"], output=int, nudges=1, schema_retries=1, required_tools=["same"])
    first = over("first", ["", Call("same"), "x", Call("handoff_to_second")], second, output=int, nudges=1)
    assert (await handed(first, events, limits="9 turns")).output == 17


async def test_who_approves_for_a_delegate_approves_for_whom_it_hands_over_to(events: Captured) -> None:
    """They are the people of whoever asked, as long as its run goes on."""
    tools = [Tool.of(refund, approve=True)]
    second = over("second", [Call("refund", {"order": 2}), "done"], tools=tools)
    worker = over("worker", [Call("refund", {"order": 1}), Call("handoff_to_second")], second, tools=tools)
    script = [Call("ask_worker", {"message": "pay"}), "done"]
    lead = agent(script, name="lead", delegates=[worker], approve=lambda asked: Allow())
    (child,) = (await lead.run("go")).children
    results = [message.text for message in child.messages if message.role == "tool"]
    assert (child.detail, results) == ("", ["refunded 1", "Handed over to second.", "refunded 2"])


async def test_the_next_agents_window_has_marks_of_its_own(events: Captured) -> None:
    """That the first one's was nearly full says nothing of it."""
    used = Usage(input_uncached=9_600, output=0, basis="provider")
    second = over("second", ScriptedModel([Say("done", usage=used)], context_window=10_000), compaction=None)
    model = ScriptedModel([Say(calls=(Call("handoff_to_second"),), usage=used)], context_window=10_000)
    await ran(over("first", model, second, compaction=None), events)
    marks = [event.body for event in events.of(Note) if event.body.name == "context_warning"]
    assert len(marks) == 2 * len(WARN_AT)


async def test_a_tool_that_must_be_used_must_be_used_first_by_each_agent(events: Captured) -> None:
    """`tool_choice` holds for the first request of each."""
    second = over("second", [Call("add", {"a": 1, "b": 2}), "3"], tool_choice="add")
    first = over("first", [Call("handoff_to_second")], second)
    await handed(first, events)
    assert [request.tool_choice for request in requests(first, second)] == ["auto", "add", "auto"]


async def test_instructions_that_came_with_the_history_are_the_old_agents(events: Captured) -> None:
    """The next agent's stand alone; one without any goes on with what is there."""
    history = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"}]
    for second, wanted in ((over("second", ["b"], instructions="Be brief."), "Be brief."), (over("second", ["b"]), "")):
        first = over("first", [Call("handoff_to_second")], second)
        await first.run("go", history=history)
        assert requests(second)[0].messages[0].text == (wanted or "Be kind.")


# ---- refused --------------------------------------------------------------------------------------------------------


async def test_an_agent_that_was_at_work_is_not_returned_to(events: Captured) -> None:
    """A to B to A: refused, recorded once, read by the model, and B goes on."""
    billing = over("billing", [Call("handoff_to_desk"), "I did it."], Handoff(lambda: desk))
    desk = over("desk", [Call("handoff_to_billing")], billing)
    found = await handed(desk, events)
    assert (found.answer, found.agent) == ("I did it.", "billing")
    why = "Not handed over to desk: it was at work in this run before, and there is no way back to it. Go on."
    assert rejected(events) == [why]
    assert found.messages[-2].text == why
    assert steps(events) == [("handoff to billing", "completed")]


async def test_a_way_back_that_is_meant_is_taken(events: Captured) -> None:
    """An edge that says `back` returns, with the conversation so far."""
    billing = over("billing", [Call("handoff_to_desk")], Handoff(lambda: desk, back=True), instructions="B")
    desk = over("desk", [Call("handoff_to_billing"), "done"], billing, instructions="D")
    found = await handed(desk, events)
    assert (found.answer, found.agent, found.iterations) == ("done", "desk", 3)
    assert [request.messages[0].text for request in requests(desk, billing)] == ["D", "D", "B"]
    assert [event.body.name for event in events.of(StepStarted) if event.body.kind == "agent"] == ["billing", "desk"]


@pytest.mark.parametrize(("limits", "reason", "agent_at_end"), [
    (Limits(), "max_handoffs", "d"),
    (Limits(handoffs=1), "max_handoffs", "b"),
    (Limits(handoffs=1, modes={"handoffs": "block"}), "final_answer", "b"),
    (Limits(handoffs=1, modes={"handoffs": "warn"}), "final_answer", "e"),
])  # fmt: skip
async def test_hand_offs_are_counted_before_they_happen(
    events: Captured, limits: Limits, reason: str, agent_at_end: str
) -> None:
    """Three a run unless it says otherwise; what happens at the next one is what the limit's mode says."""
    e = over("e", ["end"])
    d = over("d", [Call("handoff_to_e"), "end"], e)
    c = over("c", [Call("handoff_to_d"), "end"], d)
    b = over("b", [Call("handoff_to_c"), "end"], c)
    found = await handed(over("a", [Call("handoff_to_b")], b), events, limits=limits)
    assert (found.stop_reason, found.agent) == (reason, agent_at_end)
    refused = [kind for metric, kind in hits(events) if metric == "max_handoffs" and kind is not None]
    assert refused == ([] if limits.modes.get("handoffs") == "warn" else ["handoff"])
    assert len(steps(events)) == "abcde".index(agent_at_end)
    assert [event.body.state for event in events.of(ToolEnded)].count("rejected") == len(refused)


async def test_a_person_takes_over_where_the_limit_on_hand_offs_says_so(events: Captured) -> None:
    """That hand-over is none of those that are counted; it is the lead's where the agent at work has none."""
    c = over("c", ["end"])
    b = over("b", [Call("handoff_to_c")], c)
    asked: list[object] = []
    lead = over("a", [Call("handoff_to_b")], b, hand_over=asked.append)
    found = await handed(lead, events, limits="1 handoffs: handoff")
    assert (found.status, found.stop_reason, found.agent, len(asked)) == ("completed", "human_handoff", "b", 1)


async def test_of_two_hand_offs_in_one_reply_the_first_is_applied(events: Captured) -> None:
    """The other is refused: one event, one result; tools beside them ran before."""
    returns = over("returns", [])
    billing = over("billing", ["done"])
    desk = over(
        "desk",
        [[Call("handoff_to_billing"), Call("add", {"a": 1, "b": 2}), Call("handoff_to_returns"), Call("nope")]],
        billing,
        returns,
    )
    found = await handed(desk, events)
    assert found.agent == "billing"
    texts = [message.text for message in requests(billing)[0].messages if message.role == "tool"]
    assert texts[:3] == [
        "Handed over to billing.", "3",
        "Not handed over to returns: this reply already hands over to billing, and one is enough.",
    ]  # fmt: skip
    assert len(rejected(events)) == 2
    ends = {event.seq: event.body.name for event in events.of(ToolStarted)}
    assert [ends[event.step] for event in events.of(ToolEnded)][-1] == "handoff_to_billing"
    assert steps(events) == [("handoff to billing", "completed")]


async def test_the_first_one_that_may_be_is_applied(events: Captured) -> None:
    """A refused hand-off before it does not count."""
    other = over("other", ["done"])
    billing = over("billing", [[Call("handoff_to_desk"), Call("handoff_to_other")]], Handoff(lambda: desk), other)
    desk = over("desk", [Call("handoff_to_billing")], billing)
    assert (await handed(desk, events)).agent == "other"
    assert len(rejected(events)) == 1


async def test_only_the_agents_own_ways_out_are_open(events: Captured) -> None:
    """A tool of another agent, or of none, is unknown, and its arguments are checked like any other's."""
    other = over("other", [])
    billing = over("billing", [Call("handoff_to_other"), "done"])
    script = [Call("handoff_to_nobody"), Call("handoff_to_billing", {"why": 1}), Call("handoff_to_billing")]
    found = await handed(over("desk", script, billing, other), events)
    assert (found.answer, found.agent) == ("done", "billing")
    first, second, third = rejected(events)
    assert first.startswith("There is no tool 'handoff_to_nobody'.")
    assert "no such parameter" in second
    assert third.startswith("There is no tool 'handoff_to_other'.")


@pytest.mark.parametrize(("effect", "status", "said"), [
    (Block("not now"), "completed", "not now"),
    (ReplaceOutput("later"), "completed", "later"),
])  # fmt: skip
async def test_a_hook_keeps_it_from_happening(events: Captured, effect: object, status: str, said: str) -> None:
    """Hooks see a hand-off as they see any tool."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: effect, matcher="handoff_to_")  # type: ignore[arg-type,return-value]
    desk = over("desk", [Call("handoff_to_billing"), "I do it."], over("billing", []), hooks=hooks)
    found = await handed(desk, events)
    assert (found.status, found.agent, found.answer) == (status, "desk", "I do it.")
    assert found.messages[2].text == said
    assert steps(events) == []


@pytest.mark.parametrize("event", ["pre_tool_use", "post_tool_use"])
@pytest.mark.parametrize("tool", ["handoff_to_billing", "same"])
async def test_work_that_a_hook_finished_is_not_handed_over(events: Captured, event: str, tool: str) -> None:
    """The run is over; the hand-off is refused, also where it stood first."""
    hooks = Hooks()
    hooks.on(event, lambda moment: FinishRun("enough"), matcher=tool)
    desk = over("desk", [[Call("handoff_to_billing"), Call("same")]], over("billing", []), hooks=hooks)
    found = await handed(desk, events)
    assert (found.answer, found.agent, found.stop_reason) == ("enough", "desk", "tool_stop")
    assert steps(events) == []
    assert found.messages[2].text == "not run: the work was finished before it"


async def test_a_hook_may_change_what_the_next_agent_reads_of_it(events: Captured) -> None:
    """The result after `post_tool_use` is the one that is carried on."""

    def shorter(moment: Moment) -> ReplaceOutput:
        return ReplaceOutput("over")

    hooks = Hooks()
    hooks.on("post_tool_use", shorter)
    billing = over("billing", ["done"])
    await handed(over("desk", [Call("handoff_to_billing")], billing, hooks=hooks), events)
    assert requests(billing)[0].messages[-1].text == "over"


async def test_a_limit_that_ends_the_run_ends_it_before_the_hand_off(events: Captured) -> None:
    """A tool beside it that is one too many: the run is over where it was."""
    desk = over("desk", [[Call("handoff_to_billing"), Call("same"), Call("same")]], over("billing", []))
    found = await handed(desk, events, limits="1 tool call")
    assert (found.stop_reason, found.agent) == ("max_tool_calls", "desk")
    assert steps(events) == []


# ---- limits of an agent's own ---------------------------------------------------------------------------------------


async def test_an_agents_own_limits_are_for_its_part_and_the_runs_stay(events: Captured) -> None:
    """What it states counts from when it is at work; what it leaves as shipped bounds nothing; none is wider."""
    billing = over("billing", lambda request: Call("add", {"a": len(request.messages), "b": 0}), limits="2 turns")
    script = [*(Call("add", {"a": n, "b": 0}) for n in range(3)), Call("handoff_to_billing")]
    found = await handed(over("desk", script, billing), events, limits="20 turns")
    assert (found.stop_reason, found.iterations, found.agent) == ("max_iterations", 6, "billing")


async def test_the_runs_budget_is_not_widened(events: Captured) -> None:
    """Five turns are five turns, whatever the next agent says of itself."""
    billing = over("billing", lambda request: Call("add", {"a": len(request.messages), "b": 0}), limits="90 turns")
    found = await handed(over("desk", [Call("handoff_to_billing")], billing), events, limits="5 turns")
    assert (found.stop_reason, found.iterations) == ("max_iterations", 5)


async def test_limits_of_a_part_are_over_with_it(events: Captured) -> None:
    """Back with the lead, only the run's limits hold; a child of a run with a part is one level deeper, no more."""
    inner = agent(["in"], name="inner")

    async def child() -> str:
        return (await inner.run("x")).stop_reason

    billing = over(
        "billing", [Call("child"), Call("handoff_to_desk")], Handoff(lambda: desk, back=True), tools=[child],
        limits="3 turns, depth 2",
    )  # fmt: skip
    script = [Call("handoff_to_billing"), *(Call("add", {"a": n, "b": 0}) for n in range(4)), "done"]
    desk = over("desk", script, billing)
    outcome = await desk.run("go", limits="20 turns, depth 2")
    assert (outcome.stop_reason, outcome.agent, outcome.iterations) == ("final_answer", "desk", 8)
    assert [event.body.result.text for event in events.of(ToolEnded)][1] == '"final_answer"'


# ---- who begins -----------------------------------------------------------------------------------------------------


async def test_a_run_may_begin_at_another_agent(events: Captured) -> None:
    """The run is still of the agent it is called on; only those that begin, or were handed to, were at work."""
    billing = over("billing", [Call("handoff_to_desk")], Handoff(lambda: desk), instructions="B", limits="1 turn")
    desk = over("desk", ["done"], billing, instructions="D")
    found = await handed(desk, events, start="billing")
    assert (found.answer, found.agent) == ("done", "desk")
    assert [request.messages[0].text for request in requests(billing, desk)] == ["B", "D"]
    started = events.of(RunStarted)[0].body
    assert (started.name, started.agent_type) == ("desk", "billing")
    assert [event.body.name for event in events.of(StepStarted) if event.body.kind == "agent"] == ["billing", "desk"]


async def test_an_agent_that_is_not_there_cannot_begin(events: Captured) -> None:
    """The error names those that can."""
    with pytest.raises(SettingsError, match="one of desk, billing"):
        await over("desk", [], over("billing", [])).run("go", start="nobody")


async def test_a_conversation_goes_on_with_the_agent_that_was_last_at_work(events: Captured) -> None:
    """`Outcome.agent` is what the next ask begins with, if the program wants that."""
    billing = over("billing", ["one", "two"], instructions="B")
    desk = over("desk", [Call("handoff_to_billing")], billing, instructions="D")
    chat = Chat(desk)
    first = await chat.ask("a")
    second = await chat.ask("b", start=first.agent)
    assert (first.agent, second.agent, second.answer) == ("billing", "billing", "two")
    assert [message.role for message in chat.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
    ]


async def test_connections_of_those_that_were_at_work_are_let_go(events: Captured) -> None:
    """Once each, also where two agents share a model; a model that was never made is not made for that."""
    closed: list[str] = []

    class Closing(ScriptedModel):
        async def close(self) -> None:
            closed.append(self.model)

    shared = Closing([Call("handoff_to_billing"), "done"], name="shared")
    unused = Agent(name="unused", model=Closing([], name="unused"))
    billing = over("billing", shared, over("returns", Closing([], name="other"), unused))
    outcome = await (desk := over("desk", shared, billing)).and_close(desk.run("go"))
    assert (outcome.agent, closed) == ("billing", ["shared"])


async def test_a_reply_with_words_and_a_hand_off_is_carried_on_whole(events: Captured) -> None:
    """Nothing of the reply is lost; the run's lead stays a value that can be run again."""
    billing: Agent = over("billing", ["a", "b"])
    call = Call("handoff_to_billing", id="x")
    desk = over("desk", [Say("One moment.", (call,)), Say("One moment.", (structs.replace(call, id="y"),))], billing)
    found = await ran(desk, events)
    again = await desk.run("again")
    assert (found.messages[1].text, found.answer, again.answer) == ("One moment.", "a", "b")
