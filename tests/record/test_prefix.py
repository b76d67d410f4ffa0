"""The prefix index: a growing conversation records only what is new."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events import chat
from tachograph.record.prefix import Prefix, bytes_of, key_of, role_of, size_of

Message = dict[str, Any]


class Book:
    """Records messages as the door does, and can read any node's path back."""

    def __init__(self, retain: int = 1 << 20) -> None:
        self.prefix = Prefix(retain)
        self.prefix.measured = True
        self.nodes: list[tuple[int | None, Message]] = []

    def say(self, messages: list[Message]) -> int | None:
        """Record one request; its node."""
        parent, fresh = self.prefix.split(messages)
        for key, message in fresh:
            self.nodes.append((parent, copy.deepcopy(message)))
            self.prefix.learn(key, len(self.nodes) - 1, parent, len(str(message)))
            parent = len(self.nodes) - 1
        return parent

    def path(self, node: int | None) -> list[Message]:
        """The messages up to a node."""
        found: list[Message] = []
        while node is not None:
            node, message = self.nodes[node]
            found.append(message)
        return found[::-1]


scalars = st.one_of(st.text(max_size=4), st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 1.0]))
message_values = st.dictionaries(st.sampled_from("abc"), st.one_of(scalars, st.lists(scalars, max_size=2)), max_size=3)


@given(st.lists(st.lists(message_values, max_size=5), max_size=6), st.integers(0, 200))
def test_every_request_reads_back_exactly(requests: list[list[Message]], retain: int) -> None:
    """Whatever was said before, however little is remembered: a node's path is the request, types and key order too."""
    book = Book(retain)
    for request in requests:
        said = book.path(book.say(request))
        assert repr(said) == repr(request)


def test_a_growing_conversation_stores_each_message_once() -> None:
    """Two hundred turns make two hundred nodes, whether the strings are the same objects or were parsed again."""
    book, talk = Book(), []
    for turn in range(200):
        talk.append({"role": "user", "content": f"turn {turn}"})
        book.say(talk)
        book.say(copy.deepcopy(talk))
    assert [message for _, message in book.nodes] == talk


def test_a_message_changed_in_place_is_a_new_message() -> None:
    """The index keeps text, not identity."""
    book = Book()
    talk = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    first = book.say(talk)
    talk[0]["content"] = "changed"
    second = book.say(talk)
    assert (book.path(first)[0]["content"], book.path(second)[0]["content"]) == ("one", "changed")


def test_branches_share_what_they_share() -> None:
    """Going back and taking another way records only the other way; returning records nothing."""
    book = Book()
    trunk = [{"role": "user", "content": "start"}]
    left = book.say([*trunk, {"role": "user", "content": "left"}])
    right = book.say([*trunk, {"role": "user", "content": "right"}])
    again = book.say([*trunk, {"role": "user", "content": "left"}])
    assert (left, right, again, len(book.nodes)) == (1, 2, 1, 3)


def test_keys_tell_values_apart_that_compare_equal() -> None:
    """1, 1.0 and True are different messages; so are two orders of the same keys."""
    values: list[Any] = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": "x", "b": "y"}, {"b": "y", "a": "x"}]
    assert len({key_of(value) for value in values}) == len(values)


def test_roles_are_read_as_the_source_says_them() -> None:
    """Mappings by role or type, objects by attribute, plain text is the user's."""

    class Said:
        role = "model"

    found = [
        role_of(value) for value in ({"role": "tool"}, {"type": "reasoning"}, {"x": 1}, Said(), "text", {"role": 3})
    ]
    assert found == ["tool", "reasoning", "unknown", "model", "user", "unknown"]


class Watched(str):
    """A text that tells when it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Watched.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_frozen_messages_are_compared_by_identity() -> None:
    """A conversation of the same objects is looked at nowhere; equal ones made anew are the same messages."""
    book = Book()
    talk = [chat.user(Watched(f"turn {turn}")) for turn in range(50)]
    first = book.say(list(talk))  # type: ignore[arg-type]  # frozen messages, not dictionaries
    Watched.compared = 0
    assert book.say([*talk, chat.assistant("done")]) == 50  # type: ignore[list-item]
    assert (first, Watched.compared) == (49, 0)
    again = [chat.read(message.plain()) for message in talk]
    assert book.say([*again, chat.assistant("done")]) == 50  # type: ignore[list-item]
    assert len(book.nodes) == 51


@given(st.lists(st.lists(message_values, max_size=5), max_size=6), st.integers(0, 200))
def test_the_size_of_a_request_is_that_of_its_messages(requests: list[list[Message]], retain: int) -> None:
    """However much of it is known already, and however little is remembered."""
    book = Book(retain)
    for request in requests:
        parent, fresh = book.prefix.split(request)
        assert book.prefix.size(parent, fresh) == sum(size_of(key_of(message)) for message in request)
        book.say(request)


def test_a_message_counts_with_its_text_and_not_with_its_media() -> None:
    """UTF-8 bytes of what the model reads; an image counts as images are billed, wherever it stands."""
    call = chat.ToolUse("c1", "look", '{"q": "é"}')
    said = chat.Message("assistant", "ja, schön", (call,), reasoning="hm", provider_state="xx")
    assert size_of(said) == 16 + 10 + 2 + 2 + 16 + 4 + 11
    picture = chat.user(["what is it?", chat.Media("image", "image/png", data=bytes(3_000_000))])
    sent = picture.plain()
    assert (size_of(picture), 8_000 < size_of(key_of(sent)) < 8_300) == (16 + 11 + 8_000, True)
    film = chat.user([chat.Media("video", "video/mp4", data=bytes(80_000))])
    assert size_of(film) == 16 + 8_000 + 10_000
    assert (size_of(key_of("é")), size_of(key_of({"role": "user", "content": None, 3: "x"}))) == (
        18,
        16 + 4 + 4 + 7 + 16 + 1,
    )
    assert (bytes_of(None), bytes_of([{"a": 1}]), bytes_of({1j}) > 0) == (0, 9, True)


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}}, False),
        ({"type": "image", "source": {"type": "base64", "data": "%s"}}, False),
        ({"inline_data": {"mime_type": "image/png", "data": "%s"}}, False),
        ({"type": "text", "text": "%s"}, True),
        ({"type": "text", "text": '<img src="data:image/png;base64,%s">'}, True),
        ({"type": "text", "text": "data:image/png;base64,%s"}, True),
        ({"type": "tool_result", "content": "%s"}, True),
        ({"type": "function_call_output", "output": "%s"}, True),
    ],
)
def test_base64_counts_as_an_image_only_where_it_is_one(part: dict[str, Any], whole: bool) -> None:
    """A tool may return what looks like a picture, as text: the model reads each letter of it."""
    data = "ab12" * 25_000
    text = json.dumps({"role": "user", "content": [part]}).replace("%s", data)
    size = size_of(key_of(json.loads(text)))
    assert (size > len(data), size < 8_300) == (whole, not whole)


def test_an_object_that_is_no_json_counts_as_it_is_recorded() -> None:
    """A message of an SDK's own class."""

    class Said:
        def model_dump(self, **how: Any) -> dict[str, str]:
            return {"role": "user", "content": "x" * 500}

    prefix = Prefix()
    prefix.measured = True
    parent, fresh = prefix.split([Said()])
    assert prefix.size(parent, fresh) > 500
