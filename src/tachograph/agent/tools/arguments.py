"""Arguments: what a model wrote becomes values that fit a tool, or a message that tells it how to write them.

All problems are told at once. Nothing is guessed: no text becomes a number, no unknown name is dropped. Only two
things are read kindly, since providers write them so: no text at all (or `null`) is an empty object, and 3.0 is a whole
number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, NoReturn

import msgspec

from tachograph.agent.tools.signature.check import Problem, kind_of, problems, shown
from tachograph.agent.tools.signature.parameters import convert, placed
from tachograph.agent.tools.tool import Tool
from tachograph.events.chat import ToolUse

MOST_CHARS = 1_000_000
"""Longest arguments that are read."""
MOST_DEPTH = 64
"""Deepest nesting."""
MOST_PROBLEMS = 20
MOST_LISTED = 100
"""Tools, or parameters, that one message names."""
REDACTED = "[redacted]"


@dataclass(frozen=True)
class Prepared:
    """A call that fits its tool."""

    tool: Tool
    arguments: Mapping[str, Any]
    """Parameter → value, of the annotated type."""
    given: Mapping[str, Any]
    """The same as JSON: what a person is shown, and what is recorded and compared."""


@dataclass(frozen=True)
class Unfit:
    """A call that cannot be made; `message` is what the model is told."""

    kind: Literal["unknown_tool", "malformed_json", "invalid_arguments"]
    message: str


def prepare(tools: Mapping[str, Tool], call: ToolUse) -> Prepared | Unfit:
    """A call as a model wrote it, made ready for its tool. Never raises."""
    tool = tools.get(call.name)
    if tool is None:
        return Unfit("unknown_tool", _unknown_tool(tools, call.name))
    try:
        found = _read(call.arguments)
    except (ValueError, RecursionError) as problem:
        return Unfit("malformed_json", _told(tool, "are not one JSON object that can be read", [str(problem)]))
    if not isinstance(found, dict):
        said = f"they are {kind_of(found)}: {shown(found)}"
        return Unfit("invalid_arguments", _told(tool, "must be one JSON object", [said]))
    return _fitted(tool, found)


def fit(tool: Tool, arguments: Mapping[str, Any]) -> Prepared | Unfit:
    """The same for arguments that a person or a hook put in their place: JSON, or values of the annotated types."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=_plain))
    except (TypeError, ValueError, RecursionError) as problem:
        return Unfit("invalid_arguments", _told(tool, "cannot be said in JSON", [str(problem)]))
    if not isinstance(plain, dict):
        return Unfit("invalid_arguments", _told(tool, "must be one JSON object", [f"they are {kind_of(plain)}"]))
    return _fitted(tool, plain)


def _read(text: str) -> Any:
    if len(text) > MOST_CHARS:
        raise ValueError(f"they have {len(text)} characters, {MOST_CHARS} at most are read")
    if text.strip() in ("", "null"):
        return {}
    found = msgspec.json.decode(text)  # strict about numbers, texts and what follows
    # Of two members with one name whoever checks might see one, and the tool the other.
    json.loads(text, object_pairs_hook=_once)
    if text.count("{") + text.count("[") > MOST_DEPTH and _is_deeper(found, MOST_DEPTH):
        raise ValueError(f"they are nested more than {MOST_DEPTH} levels deep")
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            _refuse_twice(name)
        names.add(name)


def _refuse_twice(name: str) -> NoReturn:
    raise ValueError(f"the name {shown(name)} stands twice in one object")


def _is_deeper(value: Any, levels: int) -> bool:
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, (dict, list)) and levels == 0) or any(_is_deeper(item, levels - 1) for item in inner)


def _fitted(tool: Tool, given: dict[str, Any]) -> Prepared | Unfit:
    known: Mapping[str, Any] = tool.parameters.get("properties", {})
    wrong = [f"{name}: missing" for name in tool.parameters.get("required", ()) if name not in given]
    strange = [name for name in given if name in tool.injected or (name not in known and not _is_open(tool))]
    # Looking for names that are near takes time: what is not shown is only counted.
    wrong += [_unknown(name, known) for name in strange[:MOST_PROBLEMS]] + strange[MOST_PROBLEMS:]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if len(wrong) > MOST_PROBLEMS:
            break
        try:
            values[name] = _value(tool, name, value)
        except Exception as problem:  # noqa: BLE001 - a type of the program's own may raise whatever it likes
            wrong += _lines(problem, name)
    if not wrong and tool.types is None:
        # Each argument fits by itself; what is left is what the schema says about all of them together.
        wrong = _together(tool, given)
    if wrong:
        return Unfit("invalid_arguments", _told(tool, "do not fit", wrong))
    return Prepared(tool, values, given)


