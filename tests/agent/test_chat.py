from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tachograph.agent.chat import Chat
from tachograph.agent.hooks import Block, Hooks
from tachograph.agent.progress import MessageAdded, RunDone
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import check
from tachograph.errors import InvalidTranscript, ModelError, SettingsError, TachographError
from tachograph.events.chat import Media, ToolUse, assistant, result, user
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted
from tachograph.events.usage import Usage
from tachograph.providers.scripted import Call, Say, ScriptedModel, Silent
from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio
HERE = Media("image", "image/png", data=b"\x89PNG")


def chat(*script: Any, **fields: Any) -> Chat:
    """A conversation with a scripted agent."""
    return Chat(agent(list(script), **fields))


async def test_what_was_said_is_sent_again(events: Captured) -> None:
    """The second ask begins with the first; both are runs of one session."""
    model = ScriptedModel(["one", "two"])
    talk = Chat(agent(model, instructions="Count."), session="s")
    assert (await talk.ask("a")).answer == "one"
    assert (await talk.ask("b")).answer == "two"
    assert [message.text for message in talk.messages] == ["a", "one", "b", "two"]
    assert [message.text for message in model.requests[1].messages] == ["Count.", "a", "one", "b"]
    assert [event.body.session for event in events.of(RunStarted)] == ["s", "s"]


async def test_asks_at_the_same_time_wait_for_each_other(events: Captured) -> None:
    """Three asks at once leave three whole exchanges."""
    talk = chat(*(Say(str(n), seconds=0.02) for n in range(3)))
    await asyncio.gather(*(talk.ask(f"q{n}") for n in range(3)))
    check(talk.messages)
    assert [message.role for message in talk.messages] == ["user", "assistant"] * 3


async def test_clearing_happens_when_it_is_ones_turn(events: Captured) -> None:
    """`clear_context` forgets what the ask before has said, not what is being said."""
    talk = chat(Say("1", seconds=0.02), "2")
    await asyncio.gather(talk.ask("a"), talk.ask("b", clear_context=True))
    assert [message.text for message in talk.messages] == ["b", "2"]


async def test_a_blocked_prompt_leaves_the_conversation_alone(events: Captured) -> None:
    """Nothing is stored, and the words of the hook are in the outcome."""
    hooks = Hooks()
    hooks.on("user_prompt", lambda moment: Block("no"))
    talk = chat(hooks=hooks)
    found = await talk.ask("a")
    assert (found.stop_reason, found.detail, talk.message_count) == ("guardrail_block", "no", 0)


async def test_complete_goes_on_without_prompt_and_hooks(events: Captured) -> None:
    """The model is asked with the conversation as it stands."""
    hooks = Hooks()
    hooks.on("user_prompt", lambda moment: Block("no"))
    talk = chat("hello", hooks=hooks)
    talk.add_message({"role": "user", "content": "hi"})
    assert (await talk.complete()).answer == "hello"
    assert [message.text for message in talk.messages] == ["hi", "hello"]


async def test_reminders_in_a_message_go_with_the_next_request_alone(events: Captured) -> None:
    """Tags are taken out of what is added, attachments stay, and the next request ends with the reminder."""
    model = ScriptedModel(["ok", "ok"])
    talk = Chat(agent(model))
    said = "look<system-reminder>quickly</system-reminder>"
    added = talk.add_message(user([said, HERE]))
    assert (added.text, added.media) == ("look", (HERE,))
    await talk.complete()
    assert "quickly" in model.requests[0].messages[-1].text
    await talk.ask("more")
    assert "quickly" not in model.requests[1].messages[-1].text


async def test_an_ephemeral_reminder_is_sent_once(events: Captured) -> None:
    """Also when the request is repeated; never after it."""
    busy = ModelError("overloaded", "busy", status=529, safe=True)
    model = ScriptedModel([busy, "1", "2"])
    talk = Chat(agent(model))
    talk.add_ephemeral_reminder("hurry")
    await talk.ask("a")
    await talk.ask("b")
    assert ["hurry" in str(request.messages) for request in model.requests] == [True, True, False]
    assert "hurry" not in str(talk.messages)


async def test_a_reminder_outlives_an_ask_that_is_stopped_before_its_request(events: Captured) -> None:
    """It was said to nobody: the next request has it, once."""
    model = ScriptedModel(["1", "2"])
    talk = Chat(agent(model))
    talk.add_ephemeral_reminder("hurry")
    assert (await talk.ask("a", limits="10 tokens")).stop_reason == "token_budget"
    assert model.requests == []
    await talk.ask("b")
    await talk.ask("c")
    assert ["hurry" in str(request.messages) for request in model.requests] == [True, False]


