from __future__ import annotations

import asyncio
import html
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph import Guardrail, Memory
from tachograph.agent.chat import Chat
from tachograph.agent.guardrails.untrusted import visible
from tachograph.agent.memory import UNTRUSTED, Item, chosen, query_of, recalled
from tachograph.agent.recorded import state_of
from tachograph.errors import SettingsError
from tachograph.events.chat import Media, assistant, system, user
from tachograph.events.chat import Message as Said
from tachograph.events.note import Note
from tachograph.events.run import StepEnded, StepStarted
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured, capture
from tests.agent.running import agent, names, ran

pytestmark = pytest.mark.anyio
HEAD = f"What is remembered from earlier conversations. {UNTRUSTED}"


def block(*lines: str) -> str:
    """The block that tells these lines."""
    return "\n".join((f"<memory>\n{HEAD}", *(f"- {line}" for line in lines), "</memory>"))


def told(model: ScriptedModel, request: int = 0) -> str:
    """The instructions of a request."""
    first = model.requests[request].messages[0]
    return first.text if first.role == "system" else ""


def step_of(events: Captured) -> tuple[Any, Any, str]:
    """Input, output and status of the one recall."""
    (started,) = [event for event in events.of(StepStarted) if event.body.kind == "retrieval"]
    (ended,) = [event for event in events.of(StepEnded) if event.step == started.seq]
    decode = msgspec.json.decode
    return decode(started.body.input.text or ""), decode(ended.body.output.text or ""), ended.body.status


@pytest.mark.parametrize(
    "instructions", ["Be kind.", lambda context: f"Be {context['how']}."], ids=["text", "function"]
)
async def test_what_is_remembered_ends_the_instructions(events: Captured, instructions: Any) -> None:
    """For this run alone: the agent is what it was, and the conversation does not hold it."""
    asked: list[str] = []

    def recall(query: str) -> list[str]:
        asked.append(query)
        return ["likes tea", "has a dog"]

    model = ScriptedModel([Call("add", {"a": 1, "b": 2}), "hello"])
    one = agent(model, instructions=instructions, memory=Memory(recall=recall))
    found = await ran(one, events, "I am back", context={"how": "kind"})
    assert asked == ["I am back"]
    assert told(model, 0) == told(model, 1) == "Be kind.\n\n" + block("likes tea", "has a dog")
    assert one.instructions is instructions
    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    given = {"items": [{"text": "likes tea", "score": None}, {"text": "has a dog", "score": None}], "told": 2}
    assert step_of(events) == ({"query": "I am back"}, given, "completed")


async def test_an_agent_without_instructions_remembers_too(events: Captured) -> None:
    """The block stands first, and is no part of the conversation; a system message of the history stays."""
    model = ScriptedModel(["hello"])
    history = (system("From the history."), user("before"), assistant("yes"))
    found = await ran(agent(model, memory=Memory(recall=lambda query: ["x"])), events, "hi", history=history)
    assert [message.text for message in model.requests[0].messages[:2]] == [block("x"), "From the history."]
    assert found.messages[0].text == "From the history."


async def test_the_last_words_of_a_person_are_asked_for(events: Captured) -> None:
    """Of a prompt with an image its text; without a prompt the last of the history, but for what the runtime says."""
    asked: list[str] = []
    memory = Memory(recall=asked.append)
    image = Media("image", "image/png", url="u")
    prompt: Any = ["look ", image, "here"]
    await ran(agent(["ok"], memory=memory), events, prompt)
    await agent(["ok"], memory=memory).run(
        None, history=(user("old"), assistant("a"), Said("user", "nudge", name="nudge"))
    )
    await agent(["ok"], memory=memory).run([image])
    assert asked == ["look here", "old"]
    assert query_of(()) == ""


@pytest.mark.parametrize("given", [None, [], [" "], ""], ids=repr)
async def test_nothing_remembered_changes_nothing(events: Captured, given: Any) -> None:
    """The instructions are what they are; that it was asked is recorded."""
    model = ScriptedModel(["ok"])
    await ran(agent(model, instructions="Be kind.", memory=Memory(recall=lambda query: given)), events)
    assert told(model) == "Be kind."
    assert (step_of(events)[2], names(events)) == ("completed", [])


def broken(query: str) -> list[str]:
    """Fails."""
    raise OSError("no line")


async def late(query: str) -> list[str]:
    """Takes its time."""
    await asyncio.sleep(5)
    return ["late"]


def blocking(query: str) -> list[str]:
    """Takes its time, and the thread's."""
    time.sleep(0.4)
    return ["late"]


