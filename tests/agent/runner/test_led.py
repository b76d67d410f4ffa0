from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.runner.history import history_of
from tachograph.agent.runner.led import CATEGORIES, continued, unanswered
from tachograph.agent.runner.otel import Trace
from tachograph.agent.runner.runner import Runner
from tachograph.agent.session.session import Session
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.compose import System
from tachograph.errors import HistoryMissing, LimitExceeded, StoreUnavailable
from tachograph.events.chat import assistant, user
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tests.agent.runner.test_otel import Exported
from tests.agent.runner.test_runner import HELLO, desk, keep, look
from tests.agent.session.conftest import elsewhere, system, texts, until_running, url

pytestmark = pytest.mark.anyio
__all__ = ["system", "url"]
"""Fixtures."""


def said(text: str, *before: tuple[str, str, str | None]) -> list[dict[str, Any]]:
    """A history: what was said before (role, content, agent), and a message of the user."""
    told = [{"role": role, "content": content, "agent_name": name} for role, content, name in before]
    return [*told, {"role": "user", "content": text}]


def asked(model: Any) -> list[list[str]]:
    """What each request of a scripted model had been told."""
    return [[message.text for message in request.messages] for request in model.requests]


async def test_a_message_alone_is_answered_in_the_sessions_own_conversation(system: System) -> None:
    """Each reply goes on from the last, also in a process that knows nothing; the context has all of it."""
    session, seen = Session("s", user="ada", tenant="t"), list[Any]()
    model = ScriptedModel(["Hi", "In transit"])

    def instructions(context: Any) -> str:
        seen.append(context["conversation_history"])
        return ""

    runner = Runner(desk(model, instructions=instructions), session)
    first = await runner.generate_response(said("Hello"))
    elsewhere(session)
    second = await runner.generate_response(said("Where is it?"))
    assert asked(model) == [["Hello"], ["Hello", "Hi", "Where is it?"]]
    assert [one["content"] for one in seen[1]] == ["Hello", "Hi", "Where is it?"]
    assert (first.kind, second.response, second.agent_name) == ("answer", "In transit", "ana_bot")
    assert isinstance(second.outcome, Outcome)
    assert second.outcome.session == "s"
    head = session.head()
    assert head is not None
    assert (head.version, head.agent, head.user, head.unfinished, head.lease) == (2, "Ana Bot", "ada", (), None)
    assert await texts(session) == ["Hello", "Hi", "Where is it?", "In transit"]


async def test_a_conversation_that_is_handed_over_is_what_is_gone_on_from(system: System) -> None:
    """Whatever the session knows; and it knows the same from then on."""
    session = Session("s")
    model = ScriptedModel(["Hi", "Yes"])
    runner = Runner(desk(model), session)
    await runner.generate_response(said("Hello"))
    elsewhere(session)
    await runner.generate_response(said("Sure?", ("user", "Hello!", None), ("assistant", "Hi Bia", "ana_bot")))
    assert asked(model)[1] == ["Hello!", "Hi Bia", "Sure?"]
    assert await texts(session) == ["Hello!", "Hi Bia", "Sure?", "Yes"]


@pytest.mark.parametrize(
    ("active", "wanted"), [(lambda: True, "daniela"), (lambda: False, "ana"), (None, "ana")], ids=["on", "off", "none"]
)
async def test_who_is_at_work_in_the_session_goes_on_while_a_workflow_does(
    active: Any, wanted: str, system: System
) -> None:
    """The scenario that was handed over to begins the next reply, whatever names stand in the history."""
    session = Session("s")
    ana = desk(ScriptedModel([Call("handoff_to_daniela", {"reason": "booking"}), "I am ana"], strict=False), "Ana")
    daniela = desk(ScriptedModel(["I am daniela"], strict=False), "Daniela")
    runner = Runner([ana, daniela], session, active_workflow=active)
    assert (await runner.generate_response(said("A room"))).agent_name == "daniela"
    assert (session.head() or pytest.fail("no head")).agent == "Daniela"
    reply = await runner.generate_response(said("Two", ("user", "A room", None), ("assistant", "For whom?", "ana")))
    assert (reply.response, reply.agent_name) == (f"I am {wanted}", wanted)