async def test_tools_change_with_the_next_request(events: Captured) -> None:
    """Immutable ones stay; a tool may change the set itself."""

    async def load() -> str:
        talk.remove_mutable_tools()
        talk.add_tool(extra)
        talk.mark_skill_loaded("skills/extra.md")
        return "loaded"

    async def extra() -> str:
        return "extra"

    model = ScriptedModel([Call("load", {}), "done"])
    talk = Chat(agent(model, tools=[load, extra_of("old")]))
    talk.mark_tools_immutable("load")
    await talk.ask("go")
    assert [[tool.name for tool in request.tools] for request in model.requests] == [["load", "old"], ["load", "extra"]]
    assert (talk.skill_loaded, talk.active_skill_path) == (True, "skills/extra.md")
    assert (talk.tool_names, talk.tool_count, talk.has_tool("old")) == (("extra", "load"), 2, False)
    assert talk.non_delegation_tool_names == ("load", "extra")
    assert talk.remove_tool("load") is None
    assert talk.remove_tool("extra") is not None
    with pytest.raises(SettingsError):
        talk.add_tool(load)


def extra_of(name: str) -> dict[str, Any]:
    """A tool by its schema."""
    return {"name": name, "description": "", "parameters": {"type": "object", "properties": {}}, "function": str}


async def test_a_conversation_that_was_called_off_can_go_on(events: Captured) -> None:
    """After a cancellation the messages are valid, and the next ask works."""
    talk = chat(Silent("hm"), "fine")
    handle = talk.start("a")
    await asyncio.sleep(0.05)
    assert handle.cancel()
    assert (await handle.outcome()).status == "cancelled"
    check(talk.messages)
    assert (await talk.ask("b")).answer == "fine"


async def test_an_ask_that_waits_can_be_called_off(events: Captured) -> None:
    """It never becomes a run."""
    talk = chat(Say("1", seconds=0.1))
    first, second = talk.start("a"), talk.start("b")
    await asyncio.sleep(0.02)
    second.cancel()
    assert (await second.outcome()).stop_reason == "user_cancel"
    assert (await first).answer == "1"
    assert len(events.of(RunStarted)) == 1


async def test_figures_of_the_context_come_from_the_last_request(events: Captured) -> None:
    """Input is that of the last request, output adds up, and cached input is no effective one."""
    usage = [Usage(input_uncached=100, cache_read=900, output=n, basis="provider") for n in (10, 20, 30)]
    model = ScriptedModel([Say("x", usage=one) for one in usage], context_window=2000)
    talk = Chat(agent(model))
    for word in "abc":
        await talk.ask(word)
    figures = talk.usage
    assert (figures.cumulative_input_tokens, figures.cumulative_output_tokens) == (1000, 60)
    assert (figures.effective_input_tokens, figures.cumulative_cached_tokens) == (100, 2700)
    assert (figures.context_usage_percentage, figures.tokens_remaining, figures.context_limit) == (53.0, 940, 2000)
    talk.clear_conversation()
    assert (figures.cumulative_total_tokens, talk.messages) == (0, ())


async def test_the_conversation_can_be_made_smaller_at_any_time(events: Captured) -> None:
    """By half or more, as a run that nobody pays for; the figures follow, and asks go on from it."""
    usage = Usage(input_uncached=4000, output=100, basis="provider")
    model = ScriptedModel([Say("x", usage=usage), "All that was.", "y"], context_window=20_000)
    talk = Chat(agent(model), messages=[one for n in range(9) for one in (user(f"q{n}"), assistant("word " * 200))])
    talk.add_ephemeral_reminder("hurry")
    await talk.ask("a")
    assert (talk.context_usage_percentage, talk.tokens_remaining) == (20.5, 15_900)
    talk.add_ephemeral_reminder("hurry again")
    done = await talk.compact_context(keep=1)
    assert (done.steps, done.original_message_count, done.compressed_message_count) == (
        ("summarise",),
        20,
        talk.message_count,
    )
    assert done.compressed_tokens <= done.original_tokens // 2
    assert done.messages_removed == done.messages_summarized - 1 > 5
    assert talk.tokens_remaining == 20_000 - done.compressed_tokens
    assert [event.body.discarded for event in events.of(RunEnded)] == [False, True]
    check(talk.messages)
    assert (await talk.ask("b")).answer == "y"
    assert model.requests[-1].messages[: len(talk.messages) - 2] == talk.messages[:-2]
    assert ["hurry again" in str(request.messages) for request in model.requests] == [False, False, True]


async def test_nothing_can_be_made_of_nothing(events: Captured) -> None:
    """An empty conversation stays as it is, and no run is recorded; fields there are not are named."""
    talk = chat()
    assert (await talk.compact_context()).compression_ratio == 1.0
    assert list(events) == []
    with pytest.raises(SettingsError, match="windows"):
        await talk.compact_context(windows=20)


