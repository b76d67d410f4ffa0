from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import pytest

import tachograph
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.errors import SettingsError, ToolError
from tachograph.events.tool import ToolStarted
from tachograph.limits.loops import Repeat
from tachograph.providers.port import ToolSpec
from tachograph.testing import Captured


def look_up(key: str, depth: int = 1) -> str:
    """Look a key up.

    Args:
        key: The key.
        depth: How far.
    """
    return key * depth


async def look_up_later(context: ToolContext, key: str) -> str:
    """Look a key up, later."""
    return context.tool + key


class Book:
    """A book of keys."""

    def __call__(self, key: str) -> str:
        """Look a key up.

        Args:
            key: The key.
        """
        return key

    def find(self, key: str) -> str:
        """Find a key."""
        return f"found {key}"

    @tachograph.tool(classification="read")
    def find_recorded(self, key: str) -> str:
        """Find a key, recorded."""
        return f"found {key}"


class Empty:
    """Not a tool."""


class Named:
    """Cannot be made without a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> str:
        """Say the name."""
        return self.name


SCHEMA = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}


def test_a_function_says_what_it_takes() -> None:
    """Name, first paragraph, and a schema with the texts of its docstring; what else it is has defaults."""
    tool = Tool.of(look_up)
    assert tool.spec == ToolSpec(
        "look_up",
        "Look a key up.",
        {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "The key."},
                "depth": {"type": "integer", "description": "How far.", "default": 1},
            },
            "additionalProperties": False,
            "required": ["key"],
        },
    )
    assert (tool.function, tool.types, tool.injected) == (look_up, {"key": str, "depth": int}, ())
    assert (tool.classification, tool.idempotent, tool.timeout, tool.repeat, tool.redact) == (
        "other",
        False,
        120,
        None,
        (),
    )
    assert (tool.most_chars, tool.sequential, tool.approve) == (30_000, False, False)


@pytest.mark.parametrize(
    ("thing", "name", "description", "said"),
    [
        (look_up, "look_up", "Look a key up.", "aa"),
        (Book().find, "find", "Find a key.", "found a"),
        (Book(), "Book", "A book of keys.", "a"),
        (Book, "Book", "A book of keys.", "a"),
        (partial(look_up, depth=3), "look_up", "Look a key up.", "aaa"),
        (Tool.of(look_up), "look_up", "Look a key up.", "aa"),
        (Named("named"), "named", "Cannot be made without a name.", "named"),
        ({"name": "map", "description": "Mapped.", "parameters": SCHEMA, "function": look_up}, "map", "Mapped.", "aa"),
    ],
    ids=["function", "method", "object", "class", "partial", "tool", "named", "mapping"],
)
def test_everything_that_can_be_called_becomes_a_tool(thing: Any, name: str, description: str, said: str) -> None:
    """Functions, methods, objects, classes, partials and mappings, each called by name."""
    tool = Tool.of(thing)
    given = {"key": "a", "depth": 2}
    known = {key: given[key] for key in tool.parameters["properties"]}
    if name == "map":
        known["depth"] = 2
    assert (tool.name, tool.description, tool.function(**known)) == (name, description, said)


def test_facts_take_the_place_of_what_was_found() -> None:
    """Fields of a tool can be stated with any thing; a schema that is stated is the one that counts."""
    tool = Tool.of(look_up, name="find", classification="read", repeat=Repeat(poll=True), approve=True, redact=("key",))
    assert (tool.name, tool.classification, tool.repeat, tool.approve) == ("find", "read", Repeat(poll=True), True)
    assert Tool.of(tool) is tool
    assert replace(tool, timeout=1).timeout == Tool.of(tool, timeout=1).timeout == 1
    assert Tool.of(look_up, parameters=SCHEMA).spec == ToolSpec("look_up", "Look a key up.", SCHEMA)


def test_the_context_is_injected_and_never_told() -> None:
    """A parameter annotated with ToolContext is not the model's, whatever made the tool."""
    tool = Tool.of(look_up_later)
    mapped = Tool.of({"name": "later", "parameters": SCHEMA, "function": look_up_later})
    assert (tool.injected, list(tool.parameters["properties"])) == (("context",), ["key"])
    assert mapped.injected == ("context",)


