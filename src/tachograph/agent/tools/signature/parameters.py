"""Type hints: the JSON schema that a function's parameters stand for, and values of its types out of JSON.

msgspec says most of it. Pydantic models speak for themselves (`model_json_schema`, `model_validate`), and pydantic is
there only if the program brought it. Conversion is strict: a number in quotes is no number; a whole number written as
3.0 is one.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from tachograph.agent.tools.signature.docstring import read
from tachograph.errors import SettingsError

_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")
_PLACE = re.compile(r"(.*) - at `(\$[^`]*)`", re.DOTALL)


class Parameters(NamedTuple):
    """What a function takes."""

    types: Mapping[str, Any]
    """Parameter → its type."""
    schema: Mapping[str, Any]
    """JSON schema of an object with all of them."""
    injected: tuple[str, ...]
    """Parameters that no model fills."""


def parameters_of(function: Callable[..., Any], owner: str, marker: type, docs: str | None) -> Parameters:
    """The parameters of a function. `marker` is the type of those that are injected. Raises SettingsError."""
    hints = hints_of(function, owner)
    found = _signature(function, owner)
    injected = tuple(name for name in injected_of(hints, marker) if any(item.name == name for item in found))
    taken = [item for item in found if item.name not in injected]
    told = read(docs).parameters
    kinds: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for item in taken:
        _refuse(item, owner)
        kinds[item.name], said = _understood(hints.get(item.name, Any), owner, item.name)
        texts[item.name] = said or told.get(item.name, "")
    return Parameters(kinds, _schema(taken, kinds, texts, owner), injected)


def hints_of(function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Its type hints, resolved. Raises SettingsError."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as problem:
        wanted = f"annotations that can be resolved when the tool is made ({problem})"
        raise SettingsError(f"tool {owner}", "annotations", wanted) from problem


def injected_of(hints: Mapping[str, Any], marker: type) -> tuple[str, ...]:
    """Parameters annotated with `marker`, or with a union that it is part of."""
    return tuple(
        name for name, hint in hints.items() if name != "return" and (hint is marker or marker in get_args(hint))
    )


def convert(kind: Any, value: Any) -> Any:
    """JSON as a value of a type. Raises ValueError, which says where and what was wanted."""
    try:
        return msgspec.convert(value, kind, dec_hook=_made)
    except msgspec.ValidationError:
        whole = _whole(value)
        if whole is value:
            raise
    return msgspec.convert(whole, kind, dec_hook=_made)


def placed(problem: BaseException, name: str) -> str:
    """What `convert` raised, in words for a model: the path from the parameter on, and what was wanted."""
    said = str(problem).strip() or type(problem).__name__
    match = _PLACE.fullmatch(said) if isinstance(problem, msgspec.ValidationError) else None
    if match is None:
        return f"{name}: {said}"
    return f"{match[2].replace('$', name, 1)}: {match[1]}"


def _signature(function: Callable[..., Any], owner: str) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as problem:
        raise SettingsError(f"tool {owner}", function, "a function whose parameters can be read") from problem
    # What a partial has fixed by name is not the model's to change.
    fixed = function.keywords if isinstance(function, partial) else {}
    return [item for item in found if item.name not in fixed]


def _refuse(item: inspect.Parameter, owner: str) -> None:
    if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD):
        star = "*" if item.kind is item.VAR_POSITIONAL else "**"
        wanted = "named parameters: a model must be told what it can pass (or give the tool a JSON schema)"
        raise SettingsError(f"tool {owner}", f"{star}{item.name}", wanted)
    if item.kind is item.POSITIONAL_ONLY:
        raise SettingsError(f"tool {owner}", item.name, "parameters that can be passed by name")


def _understood(hint: Any, owner: str, name: str) -> tuple[Any, str]:
    """A type that msgspec knows, and the description that stood beside it."""
    if hint is object or hint is inspect.Parameter.empty:
        return Any, ""
    if hint is datetime:
        return Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})], ""
    said = ""
    if get_origin(hint) is Annotated:
        kind, *notes = get_args(hint)
        said = next((text for note in notes if (text := _text(note))), "")
        bounds = _bounds(notes)
        hint = Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind
        if own := [note for note in notes if isinstance(note, msgspec.Meta)]:
            hint = Annotated[hint, *own]
    _refuse_validated(hint, owner, name)
    return hint, said


def _text(note: Any) -> str:
    said = note if isinstance(note, str) else getattr(note, "description", None)
    return said if isinstance(said, str) else ""


def _bounds(notes: list[Any]) -> dict[str, Any]:
    """Bounds in the words of annotated-types and pydantic, as msgspec's: `Ge(1)`, `Field(ge=1)`."""
    found: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, (str, msgspec.Meta)):
            continue
        inner = getattr(note, "metadata", None)
        for one in (note, *(inner if isinstance(inner, list) else ())):
            stated = {name: getattr(one, name, None) for name in _BOUNDS}
            found.update({name: bound for name, bound in stated.items() if bound is not None})
    return found


