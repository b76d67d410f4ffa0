"""Recorded JSON as a tree to open and close, spelled as it was recorded: numbers, and names that stand there twice.

Bounded: what is too deep or too much for a page stays text in its branch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

_DEEPEST = 16
_MOST = 1_500
"""Values of one tree."""
_OPEN = 60
_OPEN_LEVELS = 1


class Value(Struct, frozen=True, kw_only=True):
    """A value with its name."""

    name: str | None
    """Its key, or its place in a list."""
    kind: str
    """object, list, string, number, literal."""
    text: str = ""
    items: tuple[Value, ...] = ()
    count: int = 0
    """Of values directly in it."""
    is_open: bool = True


class _Spelled(str):
    """A number or a literal, as it was spelled."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object, in the order it had."""


def tree(text: str, opened: int = _OPEN) -> Value | None:
    """The tree of a JSON text, about so many of its values in view; None for what is no JSON, or is too deep."""
    try:
        found = _decoder.decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return _Planter(opened).plant(None, found, 0)


_decoder = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_Spelled, parse_int=_Spelled, parse_constant=_Spelled, strict=False
)


class _Planter:
    def __init__(self, opened: int) -> None:
        self._left, self._opened = _MOST, opened

    def plant(self, name: str | None, found: Any, depth: int) -> Value:
        self._left -= 1
        match found:
            case _Pairs():
                return self._branch(name, "object", found, depth)
            case list():
                return self._branch(name, "list", [(str(place), each) for place, each in enumerate(found)], depth)
            case _Spelled():
                return Value(name=name, kind="number", text=str(found))
            case str():
                return Value(name=name, kind="string", text=found)
        return Value(name=name, kind="literal", text={None: "null", True: "true"}.get(found, "false"))

    def _branch(self, name: str | None, kind: str, pairs: Sequence[tuple[str, Any]], depth: int) -> Value:
        if depth >= _DEEPEST:
            return Value(name=name, kind=kind, text="deeper than is shown here", count=len(pairs))
        items = tuple(self._planted(pairs, depth + 1))
        more = len(pairs) - len(items)
        is_open = depth < _OPEN_LEVELS or _MOST - self._left <= self._opened
        text = f"{more:,} more, which are in the file" if more else ""
        return Value(name=name, kind=kind, text=text, items=items, count=len(pairs), is_open=is_open)

    def _planted(self, pairs: Sequence[tuple[str, Any]], depth: int) -> Iterator[Value]:
        for name, each in islice(pairs, _MOST):
            if self._left <= 0:
                return
            yield self.plant(name, each, depth)