@pytest.mark.parametrize(
    ("recall", "problem"),
    [(broken, "OSError: no line"), (late, "Overdue"), (blocking, "Overdue"), (lambda query: [3], "TypeError")],
    ids=["raises", "late", "blocks", "no items"],
)
async def test_a_recall_that_fails_is_a_note_and_no_error(events: Captured, recall: Any, problem: str) -> None:
    """The run goes on with its own instructions."""
    model = ScriptedModel(["ok"])
    found = await ran(agent(model, instructions="Be kind.", memory=Memory(recall=recall, seconds=0.1)), events)
    assert (found.status, told(model)) == ("completed", "Be kind.")
    assert (step_of(events)[2], names(events)) == ("failed", ["memory_failed"])
    assert problem in str([event.body.data.text for event in events.of(Note)])


async def test_a_blocked_prompt_recalls_nothing(events: Captured) -> None:
    """Guardrails come first."""
    nobody = Guardrail(name="nobody", on="input")
    one = agent([], memory=Memory(recall=broken), guardrails=[nobody])
    found = await ran(one, events, "bad")
    assert (found.stop_reason, names(events)) == ("guardrail_block", [])


async def test_each_ask_of_a_chat_remembers_anew(events: Captured) -> None:
    """The block of an earlier ask is gone."""
    model = ScriptedModel(["a", "b"])
    chat = Chat(agent(model, instructions="Be kind.", memory=Memory(recall=lambda query: [f"about {query}"])))
    await chat.ask("tea")
    await chat.ask("dogs")
    assert [told(model, 0), told(model, 1)] == [f"Be kind.\n\n{block(f'about {what}')}" for what in ("tea", "dogs")]
    assert [message.role for message in chat.messages] == ["user", "assistant"] * 2


async def test_what_is_remembered_is_read_back(events: Captured) -> None:
    """The fold of the events has the instructions with the block, before and after the first request."""
    for instructions in ("Be kind.", ""):
        model = ScriptedModel(["ok"])
        with capture() as more:
            await ran(agent(model, instructions=instructions, memory=Memory(recall=lambda query: ["x"])), more)
        noted = next(place for place, event in enumerate(more) if getattr(event.body, "name", "") == "memory_recalled")
        for events_until in (more[: noted + 1], more[:]):
            assert state_of(events_until).messages[0].text == told(model)


# ---- the block ------------------------------------------------------------------------------------------------------

PIECES = some.sampled_from(["</memory>", "<", ">", "\n", "- ", "&lt;", "a", "\uff1c", "\0"])
TEXTS = some.text(some.characters(codec=None, exclude_categories=())) | some.lists(PIECES).map("".join)


@given(items=some.lists(TEXTS, max_size=8), top=some.integers(1, 5), most=some.integers(1, 60))
def test_no_memory_ends_its_block_or_is_longer_than_it_may_be(items: list[str], top: int, most: int) -> None:
    """Whatever was remembered: one end, the last line; no more items and characters than allowed; and it is valid."""
    memory = Memory(recall=lambda query: items, top=top, most_chars=most)
    with capture():
        made = asyncio.run(recalled(memory, "q", 5, lambda name, data: None))
    if not made:
        assert most == 1 or not any(visible(text).strip() for text in items[:1])
        return
    first, head, *lines, last = made.split("\n")
    assert (first, head, last) == ("<memory>", HEAD, "</memory>")
    assert made.count("<") == made.count(">") == 2
    assert all(line.startswith("- ") for line in lines)
    assert 1 <= len(lines) <= top
    assert all(line[2:].strip() for line in lines)
    assert sum(len(html.unescape(line[2:])) for line in lines) <= most
    made.encode()


def test_the_nearest_come_first_where_all_have_a_score() -> None:
    """Else they stay in the order in which they were given."""
    assert [item.text for item in chosen([("a", 0.1), ("b", 0.9), Item("c", 0.5)], 2)] == ["b", "c"]
    assert [item.text for item in chosen([("a", 0.1), "b", ("c", 0.9)], 5)] == ["a", "b", "c"]
    assert [item.text for item in chosen([("a", 0.1), ("b", float("nan"))], 5)] == ["a", "b"]


async def test_title_and_tag_are_the_programs(events: Captured) -> None:
    """What is said of its being untrusted stays; a title cannot end the block either."""
    memory = Memory(recall=lambda query: ["a\n- b"], title="Cliente </x>.", tag="memoria_cliente")
    made = await recalled(memory, "q", 5, lambda name, data: None)
    assert made == f"<memoria_cliente>\nCliente &lt;/x&gt;. {UNTRUSTED}\n- a - b\n</memoria_cliente>"


@pytest.mark.parametrize(
    "fields", [{"recall": 3}, {"top": 0}, {"seconds": 0}, {"most_chars": 0}, {"tag": "a>b"}], ids=str
)
def test_what_cannot_be_used_is_refused_at_once(fields: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(SettingsError, match=next(iter(fields))):
        Memory(**{"recall": broken, **fields})
