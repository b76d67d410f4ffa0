from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph import Agent
from tachograph.agent.runner import runner as module
from tachograph.agent.runner.runner import LIMITS, Runner
from tachograph.errors import LimitExceeded, ModelError, SettingsError
from tachograph.events.call import CallStarted
from tachograph.events.run import RunEnded, RunStarted
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import QUICK

pytestmark = pytest.mark.anyio

ASSISTANT = {"account_id": 3, "id": 7, "config": {"tone": "kind"}, "name": "Ana Bot"}
CONTACT = {"id": 9, "name": "Bia", "email": "bia@example.com", "password": "x"}
CONVERSATION = {"id": 1, "display_id": 22, "status": "open", "contact": CONTACT}
HELLO = [{"role": "user", "content": "Hello"}]


def look(query: str) -> str:
    """Look something up."""
    return f"nothing about {query}"


def desk(script: Any, name: str = "Ana Bot", **fields: Any) -> Agent:
    """An agent with a tool."""
    model = script if hasattr(script, "ask") else ScriptedModel(script)
    return Agent(**{"name": name, "model": model, "tools": [look], "retry": QUICK, **fields})


def keep(calls: list[Any]) -> Any:
    """An effect that gives a run to a person, and remembers it."""
    return lambda asked: calls.append((asked.metric, asked.session))


async def test_a_reply_with_the_keys_of_the_original(events: Captured) -> None:
    """Fields that a model wrapped in prose are the reply; who said it stands beside them; it is a credit."""
    said = 'Sure! {"response": "Hi Bia", "reasoning": "greeting", "reaction_emoji": "👋"}'
    runner = Runner(desk([said]), assistant=ASSISTANT, conversation=CONVERSATION)
    reply = await runner.generate_response(HELLO)
    assert reply.as_dict() == {
        "response": "Hi Bia", "reasoning": "greeting", "reaction_emoji": "👋", "agent_name": "ana_bot",
    }  # fmt: skip
    assert (reply.kind, reply.billable, reply.outcome.session) == ("answer", True, "3_22")


def test_it_works_without_an_event_loop(events: Captured) -> None:
    """The sync form gives the same reply."""
    assert Runner(desk(["Hi"])).generate_response_sync(HELLO).response == "Hi"


async def test_the_sync_form_works_inside_an_event_loop(events: Captured) -> None:
    """Code that cannot await may use it there too."""
    assert Runner(desk(["Hi"])).generate_response_sync(HELLO).response == "Hi"


