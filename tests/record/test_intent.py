from __future__ import annotations

from typing import Any, Literal

import pytest

from tachograph.record.intent import LLMCall, ToolCall, Trigger, Work, one_of, whole

Kind = Literal["read", "write"]


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, None), (3, 3), ("4", 4), (2.9, 2), (True, 1), ("four", None), (float("inf"), None), (object(), None)],
    ids=["none", "number", "text", "float", "bool", "word", "endless", "object"],
)
def test_a_number_is_read_or_is_none(value: Any, number: int | None) -> None:
    """Whatever a program hands over, the events get a whole number or nothing."""
    assert whole(value) == number


def test_a_word_of_the_list_or_the_usual_one() -> None:
    """Words that are not on the list give way."""
    assert [one_of(word, Kind, "read") for word in ("write", "fly", None)] == ["write", "read", "read"]


def test_intents_say_what_is_about_to_happen_and_are_equal_by_that() -> None:
    """Four kinds, frozen, with as little as a name."""
    assert LLMCall("m") == LLMCall("m", attempt=1)
    assert ToolCall("t") != ToolCall("t", {})
    assert (Work("w").kind, Trigger("r").tenant) == ("custom", "default")
    with pytest.raises(AttributeError):
        LLMCall("m").model = "other"  # type: ignore[misc]  # it is frozen
