from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from tachograph.agent.answer.output import Misfit, Parsed, correction, parse, schema_of
from tachograph.errors import SettingsError


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


class Place(msgspec.Struct):
    """A struct."""

    name: str


class Person(pydantic.BaseModel):
    """A pydantic model."""

    name: str
    age: int


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, " as it is ", " as it is "),
        (Point, '{"x": 1}', Point(1)),
        (Place, 'Here you are:\n```json\n{"name": "Kiel"}\n```\nBye', Place("Kiel")),
        (Person, '{"name": "Ann", "age": 4}', Person(name="Ann", age=4)),
        (list[int], " [1, 2] ", [1, 2]),
    ],
    ids=["text", "dataclass", "msgspec, fenced", "pydantic", "list"],
)
def test_a_reply_that_fits_is_its_value(kind: Any, text: str, value: object) -> None:
    """Text stays, JSON becomes the type, alone or in a fenced block."""
    assert parse(kind, text) == Parsed(value)


@pytest.mark.parametrize(
    ("kind", "text", "errors"),
    [
        (Point, "", ("the reply is empty; JSON was wanted",)),
        (Point, '{"y": 1}', ("Object missing required field `x`",)),
        (Person, '{"name": "Ann", "age": "old"}', None),
        (list[int], "[1, " * 50_000, None),
    ],
    ids=["empty", "missing", "pydantic", "deep"],
)
def test_a_reply_that_does_not_fit_says_why(kind: Any, text: str, errors: tuple[str, ...] | None) -> None:
    """Whatever the model wrote, there is an error text and no exception."""
    found = parse(kind, text)
    assert isinstance(found, Misfit)
    assert found.errors
    assert errors is None or found.errors == errors


def test_pydantic_errors_name_the_field() -> None:
    """Each problem of a pydantic model is one line with its place."""
    found = parse(Person, '{"name": "Ann", "age": "old"}')
    assert isinstance(found, Misfit)
    assert found.errors[0].startswith("age: ")


def test_the_correction_spells_the_shape_out_or_says_what_it_is_told() -> None:
    """`auto` lists keys and schema, a text of one's own stands before the errors, `off` says nothing."""
    errors = ("Object missing required field `x`",)
    auto = correction(Point, errors, "auto")
    assert "Required keys: " in auto
    assert errors[0] in auto
    assert '"x"' in auto
    assert correction(Point, errors, "JSON, please.") == f"JSON, please.\n- {errors[0]}"
    assert correction(Point, errors, "off") == ""


def test_a_type_that_json_cannot_say_is_refused() -> None:
    """The setting is named, with the type."""
    assert schema_of(str) is None
    with pytest.raises(SettingsError, match="output"):
        schema_of(dict[Point, complex])
