"""What a run has already said: finds the recorded messages that a new request begins with.

A conversation is sent whole with every request. Comparing it with the path recorded last costs a pointer comparison a
message when the strings are the same objects, and a memory comparison when they were parsed again; nothing is hashed or
encoded twice. Keys hold the text itself, never `id()`: a message that was changed in place is a new message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_RETAIN = 8 * 1024 * 1024
_json = msgspec.json.Encoder()
_TEXT = frozenset((str, type(None)))
Known = tuple[Any, Any]
"""(key, message)"""


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

    def split(self, messages: Sequence[Any]) -> tuple[int | None, list[Known]]:
        """What of a request is recorded already: the node it reaches, and the messages behind it with their keys."""
        path, parent, place = self._path, None, 0
        keys = []
        for message in messages:
            key = key_of(message)
            if place < len(path) and path[place][0] == key:
                parent = path[place][1]
                place += 1
                continue
            keys.append((key, message))
            if place < len(path):
                path = path[:place]
        walked = path[:place]
        while keys and (found := self._children.get((parent, keys[0][0]))) is not None:
            walked.append((keys.pop(0)[0], found))
            parent = found
        self._path = walked
        return parent, keys

    def learn(self, key: Any, seq: int, parent: int | None, size: int) -> None:
        """A message was recorded as `seq` behind `parent`: the next request will probably begin with it."""
        self._bytes += size
        if self._bytes > self.retain:
            self.forget()
            return
        self._children[parent, key] = seq
        path = self._path
        if (path[-1][1] if path else None) == parent:
            path.append((key, seq))


def key_of(message: Any) -> Any:
    """Text-only mappings by their items, in order; everything else by its JSON, or by its type when it has none."""
    if type(message) is dict and _TEXT.issuperset(map(type, message.values())):
        return tuple(message.items())
    if isinstance(message, str):
        return message
    try:
        return _json.encode(message)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return object()


def role_of(message: Any) -> str:
    """A message's role, by its `role` (or `type`) key; plain text is the user's."""
    if type(message) is dict or isinstance(message, Mapping):
        role = message.get("role") or message.get("type")
        return role if isinstance(role, str) else "unknown"
    role = getattr(message, "role", None)
    return role if isinstance(role, str) else "user"
