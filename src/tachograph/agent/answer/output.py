"""Structured output: a type's schema, a reply read as that type, and what to tell a model whose reply does not fit.

Pydantic models speak for themselves; everything else (dataclasses, msgspec structs, typed dicts, lists and unions of
these) is read by msgspec. A reply may hold its JSON bare or in one fenced block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.errors import SettingsError

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)
_MOST_ERRORS = 10


class Parsed(Struct, frozen=True):
    """A reply that fits."""

    value: Any


class Misfit(Struct, frozen=True):
    """A reply that does not fit, and why, one line a problem."""

    errors: tuple[str, ...]


def schema_of(kind: Any) -> Mapping[str, Any] | None:
    """JSON schema of a type; None for `str` and None, which are plain text. Raises SettingsError for what has none."""
    if kind is None or kind is str:
        return None
    if _is_pydantic(kind):
        found: Mapping[str, Any] = kind.model_json_schema()
        return found
    try:
        return msgspec.json.schema(kind)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise SettingsError("output", kind, f"a type that JSON schema can describe ({problem})") from problem


def parse(kind: Any, text: str) -> Parsed | Misfit:
    """What a reply says, as a value of a type."""
    if kind is None or kind is str:
        return Parsed(text)
    found = _FENCED.search(text)
    body = found[1] if found else text.strip()
    if not body:
        return Misfit(("the reply is empty; JSON was wanted",))
    return _pydantic(kind, body) if _is_pydantic(kind) else _msgspec(kind, body)


def correction(kind: Any, errors: tuple[str, ...], nudge: str) -> str:
    """What to tell the model: `nudge` is `auto` (the shape, spelled out), `off` (nothing), or a text of one's own."""
    if nudge == "off":
        return ""
    listed = "\n".join(f"- {error}" for error in errors[:_MOST_ERRORS])
    if nudge != "auto":
        return f"{nudge}\n{listed}"
    schema = schema_of(kind) or {}
    required = ", ".join(map(str, schema.get("required", ()))) or "none"
    known = ", ".join(map(str, schema.get("properties", {}))) or "see the schema"
    return (
        f"The last reply did not fit the required form:\n{listed}\n"
        f"Required keys: {required}. Known keys: {known}.\n"
        f"Reply with JSON alone, that fits this schema:\n{json.dumps(schema)}"
    )


def _is_pydantic(kind: Any) -> bool:
    return hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate_json")


def _pydantic(kind: Any, body: str) -> Parsed | Misfit:
    try:
        return Parsed(kind.model_validate_json(body))
    except ValueError as problem:
        errors = getattr(problem, "errors", None)
        if errors is None:
            return Misfit((str(problem),))
        return Misfit(tuple(f"{'.'.join(map(str, item['loc'])) or 'reply'}: {item['msg']}" for item in errors()))


def _msgspec(kind: Any, body: str) -> Parsed | Misfit:
    try:
        return Parsed(msgspec.json.decode(body, type=kind))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        return Misfit((str(problem) or type(problem).__name__,))