async def test_a_newer_message_has_the_earlier_reply_discarded(system: System) -> None:
    """Nothing of it is shown or billed; what the user said to it stays in the conversation."""
    session = Session("s")
    model = ScriptedModel([Say("late", seconds=30), "Order 7 is here"])
    runner = Runner(desk(model), session)
    older = asyncio.create_task(runner.generate_response(said("Where is it?")))
    await until_running(session)
    newer = await runner.generate_response(said("Order 7"), supersede=True)
    gone = await older
    assert (gone.kind, gone.category, gone.response, gone.billable) == ("discarded", "superseded", "", False)
    assert (newer.kind, newer.response) == ("answer", "Order 7 is here")
    assert await texts(session) == ["Where is it?", "Order 7", "Order 7 is here"]


async def test_replies_at_the_same_time_wait_for_each_other(system: System) -> None:
    """One goes on from the other; who may not wait that long is told who does."""
    session = Session("s")
    model = ScriptedModel(lambda request: f"re {request.messages[-1].text}")
    replies = await asyncio.gather(*(Runner(desk(model), session).generate_response(said(text)) for text in "abc"))
    assert [reply.response for reply in replies] == ["re a", "re b", "re c"]
    assert sorted(map(len, asked(model))) == [1, 3, 5]
    async with session.turn():
        reply = await Runner(desk([]), Session("s", wait=0.05)).generate_response(HELLO)
    assert (reply.kind, reply.category, reply.response) == ("error", "session_busy", "conversation_handoff")


async def test_a_conversation_that_a_person_has_is_not_answered_by_a_model(system: System) -> None:
    """A limit gives it to a person; from then on no run begins until it is reopened."""
    session, calls = Session("s"), list[Any]()
    model = ScriptedModel(["Hi"], strict=False)
    runner = Runner(desk(model), session, limits="1 run/session: handoff", hand_over=keep(calls), locale="pt_BR")
    kinds = [(await runner.generate_response(HELLO)).kind for _ in range(2)]
    assert (kinds, calls) == (["answer", "protection"], [("session_limit", "s")])
    assert (session.head() or pytest.fail("no head")).status == "handed_off"
    reply = await runner.generate_response(HELLO)
    assert reply.as_dict() == {
        "response": "Transferindo para atendimento humano.", "reasoning": "Handed over to a person",
        "reaction_emoji": "", "agent_name": None,
    }  # fmt: skip
    assert (reply.kind, reply.category, reply.handed_over, reply.outcome) == ("handoff", "handed_off", True, None)
    assert (len(calls), len(model.requests)) == (1, 1)
    session.reset()
    assert (await runner.generate_response(HELLO)).kind == "answer"


async def test_a_reply_that_waits_for_approval_leaves_the_session_where_it_was(system: System) -> None:
    """Nothing to show, nothing said; the next message begins from what stood before."""
    session = Session("s")
    model = ScriptedModel(["Hi", [Call("look", {"query": "a"})], "Yes?"])
    runner = Runner(desk(model, tools=[Tool.of(look, approve=True)], approve=Pause()), session)
    await runner.generate_response(said("Hello"))
    reply = await runner.generate_response(said("Look"))
    assert (reply.kind, reply.category, reply.response, reply.billable) == ("paused", "approval", "", False)
    assert isinstance(reply.outcome, Outcome)
    assert [one.tool for one in reply.outcome.waiting] == ["look"]
    assert await texts(session) == ["Hello", "Hi"]
    assert (await runner.generate_response(said("Still there?"))).response == "Yes?"
    assert asked(model)[2] == ["Hello", "Hi", "Still there?"]


