"""The measurable differences to the agent runtime that this one takes after, each on a model that is scripted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tachograph.agent.agent import Agent
from tachograph.agent.chat import Chat
from tachograph.agent.hooks import FinishAgent, Hooks, Moment, ReplaceOutput
from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.tools.command import command_tool
from tachograph.errors import InvalidTranscript, ModelError, RunFailed
from tachograph.events.chat import Media, Message, ToolUse, assistant, result, user
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Reply, Request
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.store.query import Measure, Query
from tachograph.testing import Captured, capture
from tests.agent.must.laws import stored
from tests.agent.running import QUICK, agent, valid
from tests.agent.tools.timed import back_within

pytestmark = pytest.mark.anyio


class Counting(ScriptedModel):
    """Knows how many of its requests are under way at the same time."""

    most = under_way = 0

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """As scripted, a moment later."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.002)
            async for piece in super().ask(request):
                yield piece
        finally:
            self.under_way -= 1


def nested(deep: int, scheduler: Scheduler, model: ScriptedModel) -> Agent:
    """An agent with an agent as its tool, so many deep."""
    tools: list[Any] = []
    if deep > 1:
        inner = nested(deep - 1, scheduler, model)

        async def delegate(number: int) -> str:
            return (await inner.run(f"part {number}")).answer or "nothing"

        tools = [delegate]
    return Agent(name=f"level{deep}", model=model, tools=tools, scheduler=scheduler, limits="90 turns, 200 model calls")


async def test_a_limit_of_one_request_finishes_five_agents_deep(events: Captured) -> None:
    """Each level waits for two children at once, one request is under way at a time, and no permit is left over."""

    def say(request: Request) -> Any:
        if request.messages[-1].role == "tool" or not request.tools:
            return "done"
        return [Call("delegate", {"number": 1}), Call("delegate", {"number": 2})]

    model, scheduler = Counting(say), Scheduler(concurrency=1)
    found = await asyncio.wait_for(nested(5, scheduler, model).run("go"), 30)
    assert (found.status, found.answer) == ("completed", "done")
    assert (model.most, len(model.requests)) == (1, 1 + 2 + 4 + 8 + 15 + 1 + 14 + 1)
    assert (scheduler.active, scheduler.waiting) == (0, 0)


@pytest.mark.parametrize("inside", [False, True], ids=["direct", "inside a tool of another agent"])
@pytest.mark.parametrize("beside", [0, 2], ids=["alone", "beside two others"])
@pytest.mark.parametrize("event", ["pre_tool_use", "post_tool_use"])
async def test_finish_agent_works_under_parallel_tools(event: str, beside: int, inside: bool, events: Captured) -> None:
    """The answer is the hook's, word for word, no request follows, and every call has one end.

    Calls before the one that finishes run to their end; those behind it run if they had been begun: with a hook before
    the call they had not.
    """
    ran: list[str] = []

    async def work(name: str) -> str:
        await asyncio.sleep(0.01)
        ran.append(name)
        return name

    async def last() -> str:
        return "last"

    hooks = Hooks()
    hooks.on(event, lambda moment: FinishAgent("finished by a hook"), matcher="^last$")
    others = [Call("work", {"name": str(number)}) for number in range(beside)]
    model = ScriptedModel([[*others[:1], Call("last"), *others[1:]]])
    worker = agent(model, name="worker", tools=[work, last], hooks=hooks)
    if inside:

        async def delegate() -> str:
            return (await worker.run("go")).answer or ""

        above = ScriptedModel([Call("delegate"), "so it is"])
        found = await agent(above, tools=[delegate], name="above").run("go")
        assert (found.answer, above.requests[1].messages[-1].text) == ("so it is", "finished by a hook")
    else:
        found = valid(await worker.run("go"), events)
        assert (found.status, found.stop_reason, found.answer) == ("completed", "tool_stop", "finished by a hook")
    assert len(model.requests) == 1
    assert sorted(ran) == (["0"] if event == "pre_tool_use" else ["0", "1"])[:beside]
    states = [end.body.state for end in events.of(ToolEnded) if end.run != events[0].run or not inside]
    assert len(states) == beside + 1


async def test_a_401_is_a_failure_and_no_answer(events: Captured) -> None:
    """Asked once; no error text poses as an answer; who wants an exception gets one."""
    model = ScriptedModel([ModelError("auth", "bad key sk-123", status=401, safe=True)] * 2, strict=False)
    found = valid(await agent(model).run("go"), events)
    assert (found.status, found.stop_reason, found.answer, found.output) == ("failed", "provider_error", None, None)
    assert isinstance(found.error, ModelError)
    assert (found.error.status, len(model.requests)) == (401, 1)
    with pytest.raises(RunFailed):
        await agent(model).run_or_raise("go")


def test_a_command_of_one_second_is_gone_with_all_it_started(tmp_path: Path) -> None:
    """`sleep 60 & wait` as a tool: the model is told in less than a second and a half, and the group is no more."""
    tool = command_tool("shell", f"sleep 60 & echo $! > {tmp_path}/child; wait", seconds=1)

    def turn() -> str:
        found = agent([Call("shell"), "so be it"], tools=[tool]).run_sync("go")
        assert found.answer == "so be it"
        return found.messages[2].text

    with capture():
        said = back_within(1.5, turn)
    assert said.startswith("The command did not finish within 1 s and was killed.")
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 5
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


