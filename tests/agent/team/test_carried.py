from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.team.carried import retold, told
from tachograph.events.chat import Message, ToolUse, assistant, result, user

CALL = ToolUse("1", "add", '{"a": 1}')
BEFORE = (user("a"), assistant("", CALL), result(CALL, "3"), user("b"), assistant("c"))
MESSAGES = some.one_of(
    some.sampled_from(BEFORE), some.sampled_from(["a", "x"]).map(user), some.just(assistant("y", CALL))
)


def test_what_stays_is_told_by_its_place() -> None:
    """Neighbours together, everything that is new in full, an equal message that is not the same one too."""
    after = (user("new"), *BEFORE[:3], BEFORE[4], user("a"))
    new = {"role": "user", "content": "new"}
    assert told(BEFORE, after) == [new, [0, 3], [4, 5], {"role": "user", "content": "a"}]
    assert told(BEFORE, BEFORE) == [[0, 5]]
    assert told(BEFORE, ()) == []


@given(after=some.lists(MESSAGES, max_size=8).map(tuple))
def test_what_was_told_is_read_back(after: tuple[Message, ...]) -> None:
    """Through JSON, whatever was left out, moved, repeated or made anew."""
    items = msgspec.json.decode(msgspec.json.encode(told(BEFORE, after)))
    assert retold(items, BEFORE) == after


def test_what_is_no_message_cannot_be_read_back() -> None:
    """An error of the codec's kind, not a conversation with a hole."""
    with pytest.raises(ValueError, match="role"):
        retold([{"role": "nobody"}], BEFORE)
