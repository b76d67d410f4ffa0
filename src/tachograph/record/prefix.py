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
_items = dict.items
_json = msgspec.json.Encoder()
_TEXT = frozenset((str, type(None)))
Known = tuple[Any, Any]
"""(key, message)"""


class Prefix:
    """The messages of one run, as a tree: (parent, key) → seq, and the path of the last request."""

    __slots__ = ("_bytes", "_children", "_keys", "_seqs", "retain")

    def __init__(self, retain: int = _RETAIN) -> None:
        self.retain = retain
        """Bytes of message text to remember; past it the index starts anew (messages are still stored once)."""
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._children: dict[tuple[int | None, Any], int] = {}
        self._keys: list[Any] = []
        self._seqs: list[int] = []
        self._bytes = 0

    def split(self, messages: Sequence[Any]) -> tuple[int | None, list[Known]]:
        """What of a request is recorded already: the node it reaches, and the messages behind it with their keys."""
        place = self._common(messages)
        fresh = [(key_of(message), message) for message in messages[place:]]
        keys, seqs = self._keys[:place], self._seqs[:place]
        parent = seqs[-1] if seqs else None
        while fresh and (found := self._children.get((parent, fresh[0][0]))) is not None:
            keys.append(fresh.pop(0)[0])
            seqs.append(found)
            parent = found
        self._keys, self._seqs = keys, seqs
        return parent, fresh

    def learn(self, key: Any, seq: int, parent: int | None, size: int) -> None:
        """A message was recorded as `seq` behind `parent`: the next request will probably begin with it."""
        self._bytes += size
        if self._bytes > self.retain:
            self.forget()
            return
        self._children[parent, key] = seq
        if (self._seqs[-1] if self._seqs else None) == parent:
            self._keys.append(key)
            self._seqs.append(seq)

    def _common(self, messages: Sequence[Any]) -> int:
        """How many messages the path of the last request begins with too."""
        known = self._keys[: len(messages)]
        try:
            # The usual case, all in C: mappings of text, and nothing but additions since the last request.
            if list(map(tuple, map(_items, messages[: len(known)]))) == known:
                return len(known)
        except TypeError:
            pass  # a message that is no mapping: compared one by one
        for place, (message, key) in enumerate(zip(messages, known, strict=False)):
            if key_of(message) != key:
                return place
        return len(known)


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
