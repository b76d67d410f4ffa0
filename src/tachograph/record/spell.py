"""How JSON spells what it has no words for: one object at a time, its parts left as they are.

Only what a value is asked for by everyone is asked here: the fields of a dataclass, a struct or a model, the items of a
collection, the `repr` of the rest. Iterators and generators are never advanced. An object that fails to answer is named
by its type.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID


class Members(NamedTuple):
    """What becomes a JSON object: the first pairs, and how many there are."""

    pairs: list[tuple[Any, Any]]
    total: int


class Items(NamedTuple):
    """What becomes a JSON array: the first items, and how many there are."""

    values: list[Any]
    total: int


class Spelled(NamedTuple):
    """One object in words of JSON; `value` may be yet another object to spell."""

    value: Any
    mark: str | None = None
    """What was replaced, when that is worth knowing."""


def spell(value: Any, most: int) -> Spelled:
    """An object that JSON has no word for, by its first `most` parts. Raises MemoryError and KeyboardInterrupt only."""
    try:
        kind = type(value)
        speller = _EXACT.get(kind)
        if speller is None:
            speller = next((how for family, how in _FAMILIES if issubclass(kind, family)), _by_shape)
        return speller(value, most)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 - what cannot be taken apart is described
        return _described(value, most)


def text_of(value: object) -> str:
    """Any object as one text: a string as it is, anything else by its `repr`, without addresses."""
    return str.__str__(value) if issubclass(type(value), str) else str(_described(value, 0).value)


def valid_text(text: str, *, nul: bool = True) -> str:
    """Text that UTF-8 can encode: surrogate pairs joined, lone ones replaced by U+FFFD; NUL too unless `nul`."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if nul else text.replace("\0", "\ufffd")


# ---- collections ----------------------------------------------------------------------------------------------------


def _dict(value: Any, most: int) -> Spelled:
    return Spelled(Members(list(islice(dict.items(value), most)), dict.__len__(value)))


def _mapping(value: Any, most: int) -> Spelled:
    return Spelled(Members(list(islice(value.items(), most)), len(value)))


def _list(value: Any, most: int) -> Spelled:
    return Spelled(Items(list.__getitem__(value, slice(most)), list.__len__(value)))


def _tuple(value: Any, most: int) -> Spelled:
    return Spelled(Items(list(islice(tuple.__iter__(value), most)), tuple.__len__(value)))


def _view(value: Any, most: int) -> Spelled:
    return Spelled(Items(list(islice(value, most)), len(value)))


def _set(value: Any, most: int) -> Spelled:
    """In order where there is one, so that the same set is the same text in every process."""
    items = list(islice(value, most))
    same = {str} if isinstance(next(iter(items), None), str) else {int}
    return Spelled(Items(sorted(items) if set(map(type, items)) == same else items, len(value)), "set")


# ---- single values --------------------------------------------------------------------------------------------------


def _bytes(value: Any, most: int) -> Spelled:
    """Text where it is text, so that redaction can read it; else Base64."""
    data = value.tobytes() if isinstance(value, memoryview) else bytes(value)
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") * 8 > len(text):
        return Spelled("base64:" + b64encode(data).decode(), "binary")
    return Spelled(text, "bytes")


def _moment(value: Any, most: int) -> Spelled:
    return Spelled(value.isoformat(), "naive" if value.tzinfo is None else None)


def _exception(value: Any, most: int) -> Spelled:
    return Spelled(Members([("type", type(value).__name__), ("message", str(value))], 2))


def _named(value: Any, most: int) -> Spelled:
    return Spelled(f"{value.__module__}.{value.__qualname__}", "repr")


# ---- objects by what their type offers ------------------------------------------------------------------------------


def _by_shape(value: Any, most: int) -> Spelled:
    kind = type(value)
    for marker in ("__struct_fields__", "__dataclass_fields__"):
        if (names := getattr(kind, marker, None)) is not None:
            return _fields(value, names)
    if hasattr(kind, "__pydantic_serializer__"):
        return Spelled(value.model_dump(warnings=False))
    if callable(getattr(kind, "model_dump", None)):
        return Spelled(value.model_dump())
    if hasattr(kind, "__attrs_attrs__"):
        return _fields(value, [field.name for field in kind.__attrs_attrs__])
    if hasattr(kind, "dtype") and hasattr(kind, "tolist"):
        return _array(value, most)
    return _described(value, most)


def _fields(value: Any, names: Iterable[str]) -> Spelled:
    """Field by field: one that fails does not cost the others."""
    pairs: list[tuple[str, Any]] = []
    mark = None
    for name in names:
        try:
            pairs.append((name, getattr(value, name)))
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as problem:  # noqa: BLE001 - said in its place, and marked
            mark = "unreadable"
            pairs.append((name, f"[unreadable: {type(problem).__name__}]"))
    return Spelled(Members(pairs, len(pairs)), mark)


def _array(value: Any, most: int) -> Spelled:
    """Arrays and scalars of numeric libraries; large arrays by their type and shape."""
    if isinstance(value.size, int) and value.size <= most:
        return Spelled(value.tolist())
    return Spelled(f"[{type(value).__name__} of {value.dtype}, shape {value.shape}]", "cut")


_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]{4,16}")


def _described(value: object, most: int) -> Spelled:
    try:
        return Spelled(_ADDRESS.sub("", str.__str__(repr(value))), "repr")
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # noqa: BLE001 - the next best thing is said instead, and marked
        name = type.__repr__(type(value))
        return Spelled(f"{name[:-1]}: repr raised {type(problem).__name__}>", "repr_failed")


_Speller = Callable[[Any, int], Spelled]
_EXACT: Mapping[type, _Speller] = {dict: _dict, list: _list, tuple: _tuple}
_FAMILIES: tuple[tuple[type | tuple[type, ...], _Speller], ...] = (
    (str, lambda value, most: Spelled(str.__str__(value))),
    (int, lambda value, most: Spelled(int.__int__(value))),
    (float, lambda value, most: Spelled(float.__float__(value))),
    (dict, _dict),
    (list, _list),
    (tuple, _tuple),
    ((set, frozenset), _set),
    ((deque, type({}.keys()), type({}.values()), type({}.items())), _view),
    ((bytes, bytearray, memoryview), _bytes),
    (Enum, lambda value, most: Spelled(value.value)),
    (datetime, _moment),
    ((date, time), lambda value, most: Spelled(value.isoformat())),
    ((UUID, Decimal, PurePath, timedelta), lambda value, most: Spelled(str(value))),
    (BaseException, _exception),
    (Mapping, _mapping),
    (type, _named),
)
