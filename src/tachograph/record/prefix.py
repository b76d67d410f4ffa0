"""What a run has already said: finds the recorded messages that a new request begins with.

A conversation is sent whole with every request. Comparing it with the path recorded last costs a pointer comparison a
message when the strings are the same objects, and a memory comparison when they were parsed again; nothing is hashed or
encoded twice. Keys hold the text itself, never `id()`: a message that was changed in place is a new message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

_RETAIN = 8 * 1024 * 1024
_json = msgspec.json.Encoder()
_TEXT = (str, type(None))


class Prefix:
    """The messages of one run, as a tree: (parent, key) → seq, and the path of the last request."""

    __slots__ = ("_bytes", "_children", "_path", "retain")

    def __init__(self, retain: int = _RETAIN) -> None:
        self.retain = retain
        """Bytes of message text to remember; past it the index starts anew (messages are still stored once)."""
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._children: dict[tuple[int | None, Any], int] = {}
        self._path: list[tuple[Any, int]] = []
        self._bytes = 0

    def follow(
        self, messages: Sequence[Any], append: Callable[[Any, int | None], int | None], parent: int | None = None
    ) -> int | None:
        """The node of the last message. `append(message, parent)` records one that is new and returns its seq."""
        path = self._path if parent is None else []
        walked: list[tuple[Any, int]] = []
        matching = True
        for place, message in enumerate(messages):
            key = _key(message)
            if matching and place < len(path) and path[place][0] == key:
                parent = path[place][1]
            else:
                matching = False
                found = self._children.get((parent, key))
                if found is None:
                    found = append(message, parent)
                    if found is None:
                        return parent
                    self._remember(parent, key, found)
                parent = found
            walked.append((key, parent))
        if path is self._path:
            self._path = walked
        return parent

    def extend(self, message: Any, seq: int, parent: int | None) -> None:
        """A reply was recorded: the next request will probably begin with it."""
        key = _key(message)
        self._remember(parent, key, seq)
        if (self._path and self._path[-1][1] == parent) or (not self._path and parent is None):
            self._path.append((key, seq))

    def _remember(self, parent: int | None, key: Any, seq: int) -> None:
        self._bytes += _weight(key)
        if self._bytes > self.retain:
            self.forget()
            return
        self._children[parent, key] = seq


def _key(message: Any) -> Any:
    """Text-only mappings by their items, in order; everything else by its JSON, or by its type when it has none."""
    if type(message) is dict and all(type(value) in _TEXT for value in message.values()):
        return tuple(message.items())
    if isinstance(message, str):
        return message
    try:
        return _json.encode(message)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return object()


def _weight(key: Any) -> int:
    if isinstance(key, (bytes, str)):
        return len(key)
    if isinstance(key, tuple):
        return sum(len(value) for _, value in key if value)
    return 64


def role_of(message: Any) -> str:
    """A message's role, by its `role` (or `type`) key; plain text is the user's."""
    if isinstance(message, Mapping):
        role = message.get("role") or message.get("type")
        return role if isinstance(role, str) else "unknown"
    role = getattr(message, "role", None)
    return role if isinstance(role, str) else "user"
