from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tachograph.agent.tools.signature.check import Problem, kind_of, problems, shown, verify
from tachograph.errors import SettingsError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[A-Z]"},
        "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2},
        "unit": {"enum": ["km", 1]},
        "fixed": {"const": True},
        "places": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 2, "uniqueItems": True},
        "pair": {"prefixItems": [{"type": "string"}], "items": False},
        "either": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]},
        "one": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "no": {"not": {"type": "string"}},
        "both": {"allOf": [{"type": ["string", "number"]}, {"minimum": 3}]},
    },
    "patternProperties": {"^x-": {"type": "boolean"}},
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"next": {"$ref": "#/$defs/place"}}, "required": ["id"]}},
}


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ([], [Problem("", "expected object, got array")]),
        ({"city": "a"}, [
            Problem("city", "expected at least 2 characters, got 1"),
            Problem("city", "expected a text that matches ^[A-Z], got 'a'"),
        ]),
        ({"city": "ABCDEF"}, [Problem("city", "expected at most 5 characters, got 6")]),
        ({"count": 10}, [Problem("count", "expected a number below 10, got 10")]),
        ({"count": -1}, [
            Problem("count", "expected a number of at least 1, got -1"),
            Problem("count", "expected a number that is a multiple of 2, got -1"),
        ]),
        ({"count": 2.0}, []),
        ({"count": True}, [Problem("count", "expected integer, got boolean")]),
        ({"unit": True}, [Problem("unit", "expected one of 'km', 1, got True")]),
        ({"fixed": 1}, [Problem("fixed", "expected True, got 1")]),
        ({"places": [{"id": 1, "next": {}}]}, [Problem("places[0].next.id", "missing")]),
        ({"places": [{"id": 1}, {"id": 1}]}, [Problem("places", "expected items that are all different")]),
        ({"pair": ["a", "b"]}, [Problem("pair[1]", "is not allowed")]),
        ({"either": {}}, [Problem("either.a", "missing")]),
        ({"one": 1}, [Problem("one", "fits more than one of the forms it can have")]),
        ({"no": "x"}, [Problem("no", "is not allowed")]),
        ({"both": 2}, [Problem("both", "expected a number of at least 3, got 2")]),
        ({"both": None}, [Problem("both", "expected string or number, got null")]),
        ({"x-a": 1, "other": 1}, [
            Problem("x-a", "expected boolean, got integer"), Problem("other", "is not allowed"),
        ]),
    ],
    ids=lambda case: str(case)[:40],
)  # fmt: skip
def test_each_problem_is_told_with_its_place(value: Any, wrong: list[Problem]) -> None:
    """What does not fit is named by its path, with what was wanted and what was there."""
    assert list(problems(SCHEMA, value, "", SCHEMA)) == wrong


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from([2.0, 2.5])
    | st.sampled_from(["km", "Ab", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x-a", "id", "q"]), inner)
    ),
    max_leaves=6,
)


OBJECTS: st.SearchStrategy[Any] = st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x-a"]), JSON)


@given(JSON | OBJECTS)
def test_it_agrees_with_a_whole_validator(value: Any) -> None:
    """For every value the verdict is that of the jsonschema package."""
    assert (not list(problems(SCHEMA, value, "", SCHEMA))) == Draft202012Validator(SCHEMA).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"items": {"pattern": "("}},
        {"properties": {"a": {"$ref": "#/$defs/b"}}},
        {"$ref": "other.json"},
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_checked_is_refused(schema: dict[str, Any]) -> None:
    """Unknown types, patterns that are none and references to nowhere are said when the tool is made."""
    with pytest.raises(SettingsError):
        verify(schema, schema)


def test_schemas_that_refer_to_themselves_end() -> None:
    """A reference to itself is not followed for ever."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    verify(schema, schema)
    assert list(problems(schema, 1, "", schema)) == []


def test_values_in_messages_are_short() -> None:
    """A long value is cut, and types have the names of JSON."""
    assert shown("a" * 100) == "'" + "a" * 76 + "..."
    values: tuple[Any, ...] = (True, 1, 1.5, "", [], {}, None)
    assert [kind_of(value) for value in values] == [
        "boolean", "integer", "number", "string", "array", "object", "null",
    ]  # fmt: skip