def test_a_context_without_results_says_so() -> None:
    """Expanding what is not kept is an error for the model."""
    with pytest.raises(ToolError, match="no result 'result_1'"):
        ToolContext().expand("result_1")


def test_a_recording_function_is_unwrapped(events: Captured) -> None:
    """What `tachograph.tool` decorates is taken without that, under its name and class: the agent records the call."""

    @tachograph.tool(name="finder", classification="read")
    def find(key: str) -> str:
        """Find it."""
        return key

    for thing, name in ((find, "finder"), (Book().find_recorded, "find_recorded"), (partial(find, "a"), "finder")):
        tool = Tool.of(thing)
        assert (tool.name, tool.classification) == (name, "read")
        tool.function(*([] if isinstance(thing, partial) else ["a"]))
    assert events.of(ToolStarted) == []
    find("a")
    assert [event.body.name for event in events.of(ToolStarted)] == ["finder"]


def test_what_decorates_a_recording_function_stays(events: Captured) -> None:
    """A decorator around the recording one is not lost with it."""

    def loud(function: Callable[..., str]) -> Callable[..., str]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> str:
            return function(*args, **kwargs).upper()

        return call

    assert Tool.of(loud(tachograph.tool(look_up))).function(key="a") == "A"
    assert [event.body.name for event in events.of(ToolStarted)] == ["look_up"]


def test_a_schema_is_copied() -> None:
    """What the program changes in its mapping later does not change the tool."""
    schema: dict[str, Any] = {"properties": {"key": {"type": "string"}}}
    tool = Tool.of({"name": "map", "parameters": schema, "function": look_up})
    schema["properties"]["key"]["type"] = "integer"
    assert tool.parameters == {"type": "object", "properties": {"key": {"type": "string"}}}


def mapping(parameters: Any) -> dict[str, Any]:
    """A tool with a schema."""
    return {"name": "a", "parameters": parameters, "function": look_up}


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no name": (lambda: None, {}, "name="),
    "space": (look_up, {"name": "a b"}, "a b"),
    "long name": (look_up, {"name": "a" * 65}, "64"),
    "class": (look_up, {"classification": "danger"}, "danger"),
    "no time": (look_up, {"timeout": 0}, "timeout"),
    "all time": (look_up, {"timeout": float("inf")}, "timeout"),
    "no result": (look_up, {"most_chars": 0}, "most_chars"),
    "redact": (look_up, {"redact": ("city",)}, "city"),
    "fact": (look_up, {"colour": 1}, "no such field"),
    "two functions": (look_up, {"function": look_up}, "one function"),
    "text": ("look_up", {}, "a function"),
    "class of nothing": (Empty, {}, "can be called"),
    "nothing": (Empty(), {}, "a function"),
    "class with arguments": (Named, {}, "without arguments"),
    "half a mapping": ({"name": "a"}, {}, "parameters"),
    "array": (mapping({"type": "array"}), {}, "object"),
    "other names": (mapping({"properties": {"a": {}}}), {}, "by name"),
    "no JSON": (mapping({"properties": {"key": object}}), {}, "JSON schema"),
    "required": (mapping({"properties": {"key": {}}, "required": ["keys"]}), {}, "list of its properties"),
    "no type": (mapping({"properties": {"key": {"type": "text"}}}), {}, "text"),
    "no schema": (mapping({"properties": {"key": {"anyOf": 1}}}), {}, "JSON schema"),
}


@pytest.mark.parametrize(("thing", "facts", "named"), list(REFUSED.values()), ids=list(REFUSED))
def test_what_cannot_be_a_tool_is_refused(thing: Any, facts: dict[str, Any], named: str) -> None:
    """Bad names, figures, schemas and things are SettingsErrors that say what would do."""
    with pytest.raises(SettingsError, match=named):
        Tool.of(thing, **facts)
