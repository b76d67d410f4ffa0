from __future__ import annotations

import pytest

from tachograph.agent.transcript import INTERRUPTED, check, closed, hiding
from tachograph.errors import InvalidTranscript
from tachograph.events.chat import ToolUse, assistant, result, user

A, B = ToolUse("a", "look"), ToolUse("b", "look")


def test_a_whole_conversation_passes() -> None:
    """Results right behind their calls, in any order, and the same id in two replies."""
    messages = [user("hi"), assistant("", A, B), result(B, "2"), result(A, "1"), assistant("", A), result(A, "3")]
    check(messages)
    assert closed(messages) == tuple(messages)


def test_calls_without_result_are_closed_where_they_stand() -> None:
    """A result that says `interrupted` stands behind the results that are there."""
    found = closed([assistant("", A, B), result(A, "1"), user("and?"), assistant("", B)])
    assert found == (
        assistant("", A, B), result(A, "1"), result(B, INTERRUPTED), user("and?"), assistant("", B),
        result(B, INTERRUPTED),
    )  # fmt: skip
    check(found)


@pytest.mark.parametrize(
    ("messages", "position"),
    [
        ([user("hi"), result(A, "1")], 1),
        ([assistant("", A), user("hi")], 1),
        ([assistant("", A)], 1),
        ([assistant("", A), result(A, "1"), result(A, "1")], 2),
    ],
    ids=["result without call", "call without result", "open at the end", "answered twice"],
)
def test_what_no_provider_takes_is_refused_with_its_place(messages: list[object], position: int) -> None:
    """Each fault is named with the position of the message."""
    with pytest.raises(InvalidTranscript) as raised:
        check(messages)  # type: ignore[arg-type]  # messages
    assert raised.value.position == position


def test_a_result_without_its_call_cannot_be_closed() -> None:
    """There is nothing to put in front of it."""
    with pytest.raises(InvalidTranscript):
        closed([result(A, "1")])


def test_hiding_changes_what_is_recorded_alone() -> None:
    """The recorded form of a call leaves the named arguments out; other messages are the same objects."""
    call = ToolUse("a", "look", '{"at":"me","how":"far"}')
    before = (user("hi"), assistant("", call, B), result(call, "1"))
    found = hiding(before, {"look": ("at",), "walk": ("to",)})
    assert [one is other for one, other in zip(before, found, strict=True)] == [True, False, True]
    assert found[1].tool_calls[0].arguments == call.arguments
    assert found[1].tool_calls[0].told() == '{"at":"[redacted]","how":"far"}'
    assert hiding(found, {"look": ("at",)}) == found