async def test_the_steps_have_their_order(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents, context, last message, callbacks, then the run with its limits, the result, and the last callback."""
    order: list[str] = []

    def instructions(context: Any) -> str:
        order.append("instructions")
        return ""

    def spy(owner: Any, name: str, said: str) -> None:
        real = getattr(owner, name)

        def heard(*args: Any, **named: Any) -> Any:
            order.append(said)
            return real(*args, **named)

        monkeypatch.setattr(owner, name, heard)

    spy(module, "wired", "agents")
    spy(module, "history_of", "history")
    spy(Runner, "context_of", "context")
    spy(Runner, "starting", "start")
    spy(module, "watch", "callbacks")
    spy(module, "processed", "result")
    order_of_run = {RunStarted: "run and its count", CallStarted: "model", RunEnded: "end"}
    await Runner(desk(["Hi"], instructions=instructions), session="s").generate_response(HELLO)
    told = [order_of_run[type(event.body)] for event in events if type(event.body) in order_of_run]
    assert order == ["agents", "history", "context", "start", "callbacks", "instructions", "result"]
    assert told == ["run and its count", "model", "end"]


async def test_the_defaults_are_those_of_the_original() -> None:
    """15 turns a message, 30 messages a conversation, 3 equal calls, 45 seconds, and each leads to a person."""
    figures: list[Any] = [LIMITS.iterations, LIMITS.session_runs, LIMITS.loops.same_calls, LIMITS.seconds]
    modes = [LIMITS.modes[name] for name in ("iterations", "session_runs", "seconds")]
    assert (figures, [*modes, LIMITS.loops.mode]) == ([15, 30, 3, 45], ["handoff"] * 4)


async def test_thirty_messages_and_no_more(events: Captured) -> None:
    """The 30th message of a conversation is answered, the 31st asks no model and is given to a person."""
    calls: list[Any] = []
    agent = desk(ScriptedModel(["Hi"], strict=False))
    runner = Runner(agent, "conversation", hand_over=keep(calls), locale="pt_BR")
    replies = [await runner.generate_response(HELLO) for _ in range(31)]
    assert [reply.kind for reply in replies] == ["answer"] * 30 + ["protection"]
    assert replies[-1].as_dict() == {
        "response": "Conversa atingiu o limite de interações automáticas. Transferindo para atendimento humano.",
        "reasoning": "Runaway protection triggered", "reaction_emoji": "",
    }  # fmt: skip
    assert (len(events.of(CallStarted)), calls) == (30, [("session_limit", "conversation")])
    assert (replies[-1].billable, replies[-1].handed_over, replies[-1].category) == (False, True, "session_limit")


async def test_without_a_session_nothing_is_counted_across_messages(events: Captured) -> None:
    """An application without a conversation gets a reply each time."""
    runner = Runner(desk(ScriptedModel(["Hi"], strict=False)))
    assert {(await runner.generate_response(HELLO)).kind for _ in range(31)} == {"answer"}


async def test_a_loop_ends_before_the_third_equal_call(events: Captured) -> None:
    """Key order makes no difference; the third call does not run, and a person takes over."""
    calls: list[Any] = []
    ran: list[Any] = []

    def find(a: int, b: int) -> str:
        """Find."""
        ran.append((a, b))
        return str(len(ran))  # another result each time: it is the calls that are counted

    script = [Call("find", {"a": 1, "b": 2}), Call("find", {"b": 2, "a": 1}), Call("find", {"a": 1, "b": 2})]
    runner = Runner(desk(script, tools=[find]), hand_over=keep(calls), locale="pt_BR")
    reply = await runner.generate_response(HELLO)
    assert reply.response == "Detectei um comportamento repetitivo. Transferindo para atendimento humano."
    assert (ran, calls, reply.category) == ([(1, 2), (1, 2)], [("tool_loop", None)], "tool_loop")


async def test_a_model_that_hangs_is_over_in_time(events: Captured) -> None:
    """The deadline ends the run although nothing comes from the model, and a person takes over."""
    calls: list[Any] = []
    runner = Runner(
        desk([Endless(seconds=0.01)]), limits="0.3s", hand_over=keep(calls), locale="pt_BR"
    )  # fmt: skip
    began = time.monotonic()
    reply = await runner.generate_response(HELLO)
    assert time.monotonic() - began < 5
    assert reply.response == "A IA demorou mais do que o esperado. Transferindo para atendimento humano."
    assert (calls, reply.category, reply.handed_over) == ([("deadline", None)], "deadline", True)


async def test_too_many_turns_are_no_answer(events: Captured) -> None:
    """A model that goes on and on is stopped before the turn that is too many, and no text of ours poses as its own."""
    script = [Call("look", {"query": str(number)}) for number in range(15)]
    reply = await Runner(desk(script), hand_over=lambda asked: None).generate_response(HELLO)
    assert (reply.category, reply.handed_over) == ("max_iterations", True)
    assert reply.response.endswith("Transferring you to a person.")
    assert len(events.of(CallStarted)) == 15


@pytest.mark.parametrize("hand_over", [None, lambda asked: 1 / 0])
async def test_a_transfer_that_did_not_happen_is_not_promised(hand_over: Any, events: Captured) -> None:
    """Nobody to hand over to, or an effect that fails: the text says so, and nothing was handed over."""
    runner = Runner(desk([Call("look", {"query": "a"})]), limits="1 turn", hand_over=hand_over)
    reply = await runner.generate_response(HELLO)
    assert (reply.kind, reply.handed_over, reply.category) == ("protection", False, "max_iterations")
    assert "try again later" in reply.response
    assert "ransfer" not in reply.response


@pytest.mark.parametrize(
    ("history", "category"),
    [
        ([], "empty_history"),
        ([{"role": "assistant", "content": "Hi"}], "no_user_message"),
        ([{"role": "user", "content": " "}], "no_user_message"),
        ([5], "invalid_history"),
    ],
)
async def test_nothing_to_answer_is_a_clean_error(history: list[Any], category: str, events: Captured) -> None:
    """Without a message of the user no run begins; the reply is the agreed word and names the category alone."""
    reply = await Runner(desk([])).generate_response(history)
    assert reply.as_dict() == {"response": "conversation_handoff", "reasoning": f"Error occurred: {category}"}
    assert (reply.kind, reply.category, reply.outcome, len(events)) == ("error", category, None, 0)


async def test_no_error_text_is_shown(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """What a provider or our own fault says stays in the outcome; reply and log name only what kind it was."""
    words = "key sk-1234 of bia@example.com is refused"
    broken = ModelError("auth", words, provider="openai", model="m", status=401)
    reply = await Runner(desk([broken])).generate_response(HELLO)
    assert reply.as_dict() == {"response": "conversation_handoff", "reasoning": "Error occurred: auth"}

    def instructions(context: Any) -> str:
        raise RuntimeError(words)

    reply = await Runner(desk(["Hi"], instructions=instructions)).generate_response(HELLO)
    assert reply.as_dict() == {"response": "conversation_handoff", "reasoning": "Error occurred: internal_error"}
    assert words not in caplog.text


async def test_a_limit_that_shall_raise_raises(events: Captured) -> None:
    """The application's own limit of mode `raise` comes out."""
    with pytest.raises(LimitExceeded):
        await Runner(desk([Call("look", {"query": "a"})]), limits="1 turn: raise").generate_response(HELLO)


async def test_cancelling_is_passed_on(events: Captured) -> None:
    """Whoever cancels the task is not answered, and the run is closed."""
    task = asyncio.create_task(Runner(desk([Endless(seconds=0.01)])).generate_response(HELLO))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events.of(RunEnded)[0].body.status == "cancelled"


async def test_what_instructions_and_tools_may_know(events: Captured) -> None:
    """The context has the session, the history without names, and the listed attributes; the record has ids alone."""
    seen: list[Any] = []

    def instructions(context: Any) -> str:
        seen.append(context)
        return ""

    agent = desk(["Hi"], instructions=instructions)
    history = [{"role": "assistant", "content": "Yes?", "agent_name": "daniela"}, *HELLO]
    await Runner(agent, assistant=SimpleNamespace(**ASSISTANT), conversation=CONVERSATION).generate_response(history)
    (context,) = seen
    assert context == {
        "session_id": "3_22", "current_agent": "ana_bot", "locale": "en",
        "conversation_history": [
            {"role": "assistant", "content": "Yes?", "agent_name": None},
            {"role": "user", "content": "Hello", "agent_name": None},
        ],
        "state": {
            "account_id": 3, "assistant_id": 7, "assistant_config": {"tone": "kind"},
            "conversation": {"id": 1, "display_id": 22, "status": "open"},
            "contact": {"id": 9, "name": "Bia", "email": "bia@example.com"},
        },
    }  # fmt: skip
    metadata = events.of(RunStarted)[0].body.metadata.value()
    assert {name: metadata[name] for name in metadata.keys() - {"agent", "model"}} == {
        "account_id": 3, "assistant_id": 7, "conversation_id": 1, "conversation_display_id": 22,
    }  # fmt: skip
    assert "bia@example.com" not in str(events[:])


async def test_what_is_sent_to_the_model(events: Captured) -> None:
    """Earlier messages, then the last one of the user with its picture."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    model = ScriptedModel(["Hi"])
    said = [*HELLO, {"role": "assistant", "content": {"response": "Yes?"}}]
    last = {"role": "user", "content": [{"type": "text", "text": "See"}, picture]}
    await Runner(desk(model)).generate_response([*said, last])
    (request,) = model.requests
    assert [message.text for message in request.messages] == ["Hello", "Yes?", "See"]
    assert [media.url for media in request.messages[2].media] == ["https://example.com/a.png"]


@pytest.mark.parametrize(
    ("last", "active", "explicit", "wanted"),
    [
        (None, lambda: True, None, "ana"),
        ("daniela", None, None, "ana"),
        ("daniela", lambda: False, None, "ana"),
        ("daniela", lambda: True, None, "daniela"),
        ("nobody", lambda: True, None, "ana"),
        pytest.param("daniela", lambda: 1 / 0, None, "ana", id="a test that fails"),
        (None, None, "Daniela", "daniela"),
    ],
)
async def test_who_begins(last: str | None, active: Any, explicit: str | None, wanted: str, events: Captured) -> None:
    """The agent that is named, else the one that spoke last while its work goes on, else the orchestrator."""
    crew = [
        desk(ScriptedModel(["I am ana"], strict=False), "Ana"),
        desk(ScriptedModel(["I am daniela"], strict=False), "Daniela"),
    ]
    runner = Runner(crew, start_agent=explicit, active_workflow=active)
    history = [{"role": "assistant", "content": "Yes?", "agent_name": last}, *HELLO]
    reply = await runner.generate_response(history)
    assert (reply.response, reply.agent_name) == (f"I am {wanted}", wanted)


def test_who_cannot_begin_is_said_at_once() -> None:
    """A name that no agent has is a mistake of the program, not of a message."""
    with pytest.raises(SettingsError, match=r"^start_agent='Dora' cannot be used: one of Ana, Daniela$"):
        Runner([desk(["x"], "Ana"), desk(["x"], "Daniela")], start_agent="Dora")


async def test_a_wrapped_up_run_has_its_last_words(events: Captured) -> None:
    """An application that prefers a last turn to a person gets that turn's words, which are no credit."""
    script = [Call("look", {"query": "a"}), "As far as I know."]
    reply = await Runner(desk(script), limits="2 turns: wrap_up").generate_response(HELLO)
    assert (reply.kind, reply.response, reply.billable) == ("answer", "As far as I know.", False)


async def test_the_agents_own_limits_hold_too(events: Captured) -> None:
    """A figure that the orchestrator states is kept where it is stricter."""
    script = [Call("look", {"query": "a"}), Call("look", {"query": "b"})]
    reply = await Runner(desk(script, limits="2 turns")).generate_response(HELLO)
    assert reply.category == "max_iterations"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"agents": []}, "at least one agent"),
        ({"agents": [5]}, "agents"),
        ({"agents": [desk([]), desk([], "ana_bot")]}, "another spelling"),
        ({"agents": desk([]), "hand_over": 5}, "hand_over=5"),
        ({"agents": desk([]), "callbacks": {"on_start": print}}, "on_start"),
        ({"agents": desk([]), "limits": "15 turnips"}, "15 turnips"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(facts: dict[str, Any], message: str) -> None:
    """A runner that could not work is not made."""
    with pytest.raises(SettingsError, match=message):
        Runner(**facts)


async def test_callbacks_do_not_change_the_reply(events: Captured) -> None:
    """All of them raise, and the reply is the one it would have been; the runner counts them."""

    def broken(*_: Any) -> None:
        raise RuntimeError("no")

    functions = dict.fromkeys(("on_agent_thinking", "on_tool_start", "on_tool_complete", "on_run_complete"), broken)
    runner = Runner(desk([Call("look", {"query": "a"}), Say("Hi")]), callbacks=functions)
    assert (await runner.generate_response(HELLO)).response == "Hi"
    assert runner.callbacks.failed == 5