async def test_what_a_run_cost_is_what_its_calls_cost(events: Captured) -> None:
    """Every call is billed all its own input, cached tokens at their own price, a failed call too; children by row."""
    usages = [Usage(1000, 9000, 0, 100, basis="provider"), Usage(10, 0, 0, 1_000, 800, basis="provider")]
    failed = Say("half", usage=None, then=ModelError("server_error", "gone", in_stream=True))
    script = [Say(calls=(Call("child"),), usage=usages[0]), failed, Say("done", usage=usages[1])]

    def model(script: list[Any]) -> ScriptedModel:
        return ScriptedModel(script, name="gpt-5-mini", provider="openai")

    inner = agent(model([Say("inner", usage=usages[0])]), name="inner")

    async def child() -> str:
        return (await inner.run("go")).answer or ""

    found = await agent(model(script), tools=[child], name="outer").run("go")
    first = (1000 * Decimal("0.25") + 9000 * Decimal("0.025") + 100 * 2) / 10**6
    second = (10 * Decimal("0.25") + 1000 * 2) / 10**6
    assert (found.status, found.spent.llm_calls, found.spent.unpriced) == ("completed", 3, 1)
    assert found.cost == first + second
    store = stored(events)
    rows = store.find(Query("runs", columns=("name", "cost_nano", "llm_calls"), order=("name",))).rows
    assert [(row["name"], Decimal(row["cost_nano"]) / 10**9, row["llm_calls"]) for row in rows] == [
        ("inner", first, 1), ("outer", first + second, 3),
    ]  # fmt: skip
    ledger = store.find(Query("calls", measures=(Measure("sum", "cost_nano"),))).rows[0]["sum_cost_nano"]
    assert Decimal(ledger) / 10**9 == 2 * first + second


async def test_a_matcher_after_a_tool_filters(events: Captured) -> None:
    """A hook for one tool sees the results of that tool and of no other."""
    seen: list[str | None] = []
    hooks = Hooks()

    @hooks.on("post_tool_use", matcher="^add$")
    def mark(moment: Moment) -> ReplaceOutput:
        seen.append(moment.tool_name)
        return ReplaceOutput("marked")

    script = [[Call("add", {"a": 1, "b": 2}), Call("same")], Call("same"), "done"]
    found = valid(await agent(script, hooks=hooks).run("go"), events)
    assert seen == ["add"]
    assert [message.text for message in found.messages if message.role == "tool"][:2] == ["marked", "the same"]


SCRIPTS: dict[str, tuple[Callable[[], list[Any]], dict[str, Any]]] = {
    "answer": (lambda: [[Call("add", {"a": 1, "b": 2}), Call("nope")], Say("3", chunks=3)], {}),
    "retry": (lambda: [Say("ha", then=ModelError("overloaded", "busy", in_stream=True)), "whole"], {"retry": QUICK}),
    "limit": (lambda: [Call("same")] * 3, {"limits": "2 turns, no loop detection"}),
    "loop": (lambda: [Call("same")] * 9, {}),
    "schema": (lambda: ["x", "1"], {"output": int}),
    "failure": (lambda: [ModelError("auth", "no", status=401)], {}),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_is_the_same_without_a_subscriber(name: str) -> None:
    """Requests, outcome and record: whether nobody listens, somebody does, or somebody does who raises."""

    def listen(value: object) -> None:
        raise RuntimeError("a listener that fails")

    def turn(*listeners: Callable[[Any], Any]) -> tuple[Any, ...]:
        script, fields = SCRIPTS[name]
        model = ScriptedModel(script(), strict=False)

        async def go() -> Any:
            handle = agent(model, **fields).start("go")
            for one in listeners:
                handle.emitter.subscribe(object, one)
            return await handle

        with capture() as events:
            found = asyncio.run(go())
        sent = [structs.replace(request, timeout=1.0) for request in model.requests]
        outcome = (found.status, found.stop_reason, found.answer, found.messages, found.spent)
        return sent, outcome, [type(event.body).__name__ for event in events]

    heard: list[Any] = []
    alone = turn()
    assert turn(heard.append) == alone
    assert turn(listen, heard.append) == alone
    assert len(heard) > 4


async def test_a_conversation_comes_back_from_its_snapshot(events: Captured) -> None:
    """Through JSON: text, pictures, tool calls with odd arguments, results; and the next request is the same."""
    picture = Media("image", "image/png", data=b"\x89PNG\r\n")
    call = ToolUse("id-1", "add", '{"a": 1, "b":2 }')
    said = [user(["look", picture]), assistant("", call), result(call, "3"), assistant("three"), user("ü\n🙂")]
    talk = Chat(agent(["four"]), messages=said)
    snapshot = json.loads(json.dumps(talk.conversation_snapshot()))
    other = Chat(agent(["four"]))
    other.restore_conversation(snapshot)
    assert talk.messages == tuple(said)
    assert other.conversation_snapshot() == talk.conversation_snapshot()
    assert other.messages[1:] == talk.messages[1:]  # in the first one the picture's bytes have become an address
    assert [part.address for part in other.messages[0].media] == [picture.address]
    for chat in (talk, other):
        assert (await chat.complete()).answer == "four"
    first, second = (sent(chat) for chat in (talk, other))
    assert [message.plain() for message in first] == [message.plain() for message in second]
    assert len(second) == 5


def sent(chat: Chat) -> Sequence[Message]:
    """What the model of a conversation was sent first."""
    model = chat.agent.port
    assert isinstance(model, ScriptedModel)
    return model.requests[0].messages


@pytest.mark.parametrize(
    "snapshot",
    [{}, {"messages": None}, {"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}],
    ids=["empty", "none", "a result without its call"],
)
async def test_what_is_no_snapshot_leaves_the_conversation_as_it_was(snapshot: dict[str, Any]) -> None:
    """It is refused whole."""
    talk = Chat(agent([]), messages=[user("hi")])
    with pytest.raises((ValueError, InvalidTranscript)):
        talk.restore_conversation(snapshot)
    assert [message.text for message in talk.messages] == ["hi"]
