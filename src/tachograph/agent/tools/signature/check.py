"""Whether JSON fits a JSON schema, as far as schemas of tools go, with every problem in words for a model.

Known: type, enum, const, properties, required, additionalProperties, patternProperties, items, prefixItems, the bounds
of numbers, texts, arrays and objects, pattern, uniqueItems, anyOf, oneOf, allOf, not, and `$ref` within the schema.
Everything else is an annotation and passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from tachograph.errors import SettingsError

_DEPTH = 100
_MOST = 20
"""Most problems that are looked for in one of several forms."""
_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}


class Problem(NamedTuple):
    """What does not fit, and where."""

    path: str
    text: str


def problems(schema: Any, value: Any, path: str, root: Mapping[str, Any], depth: int = 0) -> Iterator[Problem]:
    """What in `value` does not fit `schema`; `root` is the schema that `$ref` names parts of."""
    if schema is True or depth > _DEPTH:
        return
    if not isinstance(schema, Mapping):
        yield Problem(path, "is not allowed")
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from problems(resolved(reference, root), value, path, root, depth + 1)
    wrong = list(_plain(schema, value))
    yield from (Problem(path, text) for text in wrong)
    if not wrong:
        yield from _inside(schema, value, path, root, depth)
        yield from _combined(schema, value, path, root, depth)


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """The part of a schema that a `$ref` names. Raises SettingsError."""
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else [reference]:
        key = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            raise SettingsError("$ref", reference, "something that the schema itself defines")
        found = found[key]
    return found


def verify(schema: Any, root: Mapping[str, Any]) -> None:
    """Look through a schema for what could never be checked. Raises SettingsError."""
    if not isinstance(schema, Mapping):
        return
    if isinstance(reference := schema.get("$ref"), str):
        resolved(reference, root)
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in _KINDS:
            raise SettingsError("type", kind, f"one of {', '.join(_KINDS)}")
    for pattern in (schema.get("pattern", ""), *schema.get("patternProperties", ())):
        try:
            re.compile(pattern)
        except re.error as problem:
            raise SettingsError("pattern", pattern, f"a regular expression ({problem})") from problem
    for inner in _parts(schema):
        verify(inner, root)


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        yield from schema.get(key, {}).values()
    for key in ("items", "additionalProperties", "not"):
        yield schema.get(key)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from schema.get(key, ())


def _plain(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    kinds = schema.get("type")
    wanted = [kinds] if isinstance(kinds, str) else kinds or []
    if wanted and not any(_KINDS.get(kind, bool)(value) for kind in wanted):
        yield f"expected {' or '.join(wanted)}, got {kind_of(value)}"
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"expected one of {_listed(schema['enum'])}, got {shown(value)}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"expected {shown(schema['const'])}, got {shown(value)}"
    yield from _bounded(schema, value)


def _bounded(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for key, fits, words in _NUMBERS:
            if isinstance(bound := schema.get(key), (int, float)) and not fits(value, bound):
                yield f"expected a number {words} {bound}, got {shown(value)}"
    elif isinstance(value, (str, list, dict)):
        low, high, what = _SIZES[type(value)]
        least, most = schema.get(low, 0), schema.get(high)
        if len(value) < least or (most is not None and len(value) > most):
            bound = f"at least {least}" if len(value) < least else f"at most {most}"
            yield f"expected {bound} {what}, got {len(value)}"
        if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"expected a text that matches {schema['pattern']}, got {shown(value)}"
        if isinstance(value, list) and schema.get("uniqueItems") and _repeats(value):
            yield "expected items that are all different"


def _inside(schema: Mapping[str, Any], value: Any, path: str, root: Mapping[str, Any], depth: int) -> Iterator[Problem]:
    if isinstance(value, dict):
        yield from _members(schema, value, path, root, depth)
    elif isinstance(value, list):
        first: Sequence[Any] = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        for number, item in enumerate(value):
            kind = first[number] if number < len(first) else rest
            yield from problems(kind, item, f"{path}[{number}]", root, depth + 1)


def _members(
    schema: Mapping[str, Any], value: dict[str, Any], path: str, root: Mapping[str, Any], depth: int
) -> Iterator[Problem]:
    known: Mapping[str, Any] = schema.get("properties", {})
    patterns: Mapping[str, Any] = schema.get("patternProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(_below(path, name), "missing")
    for name, item in value.items():
        inner = [known[name]] if name in known else []
        inner += [kind for pattern, kind in patterns.items() if re.search(pattern, name)]
        for kind in inner or [schema.get("additionalProperties", True)]:
            yield from problems(kind, item, _below(path, name), root, depth + 1)


def _combined(
    schema: Mapping[str, Any], value: Any, path: str, root: Mapping[str, Any], depth: int
) -> Iterator[Problem]:
    for inner in schema.get("allOf", ()):
        yield from problems(inner, value, path, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if key not in schema:
            continue
        tried = [list(islice(problems(inner, value, path, root, depth + 1), _MOST)) for inner in schema[key]]
        fitting = sum(not found for found in tried)
        if not fitting:
            # Of several ways to be wrong the one that came nearest is told: fewest problems, none at the top first.
            yield from min(tried, key=lambda found: (found[0].path == path, len(found)), default=[])
        elif key == "oneOf" and fitting > 1:
            yield Problem(path, "fits more than one of the forms it can have")
    if "not" in schema and not any(problems(schema["not"], value, path, root, depth + 1)):
        yield Problem(path, "is not allowed")


def kind_of(value: Any) -> str:
    """What JSON calls the type of a value."""
    order = ("boolean", "integer", "number", "string", "array", "object", "null")
    return next((kind for kind in order if _KINDS[kind](value)), type(value).__name__)


def shown(value: Any) -> str:
    """A value in a message, its beginning."""
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:77]}..."


def _below(path: str, name: str) -> str:
    short = name if len(name) <= 80 else f"{name[:77]}..."
    return f"{path}.{short}" if path else short


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(shown, values[:20])) + (f" and {len(values) - 20} more" if len(values) > 20 else "")


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _repeats(values: list[Any]) -> bool:
    return len({msgspec.json.encode(value, order="deterministic") for value in values}) < len(values)


_NUMBERS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("minimum", lambda value, bound: value >= bound, "of at least"),
    ("maximum", lambda value, bound: value <= bound, "of at most"),
    ("exclusiveMinimum", lambda value, bound: value > bound, "above"),
    ("exclusiveMaximum", lambda value, bound: value < bound, "below"),
    ("multipleOf", lambda value, bound: bound == 0 or value % bound == 0, "that is a multiple of"),
)
_SIZES: Mapping[type, tuple[str, str, str]] = {
    str: ("minLength", "maxLength", "characters"),
    list: ("minItems", "maxItems", "items"),
    dict: ("minProperties", "maxProperties", "members"),
}
