"""Any Python object as bounded, valid JSON text. Total: whatever is handed over, something honest comes out.

What JSON can spell exactly is spelled exactly, in order. Everything else is spelled as near as JSON allows and marked,
and what is too large, too deep or endless is cut, with a marker where it was cut. Plain values (nearly all) are encoded
in one go after a look at their size; only the others are walked, node by node, against a budget of bytes, nodes, depth.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf, isfinite, isnan
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tachograph.record.rules.redact import safe_end
from tachograph.record.spell import Items, Members, spell, text_of, valid_text

_ROOM = 256
"""Bytes that must be left before another node is begun: any number, any marker, and a cut string fit."""

_NOT_PLAIN = (ValueError, TypeError, RuntimeError, ArithmeticError)
"""What encoding a plain value may still raise: lone surrogates, no stack left, a change by another thread."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Limits(Struct, frozen=True):
    """How large sanitised text may get."""

    bytes: int = 8 * 1024 * 1024
    """Of UTF-8, the whole text; less than 1,024 counts as 1,024."""
    depth: int = 64
    """Of containers inside one another."""
    nodes: int = 262_144
    """Values, keys not counted; at least 1."""
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

    Reads back equal for None, bool, int (up to 4,300 digits), finite float, str, and lists and dicts of these.
    """
    try:
        if _weight(value, limits.bytes, limits.bytes / limits.nodes, limits.depth) <= limits.bytes:
            data = _encode(value)
            if len(data) <= limits.bytes:
                return Sanitized(data.decode())
    except _NOT_PLAIN:
        pass  # walked below
    try:
        return _Walk(limits).written(value)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # noqa: BLE001 - the promise of this function; text and mark tell what happened
        return Sanitized(f'"[unreadable: {type(problem).__name__}]"', None, ("unreadable",))


def from_json(text: str | bytes, limits: Limits = DEFAULT) -> Sanitized:
    """JSON text of others, within limits. What will read back well stays as it is, byte for byte.

    Text that is not JSON becomes a JSON string, marked `not_json`. Raises as `to_json` does.
    """
    if isinstance(text, bytes):
        try:
            return from_json(text.decode(), limits)
        except UnicodeDecodeError:
            repaired = from_json(text.decode("utf-8", "replace"), limits)
            return repaired._replace(marks=(*repaired.marks, "surrogate"))
    try:
        data = text.encode()
        value = _decode(data)
        if len(data) <= limits.bytes and _is_shallow(value, limits.depth):
            return Sanitized(text, None, ("nul",) if b"\\u0000" in data else ())
    except (ValueError, RecursionError):  # malformed, lone surrogates, numbers out of range, too deep
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            string = to_json(text, limits)
            return string._replace(marks=(*string.marks, "not_json"))
    return to_json(value, limits)


# ---- plain values ---------------------------------------------------------------------------------------------------


def _weight(value: Any, limit: float, node: float, depth: int) -> float:
    """About the bytes of a plain value, plus `node` for each node; inf when above `limit`, or when it is not plain."""
    kind = type(value)
    if kind is str:
        return len(value) + node if "\0" not in value else inf
    if kind is dict:
        return _weight_of_dict(value, limit, node, depth - 1) if depth > 0 else inf
    if kind is list:
        return _weight_of_list(value, limit, node, depth - 1) if depth > 0 else inf
    if value is None or kind is bool:
        return node
    if kind is int:
        return node + 20 if -(1 << 64) < value < 1 << 64 else inf
    return node + 24 if kind is float and value - value == 0 else inf


def _weight_of_dict(value: dict[Any, Any], limit: float, node: float, depth: int) -> float:
    total = node
    for key, item in value.items():
        if type(key) is not str or "\0" in key:
            return inf
        if type(item) is str:  # spelled out, since nearly all values are
            total += len(key) + len(item) + node if "\0" not in item else inf
        else:
            total += len(key) + _weight(item, limit - total, node, depth)
        if total > limit:
            return inf
    return total


def _weight_of_list(value: list[Any], limit: float, node: float, depth: int) -> float:
    total = node
    for item in value:
        total += _weight(item, limit - total, node, depth)
        if total > limit:
            return inf
    return total


def _is_shallow(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in value)


# ---- everything else ------------------------------------------------------------------------------------------------


class _Walk:
    """One value, written piece by piece while the budget lasts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = max(limits.bytes, 1024)
        self._nodes = limits.nodes
        self._pieces: list[bytes] = []
        self._marks: dict[str, None] = {}
        self._lost: int | None = None
        self._open: set[int] = set()

    def written(self, value: object) -> Sanitized:
        """The value as JSON text."""
        self._value(value, 0)
        data = b"".join(self._pieces)
        return Sanitized(data.decode(), None if self._lost is None else len(data) + self._lost, tuple(self._marks))

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._left -= len(piece)

    def _mark(self, mark: str) -> None:
        self._marks[mark] = None

    def _lose(self, size: int) -> None:
        """Bytes that were cut, less those of the marker that says so."""
        self._mark("cut")
        self._lost = (self._lost or 0) + size

    def _value(self, value: Any, level: int) -> None:
        kind = type(value)
        if kind is str:
            self._put(self._string(value, self._left))
        elif value is None or kind is bool:
            self._put(_encode(value))
        elif kind is int:
            self._integer(value)
        elif kind is float:
            self._number(value)
        else:
            self._object(value, level)

    def _integer(self, value: int) -> None:
        if value.bit_length() <= 14_000 and (data := _encode(value)) and len(data) <= self._left:
            self._put(data)
        else:  # more digits than a reader accepts
            self._mark("huge_int")
            self._value(hex(value), 0)

    def _number(self, value: float) -> None:
        if isfinite(value):
            self._put(_encode(value))
        else:
            self._mark("nan" if isnan(value) else "infinite")
            self._put(b'"NaN"' if isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"')

    def _object(self, value: Any, level: int) -> None:
        if id(value) in self._open:
            self._mark("cycle")
            self._put(b'"[cycle]"')
        elif level >= self._limits.depth:
            self._mark("depth")
            self._put(b'"[cut: too deep]"')
        else:
            self._open.add(id(value))
            self._spelled(value, level)
            self._open.discard(id(value))

    def _spelled(self, value: Any, level: int) -> None:
        words, mark = spell(value, self._nodes + 1)
        if mark is not None:
            self._mark(mark)
        if type(words) is Members:
            self._members(words, level)
        elif type(words) is Items:
            self._items(words, level)
        else:
            self._value(words, level + 1)

    # ---- containers -------------------------------------------------------------------------------------------------

    def _members(self, members: Members, level: int) -> None:
        self._put(b"{")
        self._left -= 1
        taken: dict[str, int] = {}
        for index, (key, item) in enumerate(members.pairs):
            if self._is_full():
                self._rest(members.total - index, b'"[cut]":"%d more"' if index == 0 else b',"[cut]":"%d more"')
                break
            if index:
                self._put(b",")
            self._put(self._key(key, members, taken))
            self._put(b":")
            self._nodes -= 1
            self._value(item, level + 1)
        self._pieces.append(b"}")

    def _items(self, items: Items, level: int) -> None:
        self._put(b"[")
        self._left -= 1
        for index, item in enumerate(items.values):
            if self._is_full():
                self._rest(items.total - index, b'"[cut: %d more]"' if index == 0 else b',"[cut: %d more]"')
                break
            if index:
                self._put(b",")
            self._nodes -= 1
            self._value(item, level + 1)
        self._pieces.append(b"]")

    def _is_full(self) -> bool:
        return self._left < _ROOM or self._nodes <= 0

    def _rest(self, count: int, words: bytes) -> None:
        self._lose(2 * count)
        if self._left >= 64:
            self._put(marker := words % count)
            self._lose(-len(marker))

    def _key(self, key: Any, members: Members, taken: dict[str, int]) -> bytes:
        """A key as a JSON string. One that had to be changed gets a number if it would equal another."""
        text = key if type(key) is str else self._key_text(key)
        data = self._string(text, self._left // 2)
        if type(key) is str and _decode(data) == key:
            return data
        if not taken:
            taken.update((other, 1) for other, _ in members.pairs if type(other) is str and other is not key)
        name = text = _decode(data)
        while name in taken:
            taken[text] += 1
            name = f"{text[:100]} #{taken[text]}"
        taken[name] = 1
        return _encode(name)

    def _key_text(self, key: Any) -> str:
        self._mark("key")
        kind = type(key)
        if key is None or kind in (bool, float) or (kind is int and key.bit_length() <= 64):
            return _encode(key).decode()
        words = spell(key, 1).value
        return words if type(words) is str else text_of(key)

    # ---- strings ----------------------------------------------------------------------------------------------------

    def _string(self, text: str, room: int) -> bytes:
        """A string with its quotes in at most `room` bytes (at least 128), cut if need be."""
        if "\0" in text:
            self._mark("nul")
        if len(text) + 2 <= room:
            data = self._valid(text)
            if len(data) <= room:
                return data
        room -= 80
        end = min(len(text), room)
        while (size := len(self._valid(text[:end])) - 2) > room:
            end = end * room // size
        end = self._limits.border(text, end)
        marker = f" [cut: first {end} of {len(text)} characters]"
        self._lose(len(text) - end - len(marker))
        return self._valid(text[:end] + marker)

    def _valid(self, text: str) -> bytes:
        try:
            return _encode(text)
        except UnicodeEncodeError:
            self._mark("surrogate")
            return _encode(valid_text(text))
