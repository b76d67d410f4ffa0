from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.guardrails.content import field_of, reworded, texts, with_more, with_part, with_texts
from tachograph.events.chat import Media, Text

IMAGE = Media("image", "image/png", data=b"x")
SCALARS = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text()
ARGUMENTS = some.dictionaries(
    some.text(),
    some.recursive(SCALARS, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner), max_leaves=8),
)


@given(ARGUMENTS | some.text())
def test_the_same_texts_make_the_same_content(content: Any) -> None:
    """Taken apart and put together again nothing has changed, types of values included."""
    again = with_texts(content, iter(texts(content)))
    assert again == content
    assert repr(again) == repr(content)


def test_texts_are_what_can_be_read() -> None:
    """Texts around media, names and values of arguments; a number is read as it is written."""
    assert texts((Text("a"), IMAGE, Text("b"))) == ("a", "b")
    assert texts({"to": ["x", 2], "deep": {"k": None}}) == ("to", "x", "2", "deep", "k")


def test_another_text_leaves_media_alone() -> None:
    """It stands in place of all texts, or behind them."""
    prompt = (Text("a"), IMAGE, Text("b"))
    assert reworded(prompt, "c") == (Text("c"), IMAGE)
    assert with_more(prompt, "c") == (*prompt, Text("c"))
    assert (reworded("a", "c"), with_more("a", "c"), with_more("", "c")) == ("c", "a\n\nc", "c")


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"response": 3}', "{}", '{"response": "a'])
def test_what_has_no_such_field_has_none(text: str) -> None:
    """Only an object with a text under that name has one."""
    assert field_of(text, "response") is None


def test_a_field_can_be_changed() -> None:
    """The others stay, in their order."""
    text = '{"reasoning":"r","response":"a","n":1}'
    assert field_of(text, "response") == "a"
    assert with_part(text, "response", "b") == '{"reasoning":"r","response":"b","n":1}'
