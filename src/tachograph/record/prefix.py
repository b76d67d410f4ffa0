"""What a run has already said: finds the recorded messages that a new request begins with.

A conversation is sent whole with every request. Comparing it with the path recorded last costs a pointer comparison a
message when the strings are the same objects, and a memory comparison when they were parsed again; nothing is hashed or
encoded twice. Keys hold the text itself, never `id()`: a message that was changed in place is a new message. Frozen
messages (`events.chat`) are their own keys. A guarded run also knows how many bytes each path comes to: the size of a
request costs only what is new in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

import msgspec

from tachograph.events.chat import Media, Message
from tachograph.record.sanitize import to_json

_RETAIN = 8 * 1024 * 1024
_items = dict.items
_json = msgspec.json.Encoder()
_TEXT = frozenset((str, type(None)))
_MESSAGES = frozenset((Message,))
_FRAME = 16
"""Bytes that a message counts for beside its text."""
_MEDIA = 8_000
"""Bytes that an image counts for, however large: providers bill it by its pixels, at most some 2,000 tokens."""
_TEXTS = (b"text", b"content", b"output", b"input", b"arguments", b"result")
_ENCODED = re.compile(
    rb'"(?<!\\")' + b"".join(b'(?<!"%b":")' % name for name in _TEXTS)
    + rb"(?:data:[\w/+.;=-]{0,100}base64,)?[A-Za-z0-9+/]{8192,}={0,2}"
)  # fmt: skip
"""Base64 of an image: a whole string, or a `data:` URL, where no text stands. In a text it is read like any other."""
Known = tuple[Any, Any]
"""(key, message)"""


class Prefix:
    """The messages of one run, as a tree: (parent, key) → seq, and the path of the last request. Thread-safe."""

    __slots__ = ("_bytes", "_children", "_keys", "_lock", "_seqs", "_sizes", "measured", "retain")

    def __init__(self, retain: int = _RETAIN) -> None:
        self._lock = RLock()
        self.retain = retain
        """Bytes of message text to remember; past it the index starts anew (messages are still stored once)."""
        self.measured = False
        """Whether it keeps count of bytes: only for a guard that asks."""
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        with self._lock:
            self._children: dict[tuple[int | None, Any], int] = {}
            self._keys: list[Any] = []
            self._seqs: list[int] = []
            self._sizes: dict[int | None, int] = {None: 0}
            self._bytes = 0

    def after_fork(self) -> None:
        """In a forked child: whoever held the lock is not here."""
        self._lock = RLock()
        self.forget()

    def split(self, messages: Sequence[Any]) -> tuple[int | None, list[Known]]:
        """What of a request is recorded already: the node it reaches, and the messages behind it with their keys."""
        with self._lock:
            return self._split(messages)

    def measured_split(
        self, messages: Sequence[Any], more: Sequence[Any] = ()
    ) -> tuple[tuple[int | None, list[Known]], int]:
        """The same, and the UTF-8 bytes of the request with `more` messages: no other thread comes between."""
        behind = [(key_of(message), message) for message in more]
        with self._lock:
            parent, fresh = self._split(messages)
            return (parent, fresh), self.size(parent, [*fresh, *behind])

    def _split(self, messages: Sequence[Any]) -> tuple[int | None, list[Known]]:
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
        with self._lock:
            self._learn(key, seq, parent, size)

    def _learn(self, key: Any, seq: int, parent: int | None, size: int) -> None:
        self._bytes += size
        if self._bytes > self.retain:
            self.forget()
            return
        self._children[parent, key] = seq
        if self.measured:
            self._sizes[seq] = self._sizes.get(parent, 0) + (size if type(key) is object else size_of(key))
        if (self._seqs[-1] if self._seqs else None) == parent:
            self._keys.append(key)
            self._seqs.append(seq)

    def size(self, parent: int | None, fresh: Sequence[Known]) -> int:
        """UTF-8 bytes of a request, as `split` gave it. Media count as they are billed, not as they are sent."""
        sizes = (len(to_json(message).text) if type(key) is object else size_of(key) for key, message in fresh)
        return self._sizes.get(parent, 0) + sum(sizes)

    def _common(self, messages: Sequence[Any]) -> int:
        """How many messages the path of the last request begins with too."""
        known = self._keys[: len(messages)]
        # Frozen messages, all in C: one that is the same object is not looked at.
        if known and _MESSAGES.issuperset(map(type, known)) and [*messages[: len(known)]] == known:
            return len(known)
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
    if type(message) is Message:
        return message
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


def size_of(key: Any) -> int:
    """UTF-8 bytes of the message behind a key: an upper bound for its tokens, but for media."""
    if isinstance(key, str):
        return _FRAME + _utf8(key)
    if isinstance(key, tuple):
        size = _FRAME
        for name, value in key:
            size += len(name) if isinstance(name, str) else _FRAME
            if value is not None:
                size += len(value) if value.isascii() else _utf8(value)
        return size
    if isinstance(key, bytes):
        return _FRAME + _without_media(key)
    return _message_size(key) if type(key) is Message else _FRAME


def bytes_of(value: Any) -> int:
    """UTF-8 bytes of a value as JSON; 0 of nothing."""
    if value is None:
        return 0
    try:
        return _without_media(_json.encode(value))
    except (TypeError, ValueError, RecursionError, OverflowError):
        return len(to_json(value).text)


def _message_size(message: Message) -> int:
    size = _FRAME + _utf8(message.reasoning) + _utf8(message.provider_state or "")
    if isinstance(message.content, str):
        size += _utf8(message.content)
    else:
        size += sum(_media_size(part) if isinstance(part, Media) else _utf8(part.text) for part in message.content)
    return size + sum(_FRAME + _utf8(call.name) + _utf8(call.arguments) for call in message.tool_calls)


def _media_size(media: Media) -> int:
    """Images as such; of what is read, heard or watched, its length counts too."""
    return _MEDIA if media.kind == "image" else _MEDIA + len(media.data) // 8


def _without_media(data: bytes) -> int:
    return len(data) if len(data) < 8_192 else len(_ENCODED.sub(b"", data)) + _MEDIA * len(_ENCODED.findall(data))


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
