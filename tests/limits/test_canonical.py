from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.limits.canonical import NOTHING, key_of, result_of, says_nothing, spelled, words_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Fare:
    """Arguments as a program may hand them over."""

    route: str
    price: float


class Nameless:
    """A thing whose repr holds its address."""


class Broken:
    """A thing that cannot be told."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no repr today")


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4), st.randoms())
def test_spelling_does_not_matter(arguments: dict[str, Any], random: Any) -> None:
    """A value is spelled one way: given as it is, as JSON text, in another order, with white space, in a string."""
    shuffled = dict(random.sample(list(arguments.items()), len(arguments)))
    text = json.dumps(shuffled, indent=random.choice([None, 2]))
    spellings = {
        spelled(arguments),
        spelled(shuffled),
        spelled(text),
        spelled(text.encode()),
        spelled(json.dumps(text)),
    }
    assert len(spellings) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"n": 1}', '{"n": 1.0}', True),
        ('{"n": 1}', '{"n": 1e0}', True),
        ('{"n": 1}', {"n": 1.0}, True),
        ('{"n": 1}', '{"n": "1"}', False),
        ('{"n": 1}', '{"n": true}', False),
        ('{"n": 9007199254740993}', '{"n": 9007199254740992}', False),
        ("{broken", "{broken", True),
        ("{broken", "{broken ", False),
        ("{broken", '"{broken"', False),
        ("text:x", "{}", False),
        ("", "{}", True),
        (None, " ", True),
        ("null", b"{}", True),
        (Fare("A-B", 1.0), '{"price": 1, "route": "A-B"}', True),
        ({"at": datetime(2026, 11, 21, tzinfo=UTC)}, '{"at": "2026-11-21T00:00:00Z"}', True),
        ({"of": {3, 1, 2}}, {"of": [1, 2, 3]}, True),
        ({1: "a"}, {"1": "a"}, True),
        (Nameless(), Nameless(), True),
        (Broken(), Broken(), True),
        (Broken(), Nameless(), False),
        ("\ud800", "\ud800", True),
        ({"a": "\ud800"}, {"a": "\ud801"}, False),
    ],
)
def test_what_is_the_same_and_what_is_not(one: Any, other: Any, same: bool) -> None:
    """Numbers are the same by value; text that is no JSON is itself; nothing that a program hands over raises."""
    assert (spelled(one) == spelled(other)) is same


def test_nothing_is_an_empty_object() -> None:
    """A call without arguments is spelled one way."""
    nothings: tuple[Any, ...] = (None, "", "  ", "null", "{}", {}, b"")
    assert {spelled(nothing) for nothing in nothings} == {NOTHING}


def test_values_that_hold_themselves_are_spelled() -> None:
    """A list inside itself, and one nested deeper than anybody reads, have a spelling."""
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert spelled(ring) == spelled(ring)
    assert spelled(deep) == spelled(deep) != spelled(ring)


def test_fields_that_do_not_count_are_left_out() -> None:
    """By name at the top, by a path with dots below, through lists, and a name with a dot in it as it stands."""
    ignore = ("now", "options.seed", "items.id", "a.b")
    plain = '{"q": 1, "options": {"k": 2}, "items": [{"n": 1}]}'
    noisy = {"q": 1, "now": 5, "options": {"k": 2, "seed": 9}, "items": [{"n": 1, "id": 7}], "a.b": 3}
    assert spelled(noisy, ignore) == spelled(plain, ignore) == spelled(plain)
    assert spelled({"q": 1, "seed": 9}, ignore) != spelled({"q": 1}, ignore)
    assert spelled("{broken", ignore) == spelled("{broken")
    assert spelled('{"now": 1}', ignore) == NOTHING


def test_a_call_is_its_tool_and_its_arguments() -> None:
    """Another tool with the same arguments is another call, and names do not run into arguments."""
    assert key_of("a", b"{}") == key_of("a", b"{}")
    assert len({key_of("a", b"{}"), key_of("b", b"{}"), key_of("a", b'{"x":1}'), key_of("a{", b"}")}) == 4


def test_a_result_is_how_it_ended_and_what_it_said() -> None:
    """State, class of error and value make a result; key order does not, and text is compared as it stands."""
    assert result_of("completed", "", {"a": 1, "b": 2}) == result_of("completed", "", {"b": 2, "a": 1})
    different = [
        ("completed", "", "x"), ("failed", "", "x"), ("failed", "KeyError", "x"), ("completed", "", "x "),
        ("completed", "", None), ("completed", "", ["x"]), ("completed", "", '{"a":1}'), ("completed", "", {"a": 1}),
    ]  # fmt: skip
    assert len({result_of(*each) for each in different}) == len(different)


@pytest.mark.parametrize(
    ("result", "silent"),
    [
        (None, True), ("", True), (True, True), ("OK", True), ("Success!", True), ({"status": "ok"}, True),
        ({"success": True}, True), ([], False), ({}, False), ("[]", False), (False, False), ("not found", False),
        ("ok, 3 rows", False), (1, False), ("done " * 40, False),
    ],
)  # fmt: skip
def test_an_acknowledgement_says_nothing(result: Any, silent: bool) -> None:
    """Nothing, true and a word such as ok say no more than that it was done; an empty list is an answer."""
    assert says_nothing(result) is silent


def test_words_are_what_is_left_of_arguments() -> None:
    """Case, punctuation and white space do not count; words, their order and their signs do."""
    assert words_of(b'{"q":"Fares,  A to B?"}') == words_of(b'{"q":"fares a TO b"}')
    assert words_of(b'{"q":"a b"}') != words_of(b'{"q":"b a"}')
    assert words_of(b'{"n":-1}') != words_of(b'{"n":1}')
