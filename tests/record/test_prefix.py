"""The prefix index: a growing conversation records only what is new."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.prefix import Prefix, key_of, role_of

Message = dict[str, Any]


class Book:
    """Records messages as the door does, and can read any node's path back."""

    def __init__(self, retain: int = 1 << 20) -> None:
        self.prefix = Prefix(retain)
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