async def test_what_a_tool_makes_of_the_state_is_the_sessions(system: System) -> None:
    """It is committed with the reply; a state that cannot be kept costs nobody a reply."""
    session = Session("s")

    def book(day: Any, context: ToolContext) -> str:
        """Book."""
        context.metadata["session_state"]["day"] = day if day != "never" else object()
        return "booked"

    script = [Call("book", {"day": "Monday"}), "Done", Call("book", {"day": "never"}), "Well", "Bye"]
    runner = Runner(desk(script, tools=[book]), session)
    for wanted in ("Done", "Well", "Bye"):
        assert (await runner.generate_response(HELLO)).response == wanted
        assert (session.head() or pytest.fail("no head")).state == {"day": "Monday"}
    assert (session.head() or pytest.fail("no head")).version == 3


async def test_why_a_session_takes_no_turn_is_a_category(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, of another schema, unreadable, taken by another process, or a store that is away."""
    session = Session("s", state_version=2)
    await session.ask(desk(["one"]), "a", state={"n": 1})

    async def why(of: Session, script: Any = ()) -> tuple[str, str, bool]:
        reply = await Runner(desk([*script]), of).generate_response(HELLO)
        return reply.kind, reply.category, reply.outcome is None

    assert await why(Session("s")) == ("error", "state_mismatch", True)
    with monkeypatch.context() as patch:
        patch.setattr(session.local.heads, "commit", _away)
        assert await why(session, ["two"]) == ("error", "store_unavailable", False)
    session.close()
    assert await why(session) == ("error", "session_closed", True)
    assert unanswered(HistoryMissing("s", "gone")).category == "history_missing"
    assert len(set(CATEGORIES.values())) == len(CATEGORIES)


def _away(*_: object) -> None:
    raise StoreUnavailable("sqlite:a", "locked")


async def test_a_reply_whose_lease_was_lost_is_not_given(system: System) -> None:
    """Somebody else answers now: what was made is no part of the conversation."""
    session = Session("s")

    def lose(query: str) -> str:
        """Lose it."""
        head = session.head()
        assert head is not None
        session.local.heads.release(session.key, head.epoch)
        return "lost"

    model = ScriptedModel([Call("lose", {"query": "a"}), "one"])
    reply = await Runner(desk(model, tools=[lose]), session).generate_response(HELLO)
    assert reply.kind in ("error", "discarded")
    assert (reply.category, reply.billable) in (("session_conflict", False), ("superseded", False))
    assert await texts(session) == []


async def test_what_was_said_before_it_was_broken_off_is_kept(system: System) -> None:
    """A caller who is cancelled, and a limit that raises, leave what was said in the session."""
    session, begun = Session("s"), asyncio.Event()

    async def hang(query: str) -> str:
        """Hang."""
        begun.set()
        await asyncio.sleep(30)
        return ""

    runner = Runner(desk([Call("hang", {"query": "a"})], tools=[hang]), session)
    task = asyncio.create_task(runner.generate_response(said("one")))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(LimitExceeded):
        await Runner(desk([Call("look", {"query": "a"})]), session, limits="1 turn: raise").generate_response(
            said("two")
        )
    assert [text for text in await texts(session) if text in ("one", "two")] == ["one", "two"]


def test_it_works_without_an_event_loop_and_is_traced(system: System) -> None:
    """The sync form leads the session too; the trace is of the same session."""
    exported, session = Exported(), Session("s")
    runner = Runner(desk(["Hi", "Ho"]), session, trace=Trace(tracer=exported.tracer))
    assert [runner.generate_response_sync(HELLO).response for _ in range(2)] == ["Hi", "Ho"]
    assert (exported.spans["llm.captain_v2"].attributes or {})["langfuse.session.id"] == "s"
    assert runner.untraced == 0


async def test_only_a_message_alone_is_continued(system: System) -> None:
    """A history that says more is taken as it is."""
    async with Session("s").turn(history=[user("a"), assistant("b")]) as turn:
        assert [one.message.text for one in continued(history_of(said("c")), turn).said] == ["a", "b"]
        more = history_of(said("c", ("assistant", "x", None)))
        assert continued(more, turn) is more
