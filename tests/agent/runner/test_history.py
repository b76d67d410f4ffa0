from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.runner.history import Said, content_of, history_of, joined, slug
from tachograph.agent.transcript import closed
from tachograph.events.chat import Media, Text, ToolUse, assistant, result, user

URL = "https://example.com/a.png"
PICTURE = {"type": "image_url", "image_url": {"url": URL}}
CALL = ToolUse("1", "look", '{"n": 1}')


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Ana Bot", "ana_bot"),
        ("  Jasmine  ", "jasmine"),
        ("Recepção & Reservas", "recepcao_reservas"),
        ("Łódź-Straße", "lodz-strasse"),
        ("ana__bot!", "ana_bot"),
        ("日本", ""),
    ],
)
def test_names_are_spelled_plainly(name: str, wanted: str) -> None:
    """A name becomes lower-case letters without accents, everything else one underscore."""
    assert slug(name) == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Hi", "Hi"),
        (None, ""),
        (5, "5"),
        ({"response": "Hi", "reasoning": "r"}, "Hi"),
        ({"mood": "good"}, '{"mood": "good"}'),
        (SimpleNamespace(value="Hi"), "Hi"),
        (SimpleNamespace(value={"response": "Hi"}), "Hi"),
        ([{"type": "text", "text": "a"}, "b"], (Text("a"), Text("b"))),
        (
            SimpleNamespace(value=[{"type": "text", "text": "a"}, PICTURE]),
            (Text("a"), Media("image", "image/*", "https://example.com/a.png")),
        ),
    ],
)
def test_contents_are_unwrapped(raw: Any, wanted: Any) -> None:
    """Text, fields, parts and what a client library wraps around them become text, or texts and media."""
    assert content_of(raw) == (wanted, 0)


def test_the_last_word_of_the_user_is_what_is_asked() -> None:
    """Its text parts are joined by a blank, its picture stays; what stands around it is the conversation."""
    said = [{"type": "text", "text": "Is this"}, PICTURE, {"type": "text", "text": "free?"}]
    found = history_of([
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": {"response": "Hi!"}, "agent_name": "ana_bot"},
        {"role": "user", "content": said},
    ])  # fmt: skip
    assert found.said == (Said(user("Hello")), Said(assistant("Hi!"), "ana_bot"))
    assert found.prompt == user((Text("Is this"), Media("image", "image/*", URL), Text("free?")))
    assert (found.query, found.left_out, joined(user("x"))) == ("Is this free?", 0, "x")
    assert [(one["role"], one["agent_name"]) for one in found.plain()] == [
        ("user", None), ("assistant", None), ("user", None)
    ]  # fmt: skip


def test_an_answered_question_can_be_asked_again() -> None:
    """A reply that stands behind the last question goes before it: the question is not doubled."""
    found = history_of([{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}])
    assert (found.messages, found.prompt) == ((assistant("B"),), user("A"))


def test_nobody_asked() -> None:
    """An empty conversation, one of the agent alone, and one of blank words have nothing to answer."""
    assert history_of([]).prompt is None
    assert history_of([{"role": "assistant", "content": "Hi"}]).prompt is None
    assert history_of([{"role": "user", "content": "  "}, {"role": "user", "content": []}]).query == ""


def test_calls_and_results_stay_with_each_other() -> None:
    """Tool calls are read in either spelling; a result without its call is left out and counted."""
    found = history_of([
        {"role": "tool", "content": "lost", "tool_call_id": "9"},
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "name": "look", "arguments": {"n": 1}}]},
        {"role": "tool", "content": {"response": "seen"}, "tool_call_id": "1", "name": "look"},
        {"role": "tool", "content": "again", "tool_call_id": "1"},
        assistant("", ToolUse("2", "look")),
        {"role": "user", "content": "And?"},
        {"role": "assistant", "tool_calls": [{"id": "3", "function": {"name": "look", "arguments": "{}"}}]},
    ])  # fmt: skip
    assert found.messages == (
        user("Look"), assistant("", CALL), result(CALL, "seen"), assistant("", ToolUse("2", "look")),
        assistant("", ToolUse("3", "look")),
    )  # fmt: skip
    assert found.left_out == 2


def test_what_cannot_be_taken_is_left_out_and_counted() -> None:
    """Instructions, empty messages and attachments of an unknown kind do not stop a conversation; no message does."""
    found = history_of([
        {"role": "system", "content": "Be nice"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "hologram"}]},
    ])  # fmt: skip
    assert (found.said, found.prompt, found.left_out) == ((), user((Text("Hi"),)), 3)
    with pytest.raises(ValueError, match="not int"):
        history_of([5])
    with pytest.raises(ValueError, match="has a name"):
        history_of([{"role": "assistant", "tool_calls": [5]}])


def test_the_agent_that_spoke_last() -> None:
    """It is the last one other than the orchestrator; nobody's messages, and the user's, say nothing."""
    found = history_of([
        {"role": "assistant", "content": "a", "agent_name": "Daniela"},
        {"role": "assistant", "content": "b", "agent_name": "Ana Bot"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d", "agent_name": "nobody"},
    ])  # fmt: skip
    assert found.last_agent("ana_bot") == "daniela"
    assert found.last_agent("daniela") == "ana_bot"
    assert history_of([]).last_agent("ana_bot") is None


PARTS = st.sampled_from(["a", PICTURE, {"type": "odd"}])
CALLS = st.fixed_dictionaries({"id": st.sampled_from(["1", "2"]), "name": st.just("t")})
ITEMS = st.fixed_dictionaries({
    "role": st.sampled_from(["user", "assistant", "tool", "system"]),
    "content": st.none() | st.text(max_size=3) | st.lists(PARTS, max_size=2),
    "tool_call_id": st.sampled_from(["1", "2", None]),
    "tool_calls": st.lists(CALLS, max_size=2),
})  # fmt: skip


@given(st.lists(ITEMS, max_size=8))
def test_any_history_is_one_that_a_provider_takes(items: list[dict[str, Any]]) -> None:
    """Whatever an application kept, what is made of it has no result without its call."""
    found = history_of(items)
    assert len(closed(found.messages)) >= len(found.said)
    assert (found.prompt is None) <= (found.query == "")