def test_it_can_be_made_smaller_without_an_event_loop(events: Captured) -> None:
    """The same, for programs that cannot await."""
    talk = Chat(agent([]), messages=[one for n in range(9) for one in (user(f"q{n}"), assistant("word " * 200))])
    done = talk.compact_context_sync(steps=("window",))
    assert (done.steps, talk.message_count) == (("window",), done.compressed_message_count)
    assert talk.messages[1].name == "notice"


async def test_marks_of_the_window_are_passed_once_and_again_when_there_was_room(events: Captured) -> None:
    """In one conversation, whatever number of runs; made smaller or cleared it may pass them again."""

    def warned() -> list[int]:
        notes = [event.body for event in events.of(Note) if event.body.name == "context_warning"]
        return [json.loads(note.data.text or "")["threshold"] for note in notes]

    model = ScriptedModel(
        [
            Say("x", usage=Usage(input_uncached=used, output=0, basis="provider"))
            for used in (6500, 7000, 8500, 8700, 6500)
        ],
        context_window=10_000,
    )
    talk = Chat(agent(model, compaction=None), messages=[user("q"), assistant("word " * 500)])
    for word in "abc":
        await talk.ask(word)
    assert warned() == [60, 80]
    assert (await talk.compact_context(steps=("window",), to=10)).changed
    await talk.ask("d")
    assert warned() == [60, 80, 60, 80]
    talk.clear_conversation()
    await talk.ask("e")
    assert warned() == [60, 80, 60, 80, 60]


def test_messages_can_be_looked_at_and_replaced_but_not_broken() -> None:
    """Finding, undoing, replacing whole or not at all, and a way through JSON."""
    talk = chat()
    talk.replace_messages([user("a"), assistant("b"), {"role": "user", "content": "c"}])
    assert (talk.message_count, talk.has_user_message) == (3, True)
    assert talk.find_last_message_index(lambda message: message.role == "user") == 2
    assert (talk.last_assistant_message, talk.assistant_messages) == (assistant("b"), (assistant("b"),))
    with pytest.raises(InvalidTranscript):
        talk.replace_messages([result(ToolUse("x", "y"), "z")])
    with pytest.raises(ValueError, match="role"):
        talk.add_message({"role": "wizard", "content": ""})
    kept = json.loads(json.dumps(talk.conversation_snapshot()))
    assert talk.undo()
    assert [message.text for message in talk.messages] == ["a", "b"]
    talk.restore_conversation(kept)
    assert talk.message_count == 3
    with pytest.raises(ValueError, match="messages"):
        talk.restore_conversation({})


def test_instructions_are_added_to_or_replaced() -> None:
    """By default a prompt joins the one there is."""
    talk = chat(instructions="A")
    talk.configure_system_prompt("B")
    assert talk.instructions == "A\n\nB"
    talk.configure_system_prompt("C", replace=True)
    assert talk.instructions == "C"


async def test_listeners_hear_what_happens_in_all_runs(events: Captured) -> None:
    """Subscriptions belong to the conversation, not to one run."""
    talk = chat("1", "2")
    told: list[str] = []
    talk.subscribe((MessageAdded, RunDone), lambda value: told.append(type(value).__name__))
    once = talk.once(RunDone, lambda value: told.append("once"))
    await talk.ask("a")
    await talk.ask("b")
    assert told == ["MessageAdded", "MessageAdded", "RunDone", "once", "MessageAdded", "MessageAdded", "RunDone"]
    assert not once.active


def test_talking_works_without_an_event_loop(events: Captured) -> None:
    """`ask_sync` twice: each on a loop of its own."""
    talk = chat("1", "2")
    assert [talk.ask_sync(word).answer for word in "ab"] == ["1", "2"]
    assert (talk.model_id, talk.model_provider, talk.model_context_window) == ("scripted", "scripted", None)
    assert talk.model_lookup_warning is None


async def test_facts_of_the_context_go_with_every_run(events: Captured) -> None:
    """User, tags and tenant are in the record of each run from then on; a wrong word is refused."""
    talk = chat("1")
    talk.setup_context(user="u", tags=("t",), session="s")
    await talk.ask("a")
    body = events.of(RunStarted)[0].body
    assert (body.user, body.tags, body.session) == ("u", ("t",), "s")
    with pytest.raises(SettingsError, match="colour"):
        talk.setup_context(colour="red")


