from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.runner.structured import MOST_CHARS, fields_of, mapping_of, objects, text_of

BLANK = {"reasoning": "Processed by agent", "reaction_emoji": ""}
PLAIN = {"reasoning": "Processed by agent"}

SAID = st.text().filter(lambda text: text.strip())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PROSE = st.text(st.sampled_from("ab \"'\\}[]:,\n“”")) | st.text().map(lambda text: text.replace("{", "("))
"""Anything but the beginning of an object."""


class Structured(msgspec.Struct):
    """What an agent's output type may be."""

    response: str
    reasoning: str = "because"


@dataclass
class Data:
    """Another one."""

    response: str


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {"response": "", **PLAIN}),
        ("Hello.", {"response": "Hello.", **PLAIN}),
        ('{"response": "Hi"}', {"response": "Hi", **BLANK}),
        ('Sure:\n```json\n{"response": "Hi", "reasoning": "r"}\n```', {"response": "Hi", **BLANK, "reasoning": "r"}),
        ('{"response": "one"} then {"response": "two"} {"other": 1}', {"response": "two", **BLANK}),
        ('{"response": "one"} {"response": "  "}', {"response": "one", **BLANK}),
        ('{"response": "a {b} c", "x": {"response": "inner"}}', {"response": "a {b} c", **BLANK}),
        ('{"x": {"response": "inner"}}', {"response": '{"x": {"response": "inner"}}', **PLAIN}),
        (r'{"response": "she said \"yes\" } \\"}', {"response": 'she said "yes" } \\', **BLANK}),
        ('The 5" screen: {"response": "Hi"}', {"response": "Hi", **BLANK}),
        ('{ or {" or {"a": or } {"response": "Hi"} {', {"response": "Hi", **BLANK}),
        ('{"response": "two\nlines"}', {"response": "two\nlines", **BLANK}),
        ('[{"response": "in a list"}]', {"response": "in a list", **BLANK}),
        (
            '{"response": 5, "reasoning": "", "reaction_emoji": "👍"}',
            {"response": "5", **PLAIN, "reaction_emoji": "👍"},
        ),
        ('{"response": ["a"], "reaction_emoji": null}', {"response": '["a"]', **BLANK}),
        ('{"response": null} {"response": false} {"response": {}}', None),
    ],
)
def test_what_an_answer_says(text: str, wanted: dict[str, Any] | None) -> None:
    """The last object with a response counts, wherever it stands; without one the text is the response."""
    assert fields_of(None, text) == (wanted or {"response": text, **PLAIN})


def test_structures_are_taken_as_they_are() -> None:
    """A mapping, a struct and a dataclass are the fields themselves; a bare value is none."""
    assert fields_of({"response": "Hi", "mood": 1}, "ignored") == {"response": "Hi", "mood": 1}
    assert fields_of(Structured("Hi"), "") == {"response": "Hi", "reasoning": "because"}
    assert fields_of(Data("Hi"), "") == {"response": "Hi"}
    assert fields_of(["Hi"], "text") == {"response": "text", **PLAIN}
    assert mapping_of(object()) is None


@given(before=PROSE, between=PROSE, after=PROSE, first=VALUES, said=SAID, more=st.dictionaries(st.text(), VALUES))
def test_an_object_is_found_in_any_prose(
    before: str, between: str, after: str, first: Any, said: str, more: dict[str, Any]
) -> None:
    """Whatever is written around it, and before it, a JSON object with a response is recovered whole."""
    stated = {**more, "response": said}
    text = f"{before}{json.dumps({'first': first})}{between}{json.dumps(stated)}{after}"
    assert list(objects(text)) == [{"first": first}, stated]
    assert fields_of(None, text)["response"] == text_of(said)


@given(st.text(st.sampled_from('{}"\\a:1,[] ')))
def test_no_text_is_too_odd(text: str) -> None:
    """Any mixture of brackets and quotation marks gives objects of the text, or the text."""
    assert all(isinstance(item, dict) for item in objects(text))
    assert fields_of(None, text)["response"] == text


def test_odd_texts_take_no_time() -> None:
    """Brackets without end are passed over in time that grows with the text; what is too long is taken whole."""
    began = time.monotonic()
    for piece in ("{", '{"a":', '{"a":[', '{"', '{"a":{},'):
        text = piece * (30_000 // len(piece))
        assert fields_of(None, text)["response"] == text
    assert time.monotonic() - began < 20
    long = '{"response": "' + "a" * MOST_CHARS + '"}'
    assert fields_of(None, long)["response"] == long


def test_half_characters_are_marked() -> None:
    """A lone surrogate, which JSON can name and no UTF-8 can hold, becomes a question mark."""
    assert fields_of(None, '{"response": "a\\ud800é"}')["response"] == "a?é"