def _refuse_validated(hint: Any, owner: str, name: str) -> None:
    """A pydantic dataclass looks like a plain one to msgspec, and its validators would never run."""
    for part in (hint, *get_args(hint)):
        if part is not hint:
            _refuse_validated(part, owner, name)
        elif hasattr(part, "__pydantic_validator__") and hasattr(part, "__dataclass_fields__"):
            wanted = "a pydantic model or a plain dataclass: the validators of a pydantic dataclass would not run"
            raise SettingsError(f"tool {owner}", name, wanted)


def _schema(
    taken: list[inspect.Parameter], kinds: Mapping[str, Any], texts: Mapping[str, str], owner: str
) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for item in taken:
        try:
            (schema,), more = msgspec.json.schema_components(
                [kinds[item.name]], schema_hook=partial(_described, shared), ref_template="#/$defs/{name}"
            )
        except (TypeError, ValueError, RuntimeError) as problem:
            wanted = f"a type that JSON schema can describe, not {_named(kinds[item.name])} ({problem})"
            raise SettingsError(f"tool {owner}", item.name, wanted) from problem
        _share(shared, more, owner)
        properties[item.name] = {**schema, **_extras(item, texts[item.name])}
    required = [item.name for item in taken if item.default is item.empty]
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {}) | ({"$defs": shared} if shared else {})


def _extras(item: inspect.Parameter, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": text} if text else {}
    if item.default is not item.empty:
        try:
            found["default"] = msgspec.json.decode(msgspec.json.encode(item.default))
        except (TypeError, ValueError):
            return found  # a default that JSON cannot say is the function's own business
    return found


def _described(shared: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Schema of a type that msgspec does not know. What it refers to goes into `shared`."""
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return {"type": "string"}
    if not callable(getattr(kind, "model_json_schema", None)):
        raise NotImplementedError
    schema: dict[str, Any] = dict(kind.model_json_schema())
    _share(shared, schema.pop("$defs", {}), kind.__name__)
    return schema


def _share(shared: dict[str, Any], more: Mapping[str, Any], owner: str) -> None:
    for name, schema in more.items():
        if shared.setdefault(name, schema) != schema:
            raise SettingsError(f"tool {owner}", name, "types with different names: two that differ have this one")


def _made(kind: Any, value: Any) -> Any:
    """A value of a type that msgspec does not know."""
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return kind(value)
    try:
        return kind.model_validate(value)
    except ValueError as problem:
        errors = getattr(problem, "errors", None)
        if not callable(errors):
            raise
        told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in errors()[:20])
        raise ValueError("; ".join(told)) from problem


def _whole(value: Any) -> Any:
    """The same with every float that is a whole number as an int; the very same object when there is none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        items = [_whole(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        pairs = {key: _whole(item) for key, item in value.items()}
        return pairs if any(pairs[key] is not value[key] for key in value) else value
    return value


def _named(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType) or get_args(kind):
        return str(kind)
    return getattr(kind, "__qualname__", None) or str(kind)
