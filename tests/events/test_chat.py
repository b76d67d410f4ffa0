"""Messages as values: their recorded form, the way back, and what cannot be read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.chat import HIDDEN, Media, Message, Text, ToolUse, assistant, read, result, system, user

USE = ToolUse("call_1", "add", '{"a": 1, "key": "abc"}')
PNG = Media("image", "image/png", data=b"\x89PNG")


def test_the_recorded_form_is_that_of_openai_chat() -> None:
    """Calls as functions, content null beside them, results with the id of the call; others where set."""
    assert [
        message.plain() for message in (system("Be brief."), user("Hi."), assistant("", USE), result(USE, "2"))
    ] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": USE.arguments}}
            ],
        },
        {"role": "tool", "content": "2", "tool_call_id": "call_1", "name": "add"},
    ]
    thought = Message("assistant", "3", reasoning="1 + 2", provider_state="{}", cache=True)
    assert thought.plain() == {
        "role": "assistant", "content": "3", "reasoning_content": "1 + 2", "provider_state": "{}", "cache": True,
    }  # fmt: skip


def test_media_stand_beside_text() -> None:
    """Bytes become a data URL; text and media can be had apart."""
    message = user(["Look: ", PNG, Text("and "), Media("document", "application/pdf", url="https://example.org/a")])
    assert (message.text, [one.kind for one in message.media]) == ("Look: and ", ["image", "document"])
    assert message.plain()["content"] == [
        {"type": "text", "text": "Look: "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "media_type": "image/png"}},
        {"type": "text", "text": "and "},
        {"type": "file_url", "file_url": {"url": "https://example.org/a", "media_type": "application/pdf"}},
    ]
    assert (user("Hi.").media, user("Hi.").text) == ((), "Hi.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"a": 1, "key": "abc"}', {"a": 1, "key": HIDDEN}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1, "key": "ab', HIDDEN),
        ("[1]", HIDDEN),
    ],
)
def test_hidden_arguments_are_not_told(arguments: str, told: Any) -> None:
    """Their values are left out of the recorded form; of text that cannot be read nothing is told."""
    use = ToolUse("call_1", "add", arguments, hidden=("key",))
    assert msgspec.json.decode(use.told()) == told
    assert assistant("", use).plain()["tool_calls"][0]["function"]["arguments"] == use.told()


def test_what_others_write_is_read() -> None:
    """Developer instructions, content that is null, parts as text or mappings, arguments that are no text."""
    assert read({"role": "developer", "content": "Be brief."}) == system("Be brief.")
    assert read({"role": "assistant", "content": None, "tool_calls": [USE]}) == assistant("", USE)
    call = {"id": None, "function": {"name": "add", "arguments": {"a": 1}}}
    assert read({"role": "assistant", "tool_calls": [call]}) == assistant("", ToolUse("", "add", "{}"))
    parts = [
        "Look: ",
        {"type": "text", "text": "here"},
        PNG,
        {"type": "image_url", "image_url": "data:image/gif;base64,AA"},
    ]
    held = (Text("Look: "), Text("here"), PNG, Media("image", "image/gif", "data:image/gif;base64,AA"))
    assert read({"role": "user", "content": parts}) == Message("user", held)
    bare = {"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}}
    assert read({"role": "user", "content": [bare]}).media == (Media("audio", "audio/*", "https://example.org/a.mp3"),)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"content": "Hi."}, "role is system, user, assistant or tool, not None"),
        ({"role": "robot"}, "not 'robot'"),
        ({"role": "user", "content": 3}, "text or a list of parts, not int"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "a text or one of image_url, .*not {'type': 'hologram'}"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "a function with a name, not {'id': 'x'}"),
        ({"role": "assistant", "tool_calls": ["add"]}, "a function with a name, not add"),
    ],
)
def test_what_cannot_be_read_is_named(plain: dict[str, Any], said: str) -> None:
    """The error says what was there instead."""
    with pytest.raises(ValueError, match=said):
        read(plain)


TEXTS = st.text(max_size=20)
USES = st.builds(ToolUse, TEXTS, TEXTS, TEXTS)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    TEXTS | st.lists(st.builds(Text, TEXTS), max_size=3).map(tuple),
    st.lists(USES, max_size=2).map(tuple),
    st.none() | TEXTS,
    st.none() | TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.booleans(),
)


@given(MESSAGES)
def test_every_message_is_read_back_from_its_recorded_form(message: Message) -> None:
    """Through JSON and back it is the same value, with the same recorded form."""
    again = read(msgspec.json.decode(msgspec.json.encode(message.plain())))
    assert again == message
    assert again.plain() == message.plain()