class _Misfit(Exception):
    """Problems with one argument."""


def _value(tool: Tool, name: str, value: Any) -> Any:
    known: Mapping[str, Any] = tool.parameters.get("properties", {})
    if tool.types is not None:
        return convert(tool.types[name], value) if name in tool.types else value
    if name in known and (found := _first(problems(known[name], value, name, tool.parameters))):
        raise _Misfit(*(f"{problem.path}: {problem.text}" for problem in found))
    return value


def _together(tool: Tool, given: dict[str, Any]) -> list[str]:
    rest = {**tool.parameters, "properties": dict.fromkeys(tool.parameters["properties"], True)}
    try:
        found = _first(problems(rest, given, "", tool.parameters))
    except Exception as problem:  # noqa: BLE001 - numbers that cannot be compared, patterns without end
        return _lines(problem, "arguments")
    return [f"{problem.path or 'arguments'}: {problem.text}" for problem in found]


def _first(found: Iterator[Problem]) -> list[Problem]:
    return list(islice(found, MOST_PROBLEMS))


def _lines(problem: Exception, name: str) -> list[str]:
    return list(map(str, problem.args)) if isinstance(problem, _Misfit) else [placed(problem, name)]


def _is_open(tool: Tool) -> bool:
    """Whether a schema says itself that it takes names which it does not list."""
    schema = tool.parameters
    return tool.types is None and (
        schema.get("additionalProperties", False) is not False or "patternProperties" in schema
    )


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name[:80], known, 1)
    return f"{shown(name)}: no such parameter{f'; did you mean {near[0]}?' if near else ''}"


def _unknown_tool(tools: Mapping[str, Tool], name: str) -> str:
    near = get_close_matches(name[:80], tools, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    if not tools:
        return f"There is no tool {shown(name)}, and there are no other tools now. Answer without one."
    listed = [f"- {tool.name}: {tool.description[:100]}".rstrip(": ") for tool in list(tools.values())[:MOST_LISTED]]
    more = [f"- and {len(tools) - MOST_LISTED} more"] if len(tools) > MOST_LISTED else []
    return "\n".join((f"There is no tool {shown(name)}.{hint} Available tools:", *listed, *more))


def _told(tool: Tool, what: str, wrong: list[str]) -> str:
    """What is wrong, and what the tool takes."""
    lines = [f"The arguments of {tool.name} {what}; it was not run."]
    lines += [f"- {line[:500]}" for line in wrong[:MOST_PROBLEMS]]
    if len(wrong) > MOST_PROBLEMS:
        lines.append(f"- and {len(wrong) - MOST_PROBLEMS} more")
    return "\n".join((*lines, "", *_reminder(tool)))


def _reminder(tool: Tool) -> Iterator[str]:
    known: Mapping[str, Any] = tool.parameters.get("properties", {})
    if not known:
        yield f"{tool.name} takes no parameters: {{}}"
        return
    required = tool.parameters.get("required", ())
    yield f"Parameters of {tool.name}:"
    for name in sorted(known, key=lambda name: name not in required)[:MOST_LISTED]:
        schema = known[name] if isinstance(known[name], dict) else {}
        facts = [_kind(schema, tool.parameters), "required" if name in required else "optional"]
        if "default" in schema:
            facts.append(f"default {shown(schema['default'])}")
        yield f"- {name} ({', '.join(facts)}): {schema.get('description', '')}".rstrip(": ")[:500]
    if len(known) > MOST_LISTED:
        yield f"- and {len(known) - MOST_LISTED} more"


def _kind(schema: Any, root: Mapping[str, Any], depth: int = 3) -> str:
    """A schema in a word or two."""
    if not isinstance(schema, dict) or depth == 0:
        return "any"
    if isinstance(reference := schema.get("$ref"), str):
        inner = root.get("$defs", {}).get(reference.rpartition("/")[2])
        return _kind(inner, root, depth - 1)
    if "enum" in schema:
        return "one of " + ", ".join(map(shown, schema["enum"][:20]))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_kind(inner, root, depth - 1) for inner in schema[key][:10]))
    kinds = schema.get("type", "any")
    said = kinds if isinstance(kinds, str) else " or ".join(map(str, kinds))
    if said == "array" and "items" in schema:
        return f"array of {_kind(schema['items'], root, depth - 1)}"
    if said == "object" and schema.get("properties"):
        return f"object with {', '.join(list(schema['properties'])[:20])}"
    return said


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