async def test_what_is_added_during_an_ask_stays(events: Captured) -> None:
    """It stands behind what the run says."""
    talk = chat(Say("one", seconds=0.05))
    asking = asyncio.create_task(talk.ask("a"))
    await asyncio.sleep(0.02)
    talk.add_message(user("and"))
    await asking
    assert [message.text for message in talk.messages] == ["a", "one", "and"]


@pytest.mark.parametrize("before", [0, 1])
async def test_a_conversation_that_is_cleared_during_an_ask_stays_cleared(events: Captured, before: int) -> None:
    """What the run says then is in its outcome alone."""
    talk = chat(*["hello"] * before, Say("one", seconds=0.05))
    for _ in range(before):
        await talk.ask("hi")
    asking = asyncio.create_task(talk.ask("a"))
    await asyncio.sleep(0.02)
    talk.clear_conversation()
    assert (await asking).answer == "one"
    assert talk.messages == ()


async def test_streams_at_the_same_time_are_apart(events: Captured) -> None:
    """Each has the values of its own run, and listeners to the conversation have all."""
    talk, told = chat(*(Say(word, seconds=0.02) for word in ("one", "two"))), list[RunDone]()
    talk.subscribe(RunDone, told.append)

    async def read(prompt: str) -> list[str]:
        return [value.outcome.answer async for value in talk.stream(prompt) if isinstance(value, RunDone)]

    found = await asyncio.gather(read("a"), read("b"))
    assert list(found) == [["one"], ["two"]]
    assert [value.outcome.answer for value in told] == ["one", "two"]


async def test_a_stream_of_an_ask_that_cannot_be_begun_raises(events: Captured) -> None:
    """Nobody waits for values that do not come, and reminders that wait go on waiting."""
    model = ScriptedModel(["ok"])
    talk = Chat(agent(model))
    talk.add_ephemeral_reminder("slowly")
    with pytest.raises(SettingsError):
        async with asyncio.timeout(1):
            [value async for value in talk.stream("a", limits="a few")]
    await talk.ask("b")
    assert "slowly" in model.requests[0].messages[-1].text


async def test_instructions_see_what_an_ask_brings(events: Captured) -> None:
    """A function that makes them gets the context of this ask, not only that of the conversation."""
    model = ScriptedModel(["ok"] * 2)
    talk = Chat(agent(model, instructions=lambda context: f"For {context['name']}."), context={"name": "Ann"})
    await talk.ask("a")
    await talk.ask("b", context={"name": "Bob"})
    assert [request.messages[0].text for request in model.requests] == ["For Ann.", "For Bob."]


async def test_completing_asks_no_hooks_of_the_conversation_either(events: Captured) -> None:
    """Hooks that came with the conversation are left out like those of the agent."""
    hooks, seen = Hooks(), list[str]()
    hooks.on("agent_stop", lambda moment: seen.append(moment.event))
    talk = Chat(agent(["ok"]), messages=[user("a")], hooks=hooks)
    await talk.complete()
    assert seen == []


async def test_instructions_in_a_conversation_join_ours(events: Captured) -> None:
    """A conversation from elsewhere begins with some: a request has one system message, and says each once."""
    model = ScriptedModel(["ok"] * 2)
    talk = Chat(agent(model, instructions="Be brief."), messages=[{"role": "system", "content": "Be kind."}, user("a")])
    await talk.complete()
    talk.replace_messages([{"role": "system", "content": "Be brief."}, user("b")])
    await talk.complete()
    roles = [[message.role for message in request.messages] for request in model.requests]
    assert roles == [["system", "user"]] * 2
    assert talk.instructions == "Be brief.\n\nBe kind."


async def test_the_log_leaves_out_what_tools_redact(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """Neither replies, nor tool calls, nor the outcome say it."""

    async def login(name: str, motto: str) -> str:
        return f"{name} is in" if motto else "out"

    caplog.set_level("INFO", "tachograph.chat")
    talk = chat(Call("login", {"name": "Ann", "motto": "ever onward"}), "ok", tools=[Tool.of(login, redact=("motto",))])
    talk.setup_logging()
    await talk.ask("go")
    assert "ever onward" not in caplog.text
    assert "Ann" in caplog.text
    assert "RunDone" in caplog.text


async def test_an_ask_that_would_wait_for_itself_is_refused(events: Captured) -> None:
    """From a tool of the same conversation, and plainly on the loop where another ask is under way."""

    async def again() -> str:
        return (await talk.ask("inner")).answer or ""

    talk = Chat(agent([Call("again"), Say("done", seconds=0.1)], tools=[again]))
    asking = talk.start("outer")
    await asyncio.sleep(0.05)
    with pytest.raises(TachographError, match="await"):
        talk.ask_sync("now")
    found = await asking
    assert found.completed
    assert "wait for itself" in next(message.text for message in found.messages if message.role == "tool")
