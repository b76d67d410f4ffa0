"""Any Python object as bounded, valid JSON text. Total: whatever is handed over, something honest comes out.

What JSON can spell exactly is spelled exactly, in order. Everything else is spelled as near as JSON allows and marked, and
what is too large, too deep or endless is cut, with a marker where it was cut. Plain values (nearly all) are encoded in one
go after a look at their size; only the others are walked, node by node, against a budget of bytes, nodes and depth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tachograph.record.rules.redact import safe_end
from tachograph.record.spell import Spelled, spell, text_of, valid_text

__all__ = ["Limits", "Sanitized", "from_json", "text_of", "to_json", "valid_text"]

_MIB = 1024 * 1024
_SMALLEST = 1024
_ROOM = 128
"""Bytes that must be left before another node is begun: any number, marker or closing bracket fits."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Limits(Struct, frozen=True):
    """How large sanitised text may get."""

    bytes: int = 8 * _MIB
    """Of UTF-8, the whole text; at least 1,024."""
    depth: int = 64
    """Of containers inside one another."""
    nodes: int = 262_144
    """Values, keys not counted."""
    border: Callable[[str, int], int] = safe_end
    """(string, wanted end) → where to cut it: there or a little before, never inside a secret."""


class Sanitized(NamedTuple):
    """JSON text, and what it took."""

    text: str
    full_size: int | None = None
    """Bytes before cutting (at least; what was never looked at counts little). None when nothing was cut."""
    marks: tuple[str, ...] = ()
    """What had to be replaced; docs/redaction.md lists the words."""


DEFAULT = Limits()


def to_json(value: object, limits: Limits = DEFAULT) -> Sanitized:
    """A value as JSON text within limits. Raises nothing but MemoryError and KeyboardInterrupt.

    Equal to what `json.loads` reads back for None, bool, int (to 4,300 digits), finite float, str, list and dict of these.
    """
    try:
        if _weight(value, limits.bytes, limits.bytes // limits.nodes, limits.depth) <= limits.bytes:
            data = _encode(value)
            if len(data) <= limits.bytes:
                return Sanitized(data.decode())
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, RuntimeError):
        pass  # not plain after all (lone surrogates, a change from another thread): walked below
    try:
        return _Walk(limits).text(value)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # noqa: BLE001 - the promise of this function; the mark tells
        return Sanitized(f'"[unreadable: {type(problem).__name__}]"', None, ("unreadable",))
