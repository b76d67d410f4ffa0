from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from time import monotonic
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.tools.arguments import MOST_CHARS, MOST_DEPTH, Prepared, Unfit, fit, prepare
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.events.chat import ToolUse


@dataclass
class Place:
    """Where."""

    name: str

    def __post_init__(self) -> None:
        """Not everywhere."""
        if self.name == "nowhere":
            raise RuntimeError("there is no such place")


def book(place: Place, nights: Annotated[int, "How many."], day: date | None = None, note: Any = "") -> str:
    """Book a room."""
    return str((place, nights, day, note))


def ping() -> str:
    """Answer."""
    return "pong"


def free(**arguments: Any) -> str:
    """Whatever its schema says."""
    return str(arguments)


def aware(context: ToolContext, **arguments: Any) -> str:
    """Know the call."""
    return context.tool + str(arguments)


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"$ref": "#/$defs/b"}},
    "required": ["a"],
    "$defs": {"b": {"type": "array", "items": {"enum": ["x", "y"]}}},
    "maxProperties": 2,
}
TOOLS = {
    tool.name: tool
    for tool in (
        Tool.of(book),
        Tool.of(ping),
        Tool.of({"name": "closed", "parameters": SCHEMA, "function": free}),
        Tool.of(
            {"name": "open", "parameters": {**SCHEMA, "additionalProperties": {"type": "number"}}, "function": free}
        ),
    )
}
REMINDER = """
Parameters of book:
- place (object with name, required)
- nights (integer, required): How many.
- day (string or null, optional, default None)
- note (any, optional, default '')"""


def use(name: str, arguments: str) -> Prepared | Unfit:
    """A call as a model makes it."""
    return prepare(TOOLS, ToolUse("call_1", name, arguments))


def test_arguments_become_values() -> None:
    """Each value is of its type, beside the JSON that was given; defaults are left to the function."""
    found = use("book", '{"place": {"name": "Ulm"}, "nights": 2.0, "day": "2026-01-02"}')
    assert found == Prepared(
        TOOLS["book"],
        {"place": Place("Ulm"), "nights": 2, "day": date(2026, 1, 2)},
        {"place": {"name": "Ulm"}, "nights": 2.0, "day": "2026-01-02"},
    )


@pytest.mark.parametrize("text", ["", "  ", "{}", "null"])
def test_no_text_is_an_empty_object(text: str) -> None:
    """A tool without required parameters runs; of another one the parameters are missing."""
    assert use("ping", text) == Prepared(TOOLS["ping"], {}, {})
    missing = use("book", text)
    assert isinstance(missing, Unfit)
    assert missing.message.startswith(
        "The arguments of book do not fit; it was not run.\n- place: missing\n- nights: missing\n"
    )


def test_all_problems_are_told_with_what_the_tool_takes() -> None:
    """Wrong types with their path, missing and unknown names with a close one, and then every parameter."""
    assert use("book", '{"place": {"name": 1}, "night": 2, "day": "soon"}') == Unfit(
        "invalid_arguments",
        "The arguments of book do not fit; it was not run.\n"
        "- nights: missing\n"
        "- 'night': no such parameter; did you mean nights?\n"
        "- place.name: Expected `str`, got `int`\n"
        "- day: Invalid RFC3339 encoded date\n" + REMINDER,
    )


def test_a_type_of_the_programs_own_may_refuse() -> None:
    """Whatever a constructor raises is a problem of that argument."""
    found = use("book", '{"place": {"name": "nowhere"}, "nights": 1}')
    assert isinstance(found, Unfit)
    assert "- place: there is no such place\n" in found.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"nights": 1', "truncated"),
        ("{'nights': 1}", "malformed"),
        ('{"nights": 1} and more', "malformed"),
        ('{"nights": NaN}', "malformed"),
        ('{"nights": 1e999}', "out of range"),
        ('{"nights": 1, "nights": 2}', "'nights' stands twice"),
        ('{"place": {"name": "a", "name": "b"}}', "'name' stands twice"),
        ("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1), "levels deep"),
        ('{"a":' * 100_000, "recursion"),
        ('"' + "a" * MOST_CHARS + '"', "at most are read"),
        ('{"note": "\ud800"}', "surrogates"),
        ('{"nights": ' + "9" * 5000 + "}", "out of range"),
    ],
    ids=lambda case: case[:20],
)
def test_text_that_is_not_one_json_object_is_told(text: str, said: str) -> None:
    """Broken, ambiguous, endless or oversized JSON is malformed, and the message says how."""
    found = use("book", text)
    assert isinstance(found, Unfit)
    assert (found.kind, said in found.message, found.message.endswith(REMINDER)) == ("malformed_json", True, True)


@pytest.mark.parametrize(("text", "kind"), [("[]", "array"), ('"{}"', "string"), ("3", "integer"), ("true", "boolean")])
def test_json_that_is_no_object_is_told(text: str, kind: str) -> None:
    """A list, a text in quotes or a number is not what a tool takes."""
    found = use("ping", text)
    assert found == Unfit(
        "invalid_arguments",
        f"The arguments of ping must be one JSON object; it was not run.\n- they are {kind}: {json.loads(text)!r}\n\n"
        "ping takes no parameters: {}",
    )


