from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from tachograph.agent.tools.signature.parameters import convert, parameters_of, placed
from tachograph.errors import SettingsError


class Marker:
    """What is injected."""


class Unit(Enum):
    """A choice."""

    KM = "km"
    MILE = "mile"


@dataclass
class Place:
    """A dataclass."""

    name: str
    height: int = 0


class Box(TypedDict, total=False):
    """A typed dict."""

    left: int


class Inner(pydantic.BaseModel):
    """A model inside a model."""

    name: str


class Model(pydantic.BaseModel):
    """A model with a bound."""

    count: int = pydantic.Field(ge=1)
    inner: Inner | None = None


@pydantic.dataclasses.dataclass
class Checked:
    """A dataclass whose validators msgspec would not run."""

    name: str


class Opaque:
    """Nothing that JSON can describe."""


def everything(  # type: ignore[no-untyped-def]  # noqa: D417, PLR0917 - one parameter for each kind of type
    text: str,
    unit: Unit,
    place: Place | None,
    box: Box,
    model: Model,
    when: datetime,
    path: Path,
    kind: Literal["a", "b"],
    counts: dict[str, list[int]],
    bare,
    marked: Marker | None = None,
    size: Annotated[int, pydantic.Field(ge=1, le=9, description="How big.")] = 3,
    name: Annotated[str, "Its name.", msgspec.Meta(min_length=2)] = "ab",
    odd: Any = Opaque,
) -> None:
    """Take everything.

    Args:
        text: The text.
        size: Not told: the annotation has it.
    """


def test_every_kind_of_type_has_its_schema() -> None:
    """Types of msgspec, of pydantic and of the standard library, with texts, bounds and defaults, in one schema."""
    found = parameters_of(everything, "everything", Marker, everything.__doc__)
    properties = found.schema["properties"]
    assert found.injected == ("marked",)
    assert found.schema["required"] == [
        "text", "unit", "place", "box", "model", "when", "path", "kind", "counts", "bare",
    ]  # fmt: skip
    assert found.schema["additionalProperties"] is False
    assert {name: properties[name] for name in ("text", "place", "when", "path", "kind", "counts", "bare")} == {
        "text": {"type": "string", "description": "The text."},
        "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        "when": {"type": "string", "format": "date-time"},
        "path": {"type": "string"},
        "kind": {"enum": ["a", "b"]},
        "counts": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
        "bare": {},
    }
    assert {name: properties[name] for name in ("size", "name", "odd")} == {
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How big.", "default": 3},
        "name": {"type": "string", "minLength": 2, "description": "Its name.", "default": "ab"},
        "odd": {},
    }
    assert properties["model"]["properties"]["count"] == {"minimum": 1, "title": "Count", "type": "integer"}
    assert sorted(found.schema["$defs"]) == ["Box", "Inner", "Place", "Unit"]


def test_json_becomes_values_of_the_types() -> None:
    """Each value is what its annotation says, models and paths too; a bound inside a model holds."""
    kinds = parameters_of(everything, "everything", Marker, None).types
    assert convert(kinds["unit"], "km") is Unit.KM
    assert convert(kinds["place"], {"name": "A"}) == Place("A")
    assert convert(kinds["place"], None) is None
    assert convert(kinds["model"], {"count": 2, "inner": {"name": "x"}}) == Model(count=2, inner=Inner(name="x"))
    assert convert(kinds["path"], "/tmp/a") == Path("/tmp/a")
    assert convert(kinds["when"], "2026-01-02T03:04:05Z") == datetime.fromisoformat("2026-01-02T03:04:05Z")
    with pytest.raises(ValueError, match=r"count: Input should be greater than or equal to 1$"):
        convert(kinds["model"], {"count": 0})


def test_a_whole_number_may_have_a_point_and_nothing_else_is_guessed() -> None:
    """3.0 is an int, at any depth; "3", true and 3.5 are none; an int is a float."""
    assert convert(int, 3.0) == 3
    assert convert(dict[str, list[int]], {"a": [1, 2.0]}) == {"a": [1, 2]}
    assert convert(float, 3) == 3.0
    for wrong in ("3", True, 3.5):
        with pytest.raises(msgspec.ValidationError):
            convert(int, wrong)


def test_a_problem_says_where_it_is() -> None:
    """The path begins with the parameter."""
    with pytest.raises(msgspec.ValidationError) as problem:
        convert(list[Place], [{"name": "a"}, {"name": 1}])
    assert placed(problem.value, "places") == "places[1].name: Expected `str`, got `int`"
    with pytest.raises(msgspec.ValidationError) as problem:
        convert(int, "a")
    assert placed(problem.value, "count") == "count: Expected `int`, got `str`"
    with pytest.raises(msgspec.ValidationError) as problem:
        convert(dict[int, int], {"a": 1})
    assert placed(problem.value, "counts") == "counts: Expected `int`, got `str` - at `key` in `$`"
    assert placed(KeyError(), "key") == "key: KeyError"


def starred(*items: str) -> None:
    """Refused."""


def doubly(**items: str) -> None:
    """Refused."""


def positional(item: str, /) -> None:
    """Refused."""


def opaque(item: list[Opaque]) -> None:
    """Refused."""


def validated(item: list[Checked]) -> None:
    """Refused."""


def unresolved(item: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821 - what the test is about
    """Refused."""


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (starred, r"\*items"), (doubly, r"\*\*items"), (positional, "passed by name"), (opaque, "Opaque"),
        (validated, "pydantic dataclass"), (unresolved, "Nowhere"), (min, "min"),
    ],
    ids=lambda case: getattr(case, "__name__", "text"),
)  # fmt: skip
def test_what_a_model_cannot_be_told_is_refused_by_name(function: Any, named: str) -> None:
    """Parameters without names, and types without a schema, are SettingsErrors that name tool, parameter and type."""
    with pytest.raises(SettingsError, match=named):
        parameters_of(function, function.__name__, Marker, None)


def test_what_a_partial_has_fixed_is_not_the_models_to_change() -> None:
    """Arguments that are bound already do not appear, nor are they injected."""
    assert parameters_of(partial(everything, marked=None), "fixed", Marker, None).injected == ()
    assert parameters_of(partial(everything, unit=Unit.KM), "fixed", Marker, None).types.keys().isdisjoint({"unit"})