def test_an_unknown_tool_is_told_which_there_are() -> None:
    """The nearest name, and all tools; or that there are none."""
    assert use("bok", "{}") == Unfit(
        "unknown_tool",
        "There is no tool 'bok'. Did you mean book? Available tools:\n"
        "- book: Book a room.\n- ping: Answer.\n- closed\n- open",
    )
    assert prepare({}, ToolUse("1", "x" * 500, "")) == Unfit(
        "unknown_tool", f"There is no tool '{'x' * 76}..., and there are no other tools now. Answer without one."
    )


def test_a_schema_is_checked_as_it_stands() -> None:
    """Values, references and what the schema says of all together; names it does not list only if it says so."""
    assert use("closed", '{"a": 2, "b": ["x"]}') == Prepared(
        TOOLS["closed"], {"a": 2, "b": ["x"]}, {"a": 2, "b": ["x"]}
    )
    assert isinstance(use("open", '{"a": 2, "c": 1}'), Prepared)
    wrong = {
        ("closed", '{"a": 0, "b": ["z"]}'): [
            "a: expected a number of at least 1, got 0", "b[0]: expected one of 'x', 'y', got 'z'",
        ],
        ("closed", '{"a": 2, "c": 1}'): ["'c': no such parameter"],
        ("open", '{"a": 2, "c": "1"}'): ["c: expected number, got string"],
        ("open", '{"a": 2, "c": 1, "d": 2}'): ["arguments: expected at most 2 members, got 3"],
    }  # fmt: skip
    for (name, text), said in wrong.items():
        found = use(name, text)
        assert isinstance(found, Unfit)
        assert found.message.splitlines()[1 : 1 + len(said)] == [f"- {line}" for line in said]


def test_messages_are_bounded() -> None:
    """Thousands of problems, and very long names, make a short message."""
    found = use("ping", json.dumps({f"{number}{'a' * 1000}": number for number in range(900)}))
    assert isinstance(found, Unfit)
    assert len(found.message) < 4_000
    assert "- and 880 more" in found.message


def test_a_flood_of_problems_takes_no_time() -> None:
    """A hundred thousand unknown names, and as many wrong items, are answered at once."""
    began = monotonic()
    strange = use("book", json.dumps({f"night{number}": 1 for number in range(50_000)}))
    items = use("closed", json.dumps({"a": 1, "b": ["z"] * 150_000}))
    assert monotonic() - began < 10  # looking for names that are near to each would take minutes
    assert isinstance(strange, Unfit)
    assert "- and 49982 more" in strange.message
    assert isinstance(items, Unfit)
    assert "- b[19]: expected one of 'x', 'y', got 'z'" in items.message


def test_no_model_fills_what_is_injected() -> None:
    """The parameter that gets the context is unknown to a model, also where any name is allowed."""
    schema: dict[str, Any] = {"properties": {}, "additionalProperties": {}}
    tool = Tool.of({"name": "aware", "parameters": schema, "function": aware})
    found = prepare({"aware": tool}, ToolUse("1", "aware", '{"context": 1, "other": 2}'))
    assert isinstance(found, Unfit)
    assert found.message.splitlines()[1] == "- 'context': no such parameter"
    assert isinstance(prepare({"aware": tool}, ToolUse("1", "aware", '{"other": 2}')), Prepared)


def test_arguments_put_in_place_are_checked_the_same() -> None:
    """JSON or values of the types; what does not fit is told."""
    tool = TOOLS["book"]
    assert fit(tool, {"place": Place("Ulm"), "nights": 1, "day": date(2026, 1, 2)}) == Prepared(
        tool,
        {"place": Place("Ulm"), "nights": 1, "day": date(2026, 1, 2)},
        {"place": {"name": "Ulm"}, "nights": 1, "day": "2026-01-02"},
    )
    assert fit(tool, {"place": {"name": "Ulm"}, "nights": "1"}) == Unfit(
        "invalid_arguments",
        f"The arguments of book do not fit; it was not run.\n- nights: Expected `int`, got `str`\n{REMINDER}",
    )
    odd: tuple[Any, ...] = ([], None, {"note": "\ud800"}, {(1, 2): 3})
    assert [type(fit(tool, one)) for one in odd] == [Unfit] * 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2026-01-02"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "a", "x"]), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["place", "nights", "day", "note", "a", "b", "c"]) | st.text(max_size=3), JSON
)


@given(st.sampled_from([*TOOLS, "other"]), OBJECTS.map(json.dumps) | JSON.map(json.dumps) | st.text(max_size=40))
def test_whatever_a_model_writes_is_ready_or_answered(name: str, text: str) -> None:
    """Any text is either arguments that the tool can be called with, or a message; never an exception."""
    found = use(name, text)
    if isinstance(found, Prepared):
        assert isinstance(found.tool.function(**found.arguments), str)
    else:
        assert found.message


@given(st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_not_even_broken_bytes_raise(text: str) -> None:
    """Text that UTF-8 cannot say is malformed, like any other that is no JSON."""
    assert isinstance(use("book", text), Unfit)
